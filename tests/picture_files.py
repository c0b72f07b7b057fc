"""Pictures as files, made for tests of how they are opened."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.images import OpenedImage, open_image
from models.schema import UserError

RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(color=RED, size=(8, 6)) -> Image.Image:
    """A picture of one colour."""
    return Image.new("RGB", size, color)


def refusal(source, **options) -> UserError:
    """The sentence with which a picture is refused."""
    with pytest.raises(UserError) as caught:
        open_image(source, **options)
    assert caught.value.remedy, "a refusal says what to do"
    assert "\n" not in str(caught.value)
    return caught.value


def pixel(opened: OpenedImage, at=(1, 1)) -> tuple[int, ...]:
    """The colour at a place of an opened picture."""
    assert opened.image.mode == "RGB"
    return opened.image.getpixel(at)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size without having its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with a further chunk behind its header."""
    crc = struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + struct.pack(">I", len(data)) + kind + data + crc + png[33:]


def save_kinds(folder: Path, picture: Image.Image) -> dict[str, Path]:
    """The same picture in every form that has to be read."""
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) << 8)
    frames = {"save_all": True, "append_images": [picture.rotate(90)], "duration": 50}
    forms = {
        "a.png": (picture, {}),
        "a.jpg": (picture, {}),
        "a.webp": (picture, {}),
        "rotated.jpg": (picture, {"exif": exif}),
        "deep.png": (deep, {}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "clear.png": (picture.convert("RGBA"), {}),
        "moving.gif": (picture, frames),
    }
    for name, (image, options) in forms.items():
        image.save(folder / name, **options)
    return {name: folder / name for name in forms}
