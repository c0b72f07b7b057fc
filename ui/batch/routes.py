"""The routes of the tab "Batch", beside Gradio's; each about one run by its id.

    GET    /batch/about, /batch/note, /batch/files/NAME
    POST   /batch/prompts                         what fields ask for
    POST   /batch/runs                            a new run -> {"id"}
    PUT    /batch/runs/ID/pictures?name=a/1.jpg   a picture, as its bytes
    PUT    /batch/runs/ID/archive                 a ZIP archive in place of pictures
    POST   /batch/runs/ID/start, /stop, /resume
    GET    /batch/runs/ID                         how it stands
    GET    /batch/runs/ID/rows                    rows from one on, or before one
    GET    /batch/runs/ID/rows/N/picture
    POST   /batch/runs/ID/rows/N                  a correction
    POST   /batch/runs/ID/exports/FORMAT          write it; GET downloads it
    DELETE /batch/runs/ID

There is no list of runs. What is refused is {"error": sentence}. Bodies are JSON and say so, and
uploads are PUT, which no page of another origin can send without being asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from data.run_rows import Sought
from models.schema import Busy, UserError
from ui.batch import replies, stored
from ui.batch.runs import BatchRuns
from ui.refusals import OWN_FAILURE

logger = logging.getLogger(__name__)

BATCH = "/batch"
PAGE = Path(__file__).parent / "page"
LARGEST_JSON = 1 << 20  # bytes
CHUNK_BYTES = 1 << 20  # written at once
A_DAY = "private, max-age=86400"  # of a picture, whose address names what is drawn on it


def create_batch(runs: BatchRuns) -> Starlette:
    """The routes over the runs of a server."""
    routes = _Routes(runs)
    one = "/runs/{id}"
    return Starlette(
        routes=[
            Route("/about", routes.about),
            Route("/note", routes.note),
            Route("/files/{name}", routes.file),
            Route("/prompts", routes.prompts, methods=["POST"]),
            Route("/runs", routes.create, methods=["POST"]),
            Route(one, routes.state),
            Route(one, routes.delete, methods=["DELETE"]),
            Route(f"{one}/pictures", routes.upload, methods=["PUT"]),
            Route(f"{one}/archive", routes.upload, methods=["PUT"]),
            Route(f"{one}/start", routes.start, methods=["POST"]),
            Route(f"{one}/stop", routes.stop, methods=["POST"]),
            Route(f"{one}/resume", routes.resume, methods=["POST"]),
            Route(f"{one}/rows", routes.rows),
            Route(f"{one}/rows/{{number:int}}", routes.correct, methods=["POST"]),
            Route(f"{one}/rows/{{number:int}}/picture", routes.picture),
            Route(f"{one}/exports/{{name}}", routes.export, methods=["POST"]),
            Route(f"{one}/exports/{{name}}", routes.download),
        ],
        exception_handlers={
            UserError: _tell,
            HTTPException: _tell_status,
            ClientDisconnect: _tell,
            Exception: _tell_own,
        },
    )


class BatchRoutes:
    """Wraps the page's app: what is below /batch is answered before it."""

    def __init__(self, app: ASGIApp, batch: ASGIApp) -> None:
        self._app, self._batch = app, batch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        root = scope.get("root_path", "")
        path = scope.get("path", "").removeprefix(root)
        if scope["type"] == "http" and path.startswith(f"{BATCH}/"):
            await self._batch({**scope, "root_path": f"{root}{BATCH}"}, receive, send)
        else:
            await self._app(scope, receive, send)


class _Routes:
    """A method a route."""

    def __init__(self, runs: BatchRuns) -> None:
        self._runs = runs

    async def about(self, request: Request) -> Response:
        return await _reply(replies.about, self._runs)

    async def note(self, request: Request) -> Response:
        given = request.query_params
        named = given.get("checkpoint", ""), given.get("precision", "auto")
        return await _reply(replies.note, self._runs, *named)

    async def file(self, request: Request) -> Response:
        file = PAGE / request.path_params["name"]
        if file.parent != PAGE or file.suffix not in (".js", ".css") or not file.is_file():
            raise HTTPException(404)
        return FileResponse(file, headers={"cache-control": "no-cache"})

    async def prompts(self, request: Request) -> Response:
        given = await _json(request)
        return JSONResponse({"prompts": replies.prompts_of(given)})

    async def create(self, request: Request) -> Response:
        await _json(request)
        made = await run_in_threadpool(self._runs.create)
        return JSONResponse({"id": made.id}, 201)

    async def state(self, request: Request) -> Response:
        return await _reply(replies.state, self._runs, await _run(request))

    async def delete(self, request: Request) -> Response:
        return await _reply(self._runs.delete, await _run(request))

    async def upload(self, request: Request) -> Response:
        run = await _run(request)
        is_archive = request.url.path.endswith("/archive")
        name = None if is_archive else request.query_params.get("name", "")
        with self._runs.receive(run, name) as incoming:
            waiting = bytearray()
            async for chunk in request.stream():
                waiting += chunk
                if len(waiting) >= CHUNK_BYTES:
                    await run_in_threadpool(incoming.write, bytes(waiting))
                    waiting.clear()
            await run_in_threadpool(incoming.write, bytes(waiting))
        return JSONResponse({"bytes": incoming.size}, 201)

    async def start(self, request: Request) -> Response:
        run, given = await _run(request), await _json(request)
        prompts = replies.prompts_of(given)
        named = (str(given.get("checkpoint") or ""), str(given.get("precision") or "auto"))
        adapter = str(given.get("adapter") or "") or None
        await run_in_threadpool(self._runs.start, run, prompts, *named, adapter)
        return await _reply(replies.state, self._runs, run)

    async def stop(self, request: Request) -> Response:
        run = await _run(request)
        await run_in_threadpool(self._runs.stop, run)
        return await _reply(replies.state, self._runs, run)

    async def resume(self, request: Request) -> Response:
        run = await _run(request)
        await run_in_threadpool(self._runs.resume, run)
        return await _reply(replies.state, self._runs, run)

    async def rows(self, request: Request) -> Response:
        given = request.query_params
        try:
            low, high = float(given.get("low") or 0), float(given.get("high") or 1)
            first = int(given.get("first") or 0)
            before = int(given["before"]) if "before" in given else None
        except ValueError:
            raise UserError("The confidence or the row is no number.", "Type one.") from None
        sought = Sought(given.get("label", ""), low, high, given.get("kind", ""))
        run = await _run(request)
        rows = await run_in_threadpool(self._runs.rows, run, True)
        return await _reply(replies.page_of, rows, sought, first, before)

    async def correct(self, request: Request) -> Response:
        run, given = await _run(request), await _json(request)
        rows = await run_in_threadpool(self._runs.rows, run)
        return await _reply(replies.corrected, rows, request.path_params["number"], given)

    async def picture(self, request: Request) -> Response:
        run = await _run(request)
        number, is_large = request.path_params["number"], "large" in request.query_params
        image = await run_in_threadpool(replies.picture, self._runs, run, number, is_large)
        return Response(image, media_type="image/webp", headers={"cache-control": A_DAY})

    async def export(self, request: Request) -> Response:
        run, name = await _run(request), request.path_params["name"]
        _, notes = await run_in_threadpool(self._runs.export, run, name)
        return JSONResponse({"notes": list(notes)}, 201)

    async def download(self, request: Request) -> Response:
        run, name = await _run(request), request.path_params["name"]
        archive = self._runs.archive(run, Path(name).name)
        if not archive.is_file():
            raise HTTPException(404)
        headers = {"cache-control": "no-store"}
        return FileResponse(archive, filename=f"batch-{archive.name}", headers=headers)


async def _run(request: Request) -> stored.Stored:
    return await run_in_threadpool(stored.look_up, request.path_params["id"])


async def _reply(make: Callable[..., Any], *given: Any) -> Response:
    return JSONResponse(await run_in_threadpool(make, *given))


async def _json(request: Request) -> dict[str, Any]:
    """The body; UserError where it is no JSON object, or does not say that it is JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_JSON:
            raise UserError("The request is larger than 1 MB.", "Send less.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if kind != "application/json" or not isinstance(given, dict):
        raise UserError("The request is no JSON object.", "Send {…} as application/json.")
    return given


async def _tell(request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, stored.NotHere) else 503 if isinstance(error, Busy) else 422
    return JSONResponse({"error": str(error)}, status)


async def _tell_status(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "There is nothing at this address."}, status)


async def _tell_own(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": str(OWN_FAILURE)}, 500)
