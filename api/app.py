"""All of `/v1` as one app, and how it stands beside the page."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from api.answer import AnswerBody, answer_router
from api.chat import ChatBody
from api.chat_replies import chat_router
from api.errors import told
from api.health import ADDRESSES, Health
from api.keys import Gate
from api.remote_pictures import RemotePictures
from api.running import Runner
from api.settings import ApiSettings
from models.serving.backend import Backend

V1 = "/v1"
REF = "#/components/schemas/{model}"
BODIES = (AnswerBody, ChatBody)
DESCRIPTION = """PaliGemma 2: pictures and prompts in, text, boxes and masks out.

`POST /v1/answer` has a form of its own, with boxes in pixels and masks as COCO's run lengths;
`POST /v1/chat/completions` is OpenAI's, for clients that speak it."""


def create_v1(
    backend: Backend, settings: ApiSettings, remote: RemotePictures | None = None
) -> FastAPI:
    """The app over a backend; `remote` None fetches pictures from the hosts of `settings`."""
    app = FastAPI(
        title="PaliGemma 2",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": V1}],
    )
    runner, gate = Runner(backend), Gate(settings)
    remote = remote or RemotePictures(settings.image_hosts)
    for router in (answer_router(runner, remote), chat_router(runner, remote)):
        app.include_router(router, dependencies=[Depends(gate)])

    @app.exception_handler(HTTPException)
    async def tell(request: Request, error: Exception) -> Response:
        reply = told(error).response()
        reply.headers.update(getattr(error, "headers", None) or {})
        return reply

    _describe_bodies(app)
    return app


class Beside:
    """Wraps the page's app: `/v1` and the two addresses of health are answered before it."""

    def __init__(self, app: ASGIApp, v1: ASGIApp, health: Health) -> None:
        self._app, self._v1, self._health = app, v1, health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        if path == V1 or path.startswith(f"{V1}/"):
            await self._v1({**scope, "root_path": f"{root}{V1}"}, receive, send)
        elif path in ADDRESSES:
            await (await self._health.reply(path))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _describe_bodies(app: FastAPI) -> None:
    """Add the forms of the bodies, which the routes read by themselves, to the description."""
    describe = app.openapi
    _, found = models_json_schema([(each, "validation") for each in BODIES], ref_template=REF)

    def described() -> dict[str, Any]:
        made = describe()
        made["components"]["schemas"].update(found["$defs"])
        return made

    app.openapi = described  # type: ignore[method-assign]
