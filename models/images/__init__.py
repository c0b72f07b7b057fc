"""A file that somebody sent -> an RGB picture that is safe to work on, or a sentence why not.

It may import `models.schema` alone; it knows neither models nor the page. Everything that takes a
picture opens it with `open_image`: page, API, command line, training and evaluation.
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

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "REDUCE_ABOVE_PIXELS",
    "OpenedImage",
    "StoredSize",
    "check_size",
    "open_image",
    "stored_size",
]
