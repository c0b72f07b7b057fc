"""A file that somebody sent -> an RGB picture that is safe to work on, or a sentence why not.

It may import `models.schema` alone; it knows neither models nor the page. Everything that takes a
picture opens it with `open_image`: page, API, command line, training and evaluation; what strangers
ask side by side goes through `ROOM`, which bounds all of them together.
"""

from models.images.opening import (
    FORMATS,
    MAX_PIXELS,
    REDUCE_ABOVE_PIXELS,
    OpenedImage,
    StoredSize,
    check_size,
    open_image,
    stored_size,
)
from models.images.room import ROOM, PictureRoom

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "REDUCE_ABOVE_PIXELS",
    "ROOM",
    "OpenedImage",
    "PictureRoom",
    "StoredSize",
    "check_size",
    "open_image",
    "stored_size",
]
