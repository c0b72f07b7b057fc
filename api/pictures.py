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
from models.images import OpenedImage, open_image

_DATA = re.compile(r"\s*data:([^,]*),", re.IGNORECASE)
_SPACE = re.compile(rb"\s+")


async def open_all(
    sources: Sequence[str | bytes], remote: RemotePictures
) -> tuple[OpenedImage, ...]:
    """The pictures in files (bytes) or at addresses (str), in order; ApiError or UserError."""
    return tuple([await _open(each, remote) for each in sources])


async def _open(source: str | bytes, remote: RemotePictures) -> OpenedImage:
    if isinstance(source, bytes):
        content = source
    elif found := _DATA.match(source):
        content = from_data_url(found[1], source[found.end() :])
    else:
        content = await remote.fetch(source)
    if len(content) > LARGEST_PICTURE:
        raise ApiError(
            413, f"A picture is larger than {LARGEST_PICTURE // 1_000_000} MB. Send a smaller one."
        )
    return await anyio.to_thread.run_sync(open_image, content)


def from_data_url(header: str, data: str) -> bytes:
    """The bytes of a data URL (RFC 2397) from what stands before and after its comma.

    Base 64 may be of the URL-safe alphabet, broken into lines, percent-encoded, and without its
    padding. ApiError where it is none.
    """
    content = unquote_to_bytes(data)
    if "base64" not in [each.strip().lower() for each in header.split(";")[1:]]:
        return content
    content = _SPACE.sub(b"", content).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except binascii.Error:
        raise ApiError(
            400, "A picture's data URL is not base 64. Encode the file's bytes.", code="bad_image"
        ) from None
