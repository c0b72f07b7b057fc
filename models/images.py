"""Pictures from strangers -> RGB that is safe to work on, or a sentence saying why not.

A file is judged by its header (format, number of pixels) before anything is decoded. This module
knows nothing of models; what it did to a picture is in the notes.
"""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops, ImageFile, UnidentifiedImageError

from models.schema import UserError

MAX_PIXELS = 50_000_000
REDUCE_ABOVE_PIXELS = 16_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_NAMES = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"

# What Pillow's decoders raise on broken files, found in their sources; everything else is a bug.
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    struct.error,
    zlib.error,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_BAND_PIXELS = 4_000_000  # worked on at once where a conversion needs wide numbers
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class OpenedImage:
    """`image` is RGB and upright; `notes` are sentences about what was changed on the way."""

    image: Image.Image
    notes: tuple[str, ...] = ()


def open_image(
    source: str | Path | bytes | BinaryIO,
    max_pixels: int = MAX_PIXELS,
    reduce_above: int | None = REDUCE_ABOVE_PIXELS,
) -> OpenedImage:
    """Open a picture from a path, from bytes or from a binary file.

    A JPEG of more than `reduce_above` pixels is decoded at a half, quarter or eighth of its size,
    which a note says; None keeps every pixel. UserError where the file is missing, is no picture
    of a known format, has more than `max_pixels`, needs more memory than there is, or is damaged.
    """
    name, file = _as_file(source)
    try:
        head = _peek(file, 32)
        formats = _readable_formats(head, name)
        image = _open(file, formats, name, max_pixels)
        with image:
            return _normalise(image, name, reduce_above)
    except MemoryError:
        raise UserError(
            f"{name} is too large for the memory that is free.", "Use one of fewer pixels."
        ) from None
    finally:
        if not hasattr(source, "read"):
            file.close()


def check_size(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """UserError where a picture has more than `max_pixels`."""
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(
            f"The picture has {width} × {height} = {width * height / 1e6:.0f} million pixels.",
            f"Use one of at most {max_pixels / 1e6:.0f} million.",
        )


def _as_file(source: str | Path | bytes | BinaryIO) -> tuple[str, BinaryIO]:
    """A name for messages and an open file; only regular files, so that nothing waits forever."""
    if isinstance(source, (bytes, bytearray)):
        return "The picture", io.BytesIO(source)
    if hasattr(source, "read"):
        return "The picture", source
    path = Path(source)
    try:
        if not path.exists():
            raise UserError(f"{path} does not exist.", "Check the path.")
        if not path.is_file():
            raise UserError(f"{path} is not a file.", "Name a picture.")
        return path.name, path.open("rb")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}).", "Check the path.") from None


def _peek(file: BinaryIO, size: int) -> bytes:
    head = file.read(size)
    file.seek(0)
    return head


def _readable_formats(head: bytes, name: str) -> list[str]:
    """Formats to try; with HEIF where its plug-in is installed and the file needs it."""
    if head[4:8] != b"ftyp" or head[8:12] not in _HEIC_BRANDS:
        return list(FORMATS)
    if importlib.util.find_spec("pillow_heif") is None:
        raise UserError(
            f"{name} is a HEIC photo, which is not read here.",
            "Save it as JPEG, or install pillow-heif on the machine that runs this.",
        )
    import pillow_heif

    pillow_heif.register_heif_opener()
    return [*FORMATS, "HEIF"]


def _open(file: BinaryIO, formats: list[str], name: str, max_pixels: int) -> ImageFile.ImageFile:
    """The header read, its size checked, nothing decoded."""
    try:
        image = Image.open(file, formats=formats)
    except UnidentifiedImageError:
        raise UserError(
            f"{name} is not a picture that can be read.", f"Use a {_NAMES} file."
        ) from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{name} has far too many pixels.",
            f"Use one of at most {max_pixels / 1e6:.0f} million.",
        ) from None
    except _BROKEN as error:
        raise _damaged(name, error) from None
    check_size(image, max_pixels)
    return image


def _normalise(image: ImageFile.ImageFile, name: str, reduce_above: int | None) -> OpenedImage:
    """Decode the first frame; depth, colours, alpha and orientation as a screen shows them."""
    notes: list[str] = []
    try:
        if image.format != "MPO" and getattr(image, "is_animated", False):
            part = "page" if image.format == "TIFF" else "frame"
            notes.append(f"The file has several {part}s; only the first is used.")
        turn = _TURNS.get(_orientation(image))
        full_size = image.size
        if reduce_above and image.format in ("JPEG", "MPO"):
            image.draft("RGB", _reduced(full_size, reduce_above))
        image.load()
    except _BROKEN as error:
        raise _damaged(name, error) from None
    size = image.size
    rgb = _to_rgb(image, notes, name)
    Image.Image.close(image)  # the pixels only, before the next copy; the file is not ours
    if turn is not None:
        rgb = rgb.transpose(turn)
        notes.append("The picture was turned upright as its camera noted.")
    if size != full_size:
        width, height = rgb.size
        notes.append(f"The picture was read at {width} × {height} pixels to save memory.")
    rgb.info = {}
    return OpenedImage(rgb, tuple(notes))


def _reduced(size: tuple[int, int], limit: int) -> tuple[int, int]:
    """The size that a JPEG is asked for: the largest power-of-two part below `limit` pixels."""
    width, height = size
    scale = 1
    while scale < 8 and (width // scale) * (height // scale) > limit:
        scale *= 2
    return max(1, width // scale), max(1, height // scale)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the EXIF block is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _BROKEN:
        return 1


def _to_rgb(image: Image.Image, notes: list[str], name: str) -> Image.Image:
    if image.mode in _DEEP_MODES:
        notes.append("Brightness was reduced to 8 bits.")
        return _from_deep(image).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _over_white(image, notes, name)
    return _convert(image, "RGB", name)


def _convert(image: Image.Image, mode: str, name: str) -> Image.Image:
    """Pillow's conversion, where what a file's colours or palette break shows at last."""
    try:
        return image.convert(mode)
    except _BROKEN as error:
        raise _damaged(name, error) from None


def _from_deep(image: Image.Image) -> Image.Image:
    """8 bits from 16-bit, 32-bit or floating-point grey, relative to the range of the type.

    It goes by bands: the wide numbers of all pixels would take several times the picture's memory.
    """
    grey = Image.new("L", image.size)
    top = None if image.mode.startswith("I;16") else _brightest(image)
    for at, band in _bands(image):
        if top is None:
            reduced = (band >> 8).astype(np.uint8)
        else:
            # Neither type says what white is: 1 for fractions, else the depth that the brightest
            # needs.
            white = next((limit for limit in (1.0, 255.0, 65535.0) if top <= limit), top)
            if image.mode == "I":
                white = max(white, 65535.0)
            reduced = (band.clip(0, white) * (255 / white) + 0.5).astype(np.uint8)
        grey.paste(Image.fromarray(reduced), (0, at))
    return grey


def _brightest(image: Image.Image) -> float:
    return max((float(band.max(initial=0.0)) for _, band in _bands(image)), default=0.0)


def _bands(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, uint16 or finite float32[rows, width]) of parts from top to bottom."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        values = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        if not image.mode.startswith("I;16"):
            values = values.astype(np.float32)
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        yield top, values


def _over_white(image: Image.Image, notes: list[str], name: str) -> Image.Image:
    if image.mode not in ("RGBA", "LA") or "transparency" in image.info:
        coloured = _convert(image, "RGBA", name)
        Image.Image.close(image)
        image = coloured
    alpha = image.getchannel("A")
    rgb = _convert(image, "RGB", name)
    if alpha.getextrema()[0] < 255:
        notes.append("Transparent parts were put on white.")
        rgb.paste("white", mask=ImageChops.invert(alpha))
    return rgb


def _damaged(name: str, error: BaseException) -> UserError:
    return UserError(
        f"{name} is damaged or incomplete ({_reason(error)}).", "Save or send it again."
    )


def _reason(error: BaseException) -> str:
    """The cause in a few words on one line, without paths."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__
