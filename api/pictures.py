"""A picture of a request: the bytes of a file, or an address that holds or names them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import anyio.to_thread

from api.bodies import LARGEST_PICTURE
from api.errors import ApiError
from api.remote_pictures import RemotePictures
from models.images import ROOM, OpenedImage

_DATA = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_URL_SAFE, _SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\r\n\v\f"
# What of base 64 is escaped in addresses; each in both cases.
_ESCAPED = {b"%2B": b"+", b"%2F": b"/", b"%3D": b"=", b"%0A": b"", b"%0D": b"", b"%20": b""}
LONGEST_PLAIN = 100_000  # characters of a data URL that is not base 64, which takes long to read


async def open_all(
    sources: Sequence[str | bytes], remote: RemotePictures
) -> tuple[OpenedImage, ...]:
    """The pictures in files (bytes) or at addresses (str), in order; ApiError or UserError."""
    return tuple([await _open(each, remote) for each in sources])


async def _open(source: str | bytes, remote: RemotePictures) -> OpenedImage:
    if isinstance(source, str) and not _DATA.match(source):
        source = await remote.fetch(source)
    return await anyio.to_thread.run_sync(_opened, source)


def _opened(source: str | bytes) -> OpenedImage:
    """The picture in bytes or in a data URL."""
    content = source if isinstance(source, bytes) else from_data_url(source)
    if len(content) > LARGEST_PICTURE:
        raise ApiError(
            413, f"A picture is larger than {LARGEST_PICTURE // 1_000_000} MB. Send a smaller one."
        )
    return ROOM.open(content)


def from_data_url(url: str) -> bytes:
    """The bytes of a data URL (RFC 2397).

    Base 64 may be of the URL-safe alphabet, broken into lines, percent-encoded, and without its
    padding. ApiError where it is none.
    """
    head, _, data = url.partition(",")
    if "base64" not in [each.strip().lower() for each in head.split(";")[1:]]:
        if len(data) > LONGEST_PLAIN:
            raise ApiError(
                400, "A picture's data URL is not base 64. Send it so.", code="bad_image"
            )
        return unquote_to_bytes(data.encode("utf-8", "surrogatepass"))
    content = data.encode("ascii", "replace")
    for escaped, meant in _ESCAPED.items():
        content = content.replace(escaped, meant).replace(escaped.lower(), meant)
    content = content.translate(_URL_SAFE, _SPACE).rstrip(b"=")
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except binascii.Error:
        raise ApiError(
            400, "A picture's data URL is not base 64. Encode the file's bytes.", code="bad_image"
        ) from None
