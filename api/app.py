"""All of `/v1` as one app, and how it and `/mcp` stand beside the page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fastapi import Depends, FastAPI, Request, Response
from pydantic.json_schema import models_json_schema
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answer import AnswerBody, answer_router
from api.chat import ChatBody
from api.chat_replies import chat_router
from api.errors import told
from api.health import ADDRESSES, Health
from api.mcp_server import MCP, Mcp
from api.shared import Shared

V1 = "/v1"
REF = "#/components/schemas/{model}"
BODIES = (AnswerBody, ChatBody)
DESCRIPTION = """PaliGemma 2: pictures and prompts in, text, boxes and masks out.

`POST /v1/answer` has a form of its own, with boxes in pixels and masks as COCO's run lengths;
`POST /v1/chat/completions` is OpenAI's, for clients that speak it."""


def create_v1(shared: Shared) -> FastAPI:
    """The app of `/v1`."""
    app = FastAPI(
        title="PaliGemma 2",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": V1}],
    )
    runner, remote = shared.runner, shared.remote
    for router in (answer_router(runner, remote), chat_router(runner, remote)):
        app.include_router(router, dependencies=[Depends(shared.gate)])

    @app.exception_handler(HTTPException)
    async def tell(request: Request, error: Exception) -> Response:
        reply = told(error).response()
        reply.headers.update(getattr(error, "headers", None) or {})
        return reply

    _describe_bodies(app)
    return app


class Beside:
    """Wraps the page's app: `/v1`, `/mcp` and the addresses of health come before it."""

    def __init__(self, app: ASGIApp, v1: ASGIApp, mcp: Mcp, health: Health) -> None:
        self._app, self._v1, self._mcp, self._health = app, v1, mcp, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            async with self._mcp.running():
                await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        send = _without_own_host(send)
        if path == V1 or path.startswith(f"{V1}/"):
            address = {"root_path": f"{root}{V1}", "path": scope["path"].rstrip("/")}
            await self._v1({**scope, **address}, receive, send)
        elif path.rstrip("/") == MCP:
            await self._mcp(scope, receive, send)
        elif path in ADDRESSES:
            await (await self._health.reply(path))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _without_own_host(send: Send) -> Send:
    """Sends on to paths alone: the host of an address is what the asker says, and its scheme is
    not known behind a proxy."""

    async def relative(message: Message) -> None:
        if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
            headers = MutableHeaders(raw=message["headers"])
            if "location" in headers:
                there = urlsplit(headers["location"])
                path = f"/{there.path.lstrip('/')}"  # two slashes would name a host
                headers["location"] = urlunsplit(("", "", path, there.query, there.fragment))
        await send(message)

    return relative


def _describe_bodies(app: FastAPI) -> None:
    """Add the forms of the bodies, which the routes read by themselves, to the description."""
    describe = app.openapi
    _, found = models_json_schema([(each, "validation") for each in BODIES], ref_template=REF)

    def described() -> dict[str, Any]:
        made = describe()
        made["components"]["schemas"].update(found["$defs"])
        return made

    app.openapi = described  # type: ignore[method-assign]
