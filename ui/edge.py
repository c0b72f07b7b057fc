"""The outermost layer of the server: what it refuses, what it says of failures, what may be cached.

An ASGI middleware inside Gradio's app. Bodies of JSON are read, judged and handed on as they came;
uploads and streams pass through.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.schema import UserError
from ui.api_values import check_names, check_values
from ui.social import PREVIEW, PREVIEW_PATH, with_own_tags

logger = logging.getLogger(__name__)

API = "/gradio_api"
UPLOAD = f"{API}/upload"
LARGEST_JSON = 1 << 20  # bytes; the picture is a file of its own
A_YEAR = "public, max-age=31536000, immutable"  # for files whose names hold their hash
A_DAY = "public, max-age=86400"
CACHED = {
    "/assets/": A_YEAR,
    "/static/": A_DAY,
    "/favicon.ico": A_DAY,
    "/theme.css": "no-cache",
    f"{API}/theme.css": "no-cache",
    "/config": "no-cache",
}
OWN_FAILURE = UserError(
    "The server could not answer because of an error of its own.",
    "Try again, or look at the server's log.",
)
NO_FILE = UserError("There is no file in the upload.", "Send it as multipart field `files`.")


class Refusal(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, error: UserError) -> None:
        super().__init__(str(error))
        self.status = status


class Edge:
    """Wraps Gradio's app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        if path == PREVIEW_PATH and scope["method"] in ("GET", "HEAD"):
            headers = {"cache-control": A_DAY}
            await FileResponse(PREVIEW, headers=headers)(scope, receive, send)
            return
        reply = _Reply(scope, path, send)
        try:
            if scope["method"] == "POST" and _takes_json(path):
                receive = await _judged(scope, path, receive)
            await self._app(scope, receive, reply.send)
        except Refusal as refusal:
            await _say(str(refusal), refusal.status)(scope, receive, send)
        except Exception as error:
            if path == UPLOAD and isinstance(error, TypeError) and "UploadFile" in str(error):
                await _say(str(NO_FILE), 400)(scope, receive, send)  # a text in place of the file
                return
            if reply.has_started:
                raise
            logger.exception("%s %s failed", scope["method"], path)
            await _say(str(OWN_FAILURE), 500)(scope, receive, send)


def _say(sentence: str, status: int) -> JSONResponse:
    # In `detail` as Gradio's clients look for it, in `error` for all others.
    detail = [{"__type__": "validate", "is_valid": False, "message": sentence}]
    return JSONResponse({"error": sentence, "detail": detail}, status)


def _takes_json(path: str) -> bool:
    return path.startswith(tuple(f"{API}/{name}/" for name in ("call", "run", "api", "queue")))


async def _judged(scope: Scope, path: str, receive: Receive) -> Receive:
    """The request's messages once more, after its body was read; Refusal where it cannot be
    answered."""
    body = await _read(scope, receive)
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, UserError("The request is not JSON.", 'Send {"data": [...]}.')) from None
    if not isinstance(given, dict):
        raise Refusal(422, UserError("The request is no JSON object.", 'Send {"data": [...]}.'))
    try:
        _check(scope["app"].get_blocks(), path, given)
    except UserError as error:
        raise Refusal(422, error) from None
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()  # that the client has gone
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _read(scope: Scope, receive: Receive) -> bytes:
    too_large = Refusal(
        413, UserError("The request is larger than 1 MB.", "Upload the picture as a file first.")
    )
    if (Headers(scope=scope).get("content-length") or "0").rjust(20, "0") > f"{LARGEST_JSON:020}":
        raise too_large
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_JSON:
            raise too_large
        if not message.get("more_body"):
            return body


def _check(blocks: Any, path: str, given: Mapping[str, Any]) -> None:
    """Refusal or UserError where Gradio would fail on a request for one of the page's functions."""
    kind, *rest = path.removeprefix(f"{API}/").strip("/").split("/")
    by_name = {fn.api_name: fn for fn in blocks.fns.values() if fn.api_visibility == "public"}
    if kind == "call":
        version, name = (rest[0], rest[1]) if len(rest) == 2 else ("", rest[0] if rest else "")
        if name not in by_name:
            known = ", ".join(f"/{each}" for each in by_name)
            raise Refusal(
                404, UserError(f"There is no endpoint {name[:40]!r}.", f"Use one of {known}.")
            )
        fn = by_name[name]
        parameters = _parameters(blocks, name)
        values: Any
        if version == "v2":
            check_names(given, parameters)
            defaults = [each["parameter_default"] for each in parameters]
            names = [each["parameter_name"] for each in parameters]
            values = [given.get(name, other) for name, other in zip(names, defaults, strict=True)]
        else:
            values = given.get("data")
        check_values(values, fn.inputs, parameters)
        return
    index = given.get("fn_index")
    if index is None and kind != "queue" and rest and rest[0] in by_name:
        raise Refusal(
            404, UserError("This way past the queue is closed.", f"Post to {API}/call/{rest[0]}.")
        )
    if not isinstance(index, int) or index not in blocks.fns:
        raise Refusal(
            404, UserError("The page has no such function.", f"Post to {API}/call/answer.")
        )
    fn = blocks.fns[index]
    if fn.api_visibility == "public":
        check_values(given.get("data"), fn.inputs, _parameters(blocks, fn.api_name))
    elif not isinstance(given.get("data"), list) or (
        len(given["data"]) < len(fn.inputs) and not fn.cancels
    ):
        raise UserError("The values are not those of the page.", "Load the page again.")


def _parameters(blocks: Any, name: str) -> list[dict[str, Any]]:
    return blocks.get_api_info()["named_endpoints"][f"/{name}"]["parameters"]


class _Reply:
    """Hands a response on, with headers for caches and, on the page itself, tags of its own."""

    def __init__(self, scope: Scope, path: str, send: Send) -> None:
        self._scope, self._path, self._send = scope, path, send
        self._held: Message | None = None  # the start of a response whose body is to be seen first
        self._body = b""
        self.has_started = False

    async def send(self, message: Message) -> None:
        """One message of the response."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            is_page = self._path == "/" and "text/html" in headers.get("content-type", "")
            if is_page:
                headers["cache-control"] = "no-cache"
            elif message["status"] in (200, 304):
                self._let_cache(headers)
            is_upload = self._path == UPLOAD and message["status"] == 200
            if is_upload or (is_page and self._scope["method"] == "GET"):
                self._held = message
                return
            self.has_started = True
        elif self._held is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            await self._send_held()
            return
        await self._send(message)

    def _let_cache(self, headers: MutableHeaders) -> None:
        if self._path.endswith(".woff2"):
            headers["cache-control"] = A_DAY
        for start, directive in CACHED.items():
            if self._path.startswith(start):
                headers["cache-control"] = directive

    async def _send_held(self) -> None:
        assert self._held is not None
        start, body = self._held, self._body
        self.has_started = True
        if self._path != UPLOAD:
            body = with_own_tags(body.decode(), self._scope).encode()
        elif body == b"[]":
            refusal = _say(str(NO_FILE), 400)
            start = {**start, "status": 400}
            body = bytes(refusal.body)
        MutableHeaders(raw=start["headers"])["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
