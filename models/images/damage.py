"""Files that are damaged or cut off: what Pillow's decoders raise on them, and what it overlooks.

This module knows files, and nothing of what a picture is to become.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, ImageChops, _imaging

from models.schema import UserError

# What Pillow's decoders raise on broken files, found in their sources; everything else is a bug.
DECODER_ERRORS = (
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
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_MISSING_SHARE = 0.05  # of a JPEG's rows
MAX_MISSING_ROWS = 16  # or so many: one row of its blocks

_PIECE_BYTES = 1_000_000
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2)
_NO_SEGMENT = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF)  # stuffing, restarts, start of image, fill
_FILLER = random.Random(0).randbytes(4096).replace(b"\xff", b"\x5a")


@functools.cache
def silence_libtiff() -> None:
    """Keep libtiff from writing what it thinks of a file to the process's standard error.

    Its handlers are the library's own, for the whole process, and Pillow does not offer them. They
    are found through the extension module that is linked against it; a Pillow that has it built in
    goes on as before. What is wrong with a file is told by Pillow's exceptions all the same.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(library, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


def damaged(name: str, error: BaseException) -> UserError:
    """What to say of a file on which a decoder raised `error`."""
    return UserError(
        f"{name} is damaged or incomplete ({reason(error)}).", "Save or send it again."
    )


def reason(error: BaseException) -> str:
    """The cause in a few words on one line, without paths."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__


def check_png(file: BinaryIO) -> bool:
    """Whether a PNG, open at its start, has its end; SyntaxError where a checksum is wrong.

    Pillow looks only at the checksums in front of the pixels. The file is left at its start.
    """
    file.seek(len(_PNG_SIGNATURE))
    try:
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            checksum = zlib.crc32(kind)
            while length and (piece := file.read(min(length, _PIECE_BYTES))):
                checksum = zlib.crc32(piece, checksum)
                length -= len(piece)
            stored = file.read(4)
            if len(stored) < 4:
                return False
            if struct.unpack(">I", stored)[0] != checksum:
                raise SyntaxError(f"the checksum of its {kind.decode('ascii', 'replace')} is wrong")
            if kind == b"IEND":
                return True
        return False
    finally:
        file.seek(0)


@dataclass(frozen=True)
class CompletedJpeg:
    """A JPEG without its end, as far as it goes; `missing` of its last rows are plain colour."""

    image: Image.Image
    missing: int


def complete_jpeg(data: bytes, decode: Callable[[BinaryIO], Image.Image]) -> CompletedJpeg | None:
    """A JPEG that lacks its end; None where more is missing than MAX_MISSING_SHARE or _ROWS say.

    `decode` opens and loads a file. Two different ends are put behind the data: where the two
    pictures differ, the file does not say what is there.
    """
    data = data.rstrip(b"\xff")
    if not _has_all_scans(data):
        return None
    image = decode(io.BytesIO(data + _END_OF_IMAGE))
    other = decode(io.BytesIO(data + _FILLER + _END_OF_IMAGE))
    differs = ImageChops.difference(image, other).getbbox()
    missing = image.height - differs[1] if differs else 0
    if missing > max(image.height * MAX_MISSING_SHARE, min(MAX_MISSING_ROWS, image.height // 2)):
        return None
    return CompletedJpeg(image, missing)


def _has_all_scans(data: bytes) -> bool:
    """Whether the last scan of a Huffman-coded JPEG has begun.

    A scan brings some coefficients of some components, in a progressive JPEG only their upper
    bits; the last has begun once the lowest bit of each coefficient is there or on its way.
    """
    missing: set[tuple[int, int]] = set()  # (component's id, coefficient)
    has_begun = False
    for marker, segment in _jpeg_segments(data):
        if marker in _FRAMES:
            ids = segment[6 : 6 + 3 * segment[5] : 3]
            missing = {(each, k) for each in ids for k in range(64)}
        elif marker == _START_OF_SCAN:
            has_begun = True
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            if bits & 0x0F == 0:
                ids = segment[1 : 1 + 2 * count : 2]
                missing -= {(each, k) for each in ids for k in range(first, last + 1)}
    return has_begun and not missing


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of each whole segment of the first picture of a JPEG file.

    What lies inside a segment, such as a thumbnail, is passed over; so is entropy-coded data.
    """
    at = 2
    while 0 <= at < len(data) - 4:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in _NO_SEGMENT:
            at = data.find(b"\xff", at + 1)
            continue
        if marker == _END_OF_IMAGE[1]:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data):
            return
        yield marker, data[at + 4 : end]
        at = end
