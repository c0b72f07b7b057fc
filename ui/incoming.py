"""The bodies of requests to the page as they come: within bounds of bytes and of time.

What goes wrong on the way is told as Gradio's parser of forms tells it, which then deletes what it
had written; any other failure would leave a file behind for each upload that its visitor left.
"""

from __future__ import annotations

import anyio
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive, Scope

from models.limits import MAX_IMAGES
from models.schema import UserError
from ui.refusals import Refusal

LARGEST_JSON = 1 << 20  # bytes; the picture is a file of its own
LARGEST_UPLOAD = MAX_IMAGES * 20 * (1 << 20) + (1 << 20)  # bytes of all files of a form
READ_WITHIN_S = 60.0  # for all of a body of JSON
PART_WITHIN_S = 30.0  # for the next part of an upload
_TOO_LARGE = "maximum allowed size"  # Gradio's words for a status of 413


async def read_json(length: str, receive: Receive) -> bytes:
    """The body of a request whose Content-Length is `length`, "" where it has none; Refusal where
    it is too large or too slow."""
    too_large = Refusal(
        413, UserError("The request is larger than 1 MB.", "Upload the picture as a file first.")
    )
    if (length or "0").rjust(20, "0") > f"{LARGEST_JSON:020}":
        raise too_large
    body = b""
    try:
        with anyio.fail_after(READ_WITHIN_S):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if len(body) > LARGEST_JSON:
                    raise too_large
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise Refusal(
            408, UserError("The request took too long to come.", "Send it again.")
        ) from None


def bounded_upload(scope: Scope, receive: Receive) -> Receive:
    """The messages of an upload; a MultiPartException where it is too large, too slow or left."""
    size = int(dict(scope["headers"]).get(b"content-length", b"0"))
    come = 0

    async def bounded() -> Message:
        nonlocal come
        if size > LARGEST_UPLOAD:
            raise MultiPartException(_TOO_LARGE)
        try:
            with anyio.fail_after(PART_WITHIN_S):
                message = await receive()
        except TimeoutError:
            raise MultiPartException("The upload stood still.") from None
        if message["type"] == "http.disconnect":
            raise MultiPartException("The upload was left.")
        come += len(message.get("body", b""))
        if come > LARGEST_UPLOAD:
            raise MultiPartException(_TOO_LARGE)
        return message

    return bounded
