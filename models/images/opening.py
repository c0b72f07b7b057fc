"""Pictures from strangers -> RGB that is safe to work on, or a sentence saying why not.

A file is judged by its header (format, number of pixels) before anything is decoded; what was done
to a picture on the way is in the notes.
"""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from models.images.colours import to_srgb
from models.images.damage import (
    DECODER_ERRORS,
    check_png,
    complete_jpeg,
    damaged,
    reason,
    silence_libtiff,
)
from models.schema import UserError

MAX_PIXELS = 50_000_000
REDUCE_ABOVE_PIXELS = 16_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_NAMES = "PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_UPRIGHT = (
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
)  # those that keep width and height as they are
_ORIENTATION = 0x0112
_SAMPLE_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point"}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class OpenedImage:
    """`image` is sRGB and upright; `notes` are sentences about what was changed on the way.

    `full_size` is (width, height) of the upright picture in the file, where `image` is smaller.
    """

    image: Image.Image
    full_size: tuple[int, int]
    notes: tuple[str, ...] = ()


def open_image(
    source: str | Path | bytes | BinaryIO,
    max_pixels: int = MAX_PIXELS,
    reduce_above: int | None = REDUCE_ABOVE_PIXELS,
) -> OpenedImage:
    """Open a picture from a path, from bytes or from a binary file.

    A JPEG of more than `reduce_above` pixels is decoded at a half, quarter or eighth of its size,
    which a note says; None keeps every pixel. A JPEG that lacks its end is taken where all but the
    last rows are there, a PNG where all pixels are. UserError where the file is missing, is no
    picture of a known format, has more than `max_pixels`, needs more memory than there is, or is
    damaged.
    """
    name, file = _as_file(source)
    try:
        head = _peek(file, 32, name)
        formats = _readable_formats(head, name)
        image = _open(file, formats, name, max_pixels)
        with image:
            return _normalise(image, file, name, reduce_above)
    except MemoryError:
        raise UserError(
            f"{name} is too large for the memory that is free.", "Use one of fewer pixels."
        ) from None
    finally:
        if not hasattr(source, "read"):
            file.close()


@dataclass(frozen=True)
class StoredSize:
    """(width, height) of a picture as its file has it, and how EXIF says that it is turned.

    `orientation` is 1 to 8, as EXIF counts them.
    """

    size: tuple[int, int]
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the picture as it is opened."""
        is_turned = self.orientation in _TURNS and _TURNS[self.orientation] not in _UPRIGHT
        return self.size[::-1] if is_turned else self.size


def stored_size(source: str | Path | bytes) -> StoredSize:
    """The size of a picture by its header; nothing is decoded. UserError as `open_image`."""
    name, file = _as_file(source)
    with file:
        formats = _readable_formats(_peek(file, 32, name), name)
        with _open(file, formats, name, MAX_PIXELS) as image:
            size = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # which are measured as turned
                width, height = TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH
                size = image.tag_v2[width], image.tag_v2[height]
            return StoredSize(size, _orientation(image))


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
        return "The picture", cast(BinaryIO, source)
    if source == "":
        raise UserError("There is no path of a picture.", "Name one.")
    path = Path(source)
    try:
        if not path.exists():
            raise UserError(f"{source} does not exist.", "Check the path.")
        if not path.is_file():
            raise UserError(f"{path} is not a file.", "Name a picture.")
        return path.name, path.open("rb")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason(error)}).", "Check the path.") from None


def _peek(file: BinaryIO, size: int, name: str) -> bytes:
    """The first bytes; UserError where the system cannot read the file."""
    try:
        head = file.read(size)
        file.seek(0)
    except OSError as error:
        raise UserError(f"{name} cannot be read ({reason(error)}).", "Check the disk.") from None
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
        raise _unknown_tiff(file, name) or UserError(
            f"{name} is not a picture that can be read.", f"Use a {_NAMES} file."
        ) from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{name} has far too many pixels.",
            f"Use one of at most {max_pixels / 1e6:.0f} million.",
        ) from None
    except DECODER_ERRORS as error:
        raise damaged(name, error) from None
    check_size(image, max_pixels)
    return image


def _unknown_tiff(file: BinaryIO, name: str) -> UserError | None:
    """What is unusual about a TIFF that Pillow does not know; None where it is no TIFF."""
    try:
        file.seek(0)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        bits = tags[TiffImagePlugin.BITSPERSAMPLE]
        kind = _SAMPLE_FORMATS.get(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0], "other")
    except DECODER_ERRORS:
        return None
    return UserError(
        f"{name} is a TIFF of {len(bits)} × {bits[0]}-bit {kind} numbers a pixel, which is not "
        "read here.",
        "Save it with 8 or 16 bits per channel.",
    )


def _normalise(
    opened: ImageFile.ImageFile, file: BinaryIO, name: str, reduce_above: int | None
) -> OpenedImage:
    """Decode the first frame; depth, colours, alpha and orientation as a screen shows them."""
    notes: list[str] = []
    try:
        if opened.format != "MPO" and getattr(opened, "is_animated", False):
            part = "page" if opened.format == "TIFF" else "frame"
            notes.append(f"The file has several {part}s; only the first is used.")
        stored = _orientation(opened)
        full_size = opened.size
        image = _loaded(opened, file, notes, reduce_above)
        turn = _TURNS.get(_orientation(image))  # none for a TIFF, which Pillow turns as it loads
    except DECODER_ERRORS as error:
        raise damaged(name, error) from None
    is_reduced = image.size != full_size
    rgb = to_srgb(image, notes, name)
    if rgb is not image:
        Image.Image.close(image)  # the pixels only, before the next copy; the file is not ours
    if turn is not None:
        rgb = rgb.transpose(turn)
        full_size = full_size if turn in _UPRIGHT else full_size[::-1]
    if stored in _TURNS:
        notes.append("The picture was turned upright as its camera noted.")
    if is_reduced:
        notes.append(f"The picture was read at {rgb.width} × {rgb.height} pixels to save memory.")
    return OpenedImage(_bare(rgb), full_size, tuple(notes))


def _loaded(
    image: ImageFile.ImageFile, file: BinaryIO, notes: list[str], reduce_above: int | None
) -> Image.Image:
    """The picture with its pixels; one of DECODER_ERRORS where too much of them is missing."""
    if image.format == "PNG":
        at = file.tell()
        if not check_png(file):
            notes.append("The end of the file is missing, but no part of the picture.")
        file.seek(at)
    if image.format == "TIFF":
        silence_libtiff()
    if image.format not in ("JPEG", "MPO"):
        image.load()
        return image

    def decode(source: ImageFile.ImageFile) -> ImageFile.ImageFile:
        if reduce_above:
            source.draft("RGB", _reduced(source.size, reduce_above))
        source.load()
        return source

    try:
        return decode(image)
    except DECODER_ERRORS as error:
        file.seek(0)
        found = complete_jpeg(file.read(), lambda data: decode(Image.open(data, formats=["JPEG"])))
        if found is None:
            raise error
    if found.missing:
        share = found.missing / found.image.height
        notes.append(f"The end of the file is missing, and with it the last {share:.1%} of rows.")
    else:
        notes.append("The end of the file is missing, but no part of the picture.")
    return found.image


def _bare(image: Image.Image) -> Image.Image:
    """The picture without what its file said of it."""
    image.info = {}
    return image


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
    except DECODER_ERRORS:
        return 1
