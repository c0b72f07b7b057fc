"""`/mcp`: the model as tools for agents, by the Model Context Protocol over Streamable HTTP.

The protocol is that of the official SDK, which takes most of a second to import and is imported
when `/mcp` is first asked. Sessions keep their state in this process, so that a call can be
cancelled; each request is checked as those of `/v1` are.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import anyio.to_thread
from PIL import Image
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from api.bodies import LARGEST_PICTURE, read_values
from api.calling import DESCRIBED_AT, Calls, Uploaded
from api.choosing import offered
from api.errors import ApiError, told
from api.shared import Shared
from api.tool_answers import Answer, Comparison, Reply
from api.tools import TOOLS, Compare
from models.schema import Result

MCP = "/mcp"
SESSION = "mcp-session-id"
LARGEST_CALL = LARGEST_PICTURE * 4 // 3 + 1_000_000  # bytes: a picture in base 64
LARGEST_OTHER = 64_000  # bytes of a message that is no call
SESSIONS_AT_ONCE = 500
SESSION_IDLE_S = 600.0  # after which it is forgotten; its client begins another
JPEG_QUALITY = 90
INSTRUCTIONS = """PaliGemma 2 looks at pictures: captions, answers, printed text, boxes and masks.
The default model is {default}. Models called nano know drawn scenes of their own kind and nothing \
else; for photographs name a larger model where one is listed in a tool's argument `model`."""


@dataclass(frozen=True)
class Lent:
    """What the page can do and this can use: draw the objects of a result on its picture, and find
    a file that was uploaded."""

    draw: Callable[[Image.Image, Result], Image.Image]
    uploaded: Uploaded


class Mcp:
    """The app at `/mcp`; `running` is entered for as long as the server runs."""

    def __init__(self, shared: Shared, lent: Lent):
        self._shared, self._lent = shared, lent
        self._calls = Calls(shared, lent.uploaded)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._starting: anyio.Lock | None = None  # both belong to the event loop
        self._sessions: Any = None  # the SDK's manager of them

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions live inside it, and end with it."""
        async with anyio.create_task_group() as tasks:
            self._tasks, self._starting = tasks, anyio.Lock()
            try:
                yield
            finally:
                self._tasks = self._starting = self._sessions = None
                tasks.cancel_scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            check_origin(request)
            asker = self._shared.gate.asker(request)
            if SESSION not in request.headers:  # the calls within a session count by themselves
                self._shared.gate.count(asker)
            if request.method == "POST":
                body = await read_values(request, LARGEST_CALL)
                check_message(body)
                receive = _again(body, receive)
            sessions = await self._started()
            await sessions.handle_request(scope, receive, send)
        except (ApiError, ClientDisconnect) as error:
            await told(error).response()(scope, receive, send)

    async def _started(self) -> Any:
        if self._tasks is None or self._starting is None:
            raise RuntimeError("the server's lifespan has not begun")
        async with self._starting:
            if self._sessions is None:
                made = await anyio.to_thread.run_sync(self._make)
                await self._tasks.start(self._keep, made)
                self._sessions = made
        return self._sessions

    @staticmethod
    async def _keep(sessions: Any, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with sessions.run():
            task_status.started()
            await anyio.sleep_forever()

    def _make(self) -> Any:
        from mcp import types
        from mcp.server.lowlevel import Server
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        logging.getLogger("mcp").setLevel(logging.WARNING)  # it tells of every request
        logging.getLogger("mcp.server.streamable_http").addFilter(_is_failure)
        backend = self._shared.runner.backend
        instructions = INSTRUCTIONS.format(default=backend.catalog.default)
        server: Server[Any, Request] = Server("paligemma2", "1", instructions)

        @server.list_tools()
        async def tools() -> list[types.Tool]:
            found = await anyio.to_thread.run_sync(offered, backend)
            names = tuple(each.name for each in found)
            hints = types.ToolAnnotations(readOnlyHint=True, openWorldHint=False)
            return [
                types.Tool(
                    name=each.name,
                    title=each.title,
                    description=each.description,
                    inputSchema=each.schema(names),
                    outputSchema=(
                        Comparison if each.arguments is Compare else Answer
                    ).model_json_schema(),
                    annotations=hints,
                )
                for each in TOOLS
            ]

        @server.call_tool(validate_input=False)
        async def call(name: str, arguments: dict[str, Any]) -> types.CallToolResult:
            request = server.request_context.request
            assert request is not None  # it came over HTTP
            try:
                self._shared.gate.count(self._shared.gate.asker(request))
                opened, reply = await self._calls.call(name, arguments, request.is_disconnected)
                shown = await anyio.to_thread.run_sync(self._drawn, opened.image, reply)
            except Exception as error:
                said = told(error, DESCRIBED_AT)
                text = types.TextContent(type="text", text=str(said))
                return types.CallToolResult(content=[text], isError=True)
            pictures = [
                types.ImageContent(type="image", data=data, mimeType="image/jpeg") for data in shown
            ]
            text = types.TextContent(type="text", text=reply.words)
            return types.CallToolResult(
                content=[text, *pictures], structuredContent=reply.structured
            )

        return StreamableHTTPSessionManager(
            server,
            session_idle_timeout=SESSION_IDLE_S,
            max_sessions=SESSIONS_AT_ONCE,
            max_request_body_size=LARGEST_CALL,
        )

    def _drawn(self, image: Image.Image, reply: Reply) -> list[str]:
        """A JPEG in base 64 for each result that has objects."""
        return [_in_base64(self._lent.draw(image, each)) for each in reply.drawable]


def check_origin(request: Request) -> None:
    """ApiError where a web page asks that is not of this machine, for this machine.

    Programs send no Origin. A page of elsewhere could otherwise let its visitor's browser ask a
    server on the visitor's machine, also under a name of its own that leads there.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return
    hosts = (urlsplit(origin).hostname, urlsplit(f"//{request.headers.get('host', '')}").hostname)
    if not all(map(_is_this_machine, hosts)):
        raise ApiError(
            403,
            "This address is for programs, and a web page asked. Ask without the header Origin.",
            code="origin_not_allowed",
        )


def _is_this_machine(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def check_message(body: bytes) -> None:
    """ApiError where a message is nested too deep to be read, or large and no call of a tool.

    Only such a call has a picture, and is answered. The SDK writes what it does not know to the
    log, all of it.
    """
    try:
        given = json.loads(body)
    except RecursionError:
        raise ApiError(400, "The message is nested too deep. Send it flat.") from None
    except ValueError:
        given = None  # which the SDK refuses as the protocol has it
    is_call = isinstance(given, dict) and given.get("method") == "tools/call"
    if len(body) > LARGEST_OTHER and not (is_call and isinstance(given.get("id"), int | str)):
        raise ApiError(
            413,
            f"The message is larger than {LARGEST_OTHER // 1000} kB and no call of a tool. "
            "Send less.",
        )


def _again(body: bytes, receive: Receive) -> Receive:
    """The messages of a request whose body was read: the body, and what came after it."""
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _is_failure(record: logging.LogRecord) -> bool:
    """Not that a stream was closed, which the SDK tells at the end of every session."""
    return not (record.exc_info and isinstance(record.exc_info[1], anyio.ClosedResourceError))


def _in_base64(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=JPEG_QUALITY)
    return base64.b64encode(file.getvalue()).decode()
