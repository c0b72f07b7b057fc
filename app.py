"""The demo: `python app.py` serves the page at http://127.0.0.1:7860.

On a Hugging Face Space it listens on all addresses; GRADIO_SERVER_NAME and GRADIO_SERVER_PORT are
honoured everywhere.
"""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  # must come before anything that touches CUDA

# Gradio imports the MCP library wherever it is installed, which takes half a second, for a server
# of its own that is not used here. `api.mcp_server` imports it when it is first asked.
if _kept_out := "mcp" not in sys.modules:
    sys.modules["mcp"] = None  # type: ignore[assignment]  # as if it were not installed

# Gradio reads the port while it is imported, and what is no number would end in its traceback. It
# is put back at once; `server_address` says what is wrong with it.
if _given_port := os.environ.pop("GRADIO_SERVER_PORT", ""):
    import gradio.node_server  # the module that reads it

    os.environ["GRADIO_SERVER_PORT"] = _given_port

import gradio as gr

if _kept_out:
    del sys.modules["mcp"]

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from starlette.middleware import Middleware

from api.app import Beside, create_v1
from api.health import Health
from api.mcp_server import Lent, Mcp
from api.settings import ApiSettings
from api.shared import Shared
from models.catalog.catalog import Catalog
from models.schema import UserError
from models.serving.backend import Backend
from models.serving.metrics import PROMETHEUS_TYPE, prometheus
from ui.batch.routes import BatchRoutes, create_batch
from ui.batch.runs import BatchRuns
from ui.batch.settings import BatchSettings
from ui.components import uploaded_file
from ui.downloads import drawn
from ui.edge import Edge
from ui.embedding import Embedding
from ui.examples import FOLDER, read_examples
from ui.page import build_page
from ui.theme import STYLES, build_theme, script
from ui.uploads import sweep, use_own_folder

logger = logging.getLogger(__name__)

LARGEST_UPLOAD = "20mb"
WAITING_AT_MOST = 64  # events in the queue: answers and uploads; `ui.runs` lets in far fewer
DELETE_CACHE_S = (600, 3600)  # every ten minutes, uploads and pictures older than an hour
# The model's thread lets go of the interpreter for every operation. While the server is busy it
# would get it back after 5 ms, Python's usual, which is longer than most operations take.
SWITCH_INTERVAL_S = 0.0001
M_ARENA_MAX = -8  # of glibc's malloc.h
SESSIONS_KEPT = 200  # page states in memory; the oldest makes room


def create_app(backend: Backend, examples: Path = FOLDER, has_batch: bool = True) -> gr.Blocks:
    """The page over a backend, with its queue closed to calls that would skip it."""
    found = read_examples(backend.catalog, examples)
    page = build_page(backend, found, DELETE_CACHE_S, has_batch)
    return page.queue(api_open=False, max_size=WAITING_AT_MOST, default_concurrency_limit=16)


def launch_options(
    backend: Backend, settings: ApiSettings, embedding: Embedding, batches: BatchRuns
) -> dict[str, Any]:
    """How the page, its batches, `/v1` and `/mcp` are served; for the demo and for its tests."""
    shared = Shared.over(backend, settings)
    mcp = Mcp(shared, Lent(draw=drawn, uploaded=uploaded_file))
    return {
        "theme": build_theme(),
        "css_paths": list(STYLES),
        "js": script(embedding),
        "footer_links": ["api"],
        "max_file_size": LARGEST_UPLOAD,
        "state_session_capacity": SESSIONS_KEPT,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "share": False,
        "pwa": False,
        "mcp_server": False,  # Gradio's own, which has neither the keys nor the limits of ours
        "ssr_mode": False,
        "app_kwargs": {
            "middleware": [
                Middleware(Beside, v1=create_v1(shared), mcp=mcp, health=Health(backend)),
                Middleware(BatchRoutes, batch=create_batch(batches)),
                Middleware(Edge, embedding=embedding),
            ],
        },
    }


def offer_metrics(app: FastAPI, backend: Backend) -> None:
    """Add `/metrics`, text for Prometheus, to an app that is being served."""

    def text() -> PlainTextResponse:
        return PlainTextResponse(prometheus(backend.snapshots()), media_type=PROMETHEUS_TYPE)

    app.add_api_route("/metrics", text, include_in_schema=False)
    app.router.routes.insert(0, app.router.routes.pop())  # before the page, which takes all paths


def warm_up(backend: Backend) -> threading.Thread:
    """Load the default checkpoint in the background, so that the first visitor need not wait."""

    first = backend.catalog.default

    def load() -> None:
        try:
            backend.warm(first)
        except Exception:
            # The page says what is wrong when somebody asks; the server must come up regardless.
            logger.exception("%s could not be loaded ahead of the first request", first)

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    return thread


def keep_memory_together() -> None:
    """Let all threads share two heaps where the C library is glibc.

    It would give each of the server's threads its own, up to eight per processor, and keep in each
    what the largest picture took.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_ARENA_MAX, 2)


def server_address() -> tuple[str, int]:
    """Host and port to listen on; UserError where the environment names none that is free."""
    default_host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    host = os.environ.get("GRADIO_SERVER_NAME") or default_host
    given = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    if not (given.isascii() and given.isdigit() and 0 < int(given) < 2**16):
        raise UserError(f"GRADIO_SERVER_PORT is {given!r}.", "Set it to a number, such as 7860.")
    port = int(given)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise UserError(
            f"GRADIO_SERVER_NAME is {host!r}, which is no address.",
            "Set it to 127.0.0.1 or 0.0.0.0.",
        ) from None
    except OSError as error:
        raise UserError(
            f"The page cannot be served at port {port} of {host}: {error.strerror}.",
            "End the program that uses it, or set GRADIO_SERVER_PORT to another port.",
        ) from None
    return host, port


def main() -> None:
    """Serve the page until it is interrupted; a bad environment is an error at once."""
    from models.loading.device import on_zero_gpu
    from models.loading.libraries import silence_libraries
    from models.serving.local_backend import LocalBackend

    try:
        catalog = Catalog.from_environment(os.environ)
        settings = ApiSettings.from_environment(os.environ)
        embedding = Embedding.from_environment(os.environ)
        batch_settings = BatchSettings.from_environment(os.environ)
        host, port = server_address()
        use_own_folder()
    except UserError as error:
        sys.exit(str(error))
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    silence_libraries()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_memory_together()
    sweep(older_than_s=DELETE_CACHE_S[1])
    backend = LocalBackend(catalog)
    batches = BatchRuns(backend, batch_settings)
    batches.sweep_often()
    page = create_app(backend, has_batch=batch_settings.pictures > 0)
    warming = warm_up(backend)
    if on_zero_gpu():
        warming.join()  # what is on the GPU to come when the page is launched, workers get fastest
    try:
        app, *_ = page.launch(
            prevent_thread_lock=True,
            server_name=host,
            server_port=port,
            **launch_options(backend, settings, embedding, batches),
        )
        if catalog.metrics:
            offer_metrics(app, backend)
        page.block_thread()
    finally:
        batches.close()
        backend.close()


if __name__ == "__main__":
    main()
