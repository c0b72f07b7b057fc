"""Pictures that an export comes with: as they are where every reader takes them so, else anew.

A picture that its file says to turn, or of a format that a reader does not know, is written upright
in a common one.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image

from models.images import open_image
from models.images.damage import DECODER_ERRORS

_ORIENTATION = 0x0112
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}
_JPEG_QUALITY = 95


def copy_picture(source: Path | bytes, folder: Path, stem: str) -> str:
    """Write a picture into a folder; its file name. UserError where it cannot be read."""
    folder.mkdir(parents=True, exist_ok=True)
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    kind, is_as_wanted = "", False
    try:
        with Image.open(opened) as image:
            kind = image.format or ""
            is_as_wanted = kind in _ENDINGS and image.getexif().get(_ORIENTATION, 1) == 1
    except DECODER_ERRORS:
        pass  # what is wrong is said below
    name = stem + _ENDINGS.get(kind, ".png")
    if not is_as_wanted:
        upright = open_image(source, reduce_above=None).image
        if _ENDINGS.get(kind) == ".jpg":
            upright.save(folder / name, quality=_JPEG_QUALITY, subsampling=0)
        else:
            upright.save(folder / name)
    elif isinstance(source, bytes):
        (folder / name).write_bytes(source)
    else:
        shutil.copyfile(source, folder / name)
    return name
