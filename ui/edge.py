"""The outermost layer of the server: what it refuses, what it says of failures, what may be cached.

An ASGI middleware inside Gradio's app. Bodies of JSON are read, judged and handed on as they came;
uploads and streams pass through, and what tells a failure in them gets a sentence.
"""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi.responses import FileResponse
from gradio.route_utils import get_root_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.schema import UserError, quoted
from ui.addresses import VARIES_WITH, with_checked_headers
from ui.api_description import corrected
from ui.api_samples import PICTURES, with_own_samples
from ui.api_values import check_names, check_values
from ui.embedding import SCRIPT, SCRIPT_HEADERS, SCRIPT_PATH, Embedding
from ui.incoming import bounded_upload, read_json
from ui.refusals import (
    NO_FILE,
    NO_SUCH_ANSWER,
    OWN_FAILURE,
    Refusal,
    is_unknown_answer,
    say,
    worded,
    worded_event,
    worded_message,
)
from ui.social import PREVIEW, PREVIEW_PATH, with_own_tags

logger = logging.getLogger(__name__)

API = "/gradio_api"
UPLOAD = f"{API}/upload"
COMPRESSION = 5  # of gzip's nine levels; the page takes some milliseconds
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
FILES = {
    **{path: (file, {"cache-control": A_DAY}) for path, file in PICTURES.items()},
    PREVIEW_PATH: (PREVIEW, {"cache-control": A_DAY}),
    SCRIPT_PATH: (SCRIPT, SCRIPT_HEADERS),
}
INFO, OPENAPI = f"{API}/info", f"{API}/openapi.json"
# Gradio's functions for components that this page does not have.
CLOSED = tuple(f"{API}/{name}" for name in ("component_server", "stream/", "process_recording"))
NAMING_THE_SERVER = ("/", "/config", INFO)  # in addresses, so that each reply is for one asker


class Edge:
    """Wraps Gradio's app; `embedding` says which pages may frame it."""

    def __init__(self, app: ASGIApp, embedding: Embedding) -> None:
        self._app, self._policy = app, embedding.policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = with_checked_headers(scope)
        path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/") or "/"
        if path in FILES and scope["method"] in ("GET", "HEAD"):
            file, headers = FILES[path]
            await FileResponse(file, headers=headers)(scope, receive, send)
            return
        if path == INFO and not scope["query_string"]:
            # Without a page's name Gradio keeps the first asker's address for all later ones.
            scope["query_string"] = b"page="
        reply = _Reply(scope, path, self._policy, send)
        try:
            if path.startswith(CLOSED):
                raise Refusal(404, UserError("The page has no such function.", f"See {INFO}."))
            if scope["method"] == "POST" and _takes_json(path):
                receive = await _judged(scope, path, receive)
            if path == UPLOAD and scope["method"] == "POST":
                receive = bounded_upload(scope, receive)
            await self._app(scope, receive, reply.send)
        except Refusal as refusal:
            await say(str(refusal), refusal.status)(scope, receive, send)
        except Exception as error:
            if reply.is_over:  # the failure was told, as an event or a status
                return
            if path == UPLOAD and _is_of_a_text(error):
                await say(str(NO_FILE), 400)(scope, receive, send)
                return
            if reply.has_started:
                raise
            logger.exception("%s %s failed", scope["method"], path)
            await say(str(OWN_FAILURE), 500)(scope, receive, send)


def _is_of_a_text(error: Exception) -> bool:
    """Whether Gradio's reader of uploads failed because a text came in place of a file: with an
    `upload_id` it looks for the name of a file that is not there."""
    said = str(error)
    return (isinstance(error, TypeError) and "UploadFile" in said) or (
        isinstance(error, AttributeError) and "'filename'" in said
    )


def _takes_json(path: str) -> bool:
    return path.startswith(tuple(f"{API}/{name}/" for name in ("call", "run", "api", "queue")))


async def _judged(scope: Scope, path: str, receive: Receive) -> Receive:
    """The request's messages once more, after its body was read; Refusal where it cannot be
    answered."""
    body = await read_json(Headers(scope=scope).get("content-length", ""), receive)
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
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(
            415,
            UserError(
                f"The request's type is {quoted(kind)}." if kind else "The request has no type.",
                "Send the header Content-Type: application/json.",
            ),
        )
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()  # that the client has gone
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _check(blocks: Any, path: str, given: Mapping[str, Any]) -> None:
    """Refusal or UserError where Gradio would fail on a request for one of the page's functions."""
    kind, *rest = path.removeprefix(f"{API}/").strip("/").split("/")
    by_name = {fn.api_name: fn for fn in blocks.fns.values() if fn.api_visibility == "public"}
    if kind == "call":
        version, name = (rest[0], rest[1]) if len(rest) == 2 else ("", rest[0] if rest else "")
        if name not in by_name:
            known = ", ".join(f"/{each}" for each in by_name)
            raise Refusal(
                404, UserError(f"There is no endpoint {quoted(name)}.", f"Use one of {known}.")
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
    fn = blocks.fns.get(index) if isinstance(index, int) else None
    if fn is None or fn.fn is None:  # the browser's own have none
        raise Refusal(
            404, UserError("The page has no such function.", f"Post to {API}/call/answer.")
        )
    if kind != "queue" and fn.queue:
        raise Refusal(
            404, UserError("This way past the queue is closed.", f"Post to {API}/queue/join.")
        )
    if fn.api_visibility == "public":
        check_values(given.get("data"), fn.inputs, _parameters(blocks, fn.api_name))
    elif not isinstance(given.get("data"), list) or (
        len(given["data"]) < len(fn.inputs) and not fn.cancels
    ):
        raise UserError("The values are not those of the page.", "Load the page again.")


def _parameters(blocks: Any, name: str) -> list[dict[str, Any]]:
    return blocks.get_api_info()["named_endpoints"][f"/{name}"]["parameters"]


class _Reply:
    """Hands a response on, with headers for caches, tags and samples of the page's own, and a
    sentence in whatever refuses."""

    def __init__(self, scope: Scope, path: str, policy: str, send: Send) -> None:
        self._scope, self._path, self._policy, self._send = scope, path, policy, send
        self._held: Message | None = None  # the start of a response whose body is to be seen first
        self._body = b""
        self._is_stream = False
        self._is_answer = path.startswith(f"{API}/call/")
        self.has_started = False
        self.is_over = False

    async def send(self, message: Message) -> None:
        """One message of the response."""
        if self.is_over:
            return
        if message["type"] == "http.response.start":
            await self._start(message)
        elif self._is_stream:
            await self._send_event(message)
        elif self._held is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._send_held(self._held)
        else:
            await self._send(message)

    async def _start(self, message: Message) -> None:
        status, headers = message["status"], MutableHeaders(raw=message["headers"])
        kind = headers.get("content-type", "")
        if self._path.startswith(f"{API}/file="):  # whose ending, not content, says what it is
            headers["x-content-type-options"] = "nosniff"
        if "text/html" in kind:
            headers["content-security-policy"] = self._policy
        is_page = self._path == "/" and "text/html" in kind
        if self._path in NAMING_THE_SERVER:
            headers["vary"] = VARIES_WITH
        if is_page or self._path == INFO:
            headers["cache-control"] = "no-cache"
        elif status in (200, 304):
            self._let_cache(headers)
        self._is_stream = kind.startswith("text/event-stream") and (
            self._is_answer or self._path == f"{API}/queue/data"
        )
        is_seen = status == 200 and (is_page or self._path in (UPLOAD, INFO, OPENAPI))
        is_seen = (is_seen or status >= 400) and self._scope["method"] != "HEAD"
        if is_seen or (self._is_stream and self._is_answer):
            self._held = message
            return
        self.has_started = True
        await self._send(message)

    def _let_cache(self, headers: MutableHeaders) -> None:
        if self._path.endswith(".woff2"):
            headers["cache-control"] = A_DAY
        for start, directive in CACHED.items():
            if self._path.startswith(start):
                headers["cache-control"] = directive

    async def _send_event(self, message: Message) -> None:
        """One event of a stream; Gradio sends each as a message."""
        event = message.get("body", b"")
        if self._held is not None:
            start, self._held, self.has_started = self._held, None, True
            if is_unknown_answer(event):
                self.is_over = True
                await say(str(NO_SUCH_ANSWER), 404)(self._scope, _nothing, self._send)
                return
            await self._send(start)
        said = worded_event(event) if self._is_answer else worded_message(event)
        # Gradio raises what it has just told.
        self.is_over = b'"msg": "unexpected_error"' in said
        await self._send({**message, "body": said, "more_body": message.get("more_body", False)})
        if self.is_over:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_held(self, start: Message) -> None:
        body, self.has_started = self._body, True
        headers = MutableHeaders(raw=start["headers"])
        if start["status"] >= 400:
            body = worded(start["status"], body, self._path == UPLOAD)
            headers["content-type"] = "application/json"
        elif self._path == INFO:
            body = self._with_own_samples(body)
        elif self._path == OPENAPI:
            endpoints = self._scope["app"].get_blocks().get_api_info()["named_endpoints"]
            body = corrected(body.decode(), endpoints).encode()
        elif self._path != UPLOAD:
            body = self._compressed(with_own_tags(body.decode(), self._scope).encode(), headers)
        elif body == b"[]":
            start = {**start, "status": 400}
            body = bytes(say(str(NO_FILE), 400).body)
        headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    def _compressed(self, page: bytes, headers: MutableHeaders) -> bytes:
        """The page as small as its asker can read it; Gradio compresses only what has an ending."""
        headers.add_vary_header("Accept-Encoding")
        if "gzip" not in Headers(scope=self._scope).get("accept-encoding", ""):
            return page
        headers["content-encoding"] = "gzip"
        return gzip.compress(page, COMPRESSION)

    def _with_own_samples(self, body: bytes) -> bytes:
        app = self._scope["app"]
        address = get_root_url(Request(self._scope), INFO, app.root_path)
        return with_own_samples(body.decode(), address, app.get_blocks().space_id).encode()


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
