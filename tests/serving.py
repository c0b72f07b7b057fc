"""The real app on the real backend, served for tests of the page and of its API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.settings import ApiSettings
from app import create_app, launch_options
from models.catalog.catalog import Catalog
from models.schema import Need, Readiness, Request, Result, TokenEvent
from models.serving.backend import Backend
from models.serving.metrics import Snapshot
from ui.batch.runs import BatchRuns
from ui.batch.settings import BatchSettings
from ui.embedding import Embedding

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60


class WatchedBackend:
    """A backend that counts its running answers and can be held after a number of tokens.

    Held, it repeats its last token until it is let go or closed, as a very slow model would: each
    step stays short, and a test can look at a half-written answer without waiting by the clock.
    """

    def __init__(self, backend: Backend):
        self._backend = backend
        self._condition = threading.Condition()
        self._released = threading.Event()
        self._hold_after: int | None = None
        self.active = 0
        self.finished = 0
        self.requests: list[Request] = []

    def answer(self, request: Request) -> Iterator[object]:
        """The backend's events, watched."""
        with self._condition:
            self.active += 1
            self.requests.append(request)
            self._condition.notify_all()
        events = self._backend.answer(request)
        try:
            for event in events:
                yield event
                if isinstance(event, TokenEvent) and event.index + 1 == self._hold_after:
                    while not self._released.wait(0.02):
                        yield event
                if isinstance(event, Result):
                    self.finished += 1
        finally:
            events.close()
            with self._condition:
                self.active -= 1
                self._condition.notify_all()

    def hold(self, after_tokens: int) -> None:
        """Hold every answer after its first `after_tokens` tokens."""
        self._hold_after = after_tokens
        self._released.clear()

    def release(self) -> None:
        """Let held answers go on, and hold none."""
        self._hold_after = None
        self._released.set()

    def wait_for_active(self, count: int) -> bool:
        """Whether exactly `count` answers are being written, now or soon."""
        with self._condition:
            return self._condition.wait_for(lambda: self.active == count, PATIENCE_S)

    @property
    def catalog(self) -> Catalog:
        """As the backend has it."""
        return self._backend.catalog

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        """As the backend says."""
        return self._backend.missing(checkpoint, precision)

    def notice(self, checkpoint: str) -> str | None:
        """As the backend says."""
        return self._backend.notice(checkpoint)

    def readiness(self, checkpoint: str, precision: str = "auto") -> Readiness:
        """As the backend says."""
        return self._backend.readiness(checkpoint, precision)

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        """As the backend says."""
        return self._backend.adapters(checkpoint)

    def precisions(self) -> tuple[str, ...]:
        """As the backend says."""
        return self._backend.precisions()

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        """As the backend says."""
        return self._backend.needs(checkpoint)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """As the backend says."""
        return self._backend.snapshots()

    def warm(self, checkpoint: str) -> None:
        """Load as the backend does."""
        self._backend.warm(checkpoint)

    def close(self) -> None:
        """Close the backend."""
        self.release()
        self._backend.close()


@dataclass(frozen=True)
class Served:
    """A page that is being served, with its backend."""

    url: str
    backend: WatchedBackend


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(
    backend: Backend,
    settings: ApiSettings | None = None,
    embedding: Embedding | None = None,
    **options: object,
) -> Iterator[Served]:
    """Serve the page as `app.main` does, on a free port of this machine."""
    watched = WatchedBackend(backend)
    page = create_app(watched)
    batches = BatchRuns(watched, BatchSettings())
    settings, embedding = settings or ApiSettings(), embedding or Embedding()
    usual = launch_options(watched, settings, embedding, batches)
    _, url, _ = page.launch(
        server_name="127.0.0.1",
        server_port=free_port(),
        prevent_thread_lock=True,
        quiet=True,
        **{**usual, **options},
    )
    try:
        yield Served(url=url.rstrip("/"), backend=watched)
    finally:
        batches.close()
        watched.release()
        page.close(verbose=False)


@dataclass(frozen=True)
class AppProcess:
    """The app in a process of its own: its address, and every line it has printed so far."""

    url: str
    said: list[str]


@contextmanager
def app_process(
    folder: Path, *command: str, cwd: Path = ROOT, **variables: str
) -> Iterator[AppProcess]:
    """`python app.py`, or `python COMMAND`, until the block ends; entered once it serves the page.

    Nothing is known to it of the Hub or of a deployment but `variables`; its uploads are in
    `folder`. `cwd` is where the program lies.
    """
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "PALIGEMMA_"))}
    own = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, *(command or ("app.py",))],
        cwd=cwd,
        env=kept | own | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    serves = threading.Event()

    def listen() -> None:
        for line in process.stdout:
            said.append(line)
            if "running on" in line.lower():
                serves.set()
        serves.set()  # it has ended

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert serves.wait(PATIENCE_S) and process.poll() is None, "".join(said)
        yield AppProcess(f"http://127.0.0.1:{port}", said)
    finally:
        process.terminate()
        process.wait(timeout=30)
        listener.join()


def save_scene(folder: Path, seed: int) -> Path:
    """A scene that nano was never trained on, as a PNG."""
    from training.nano.scenes import scene

    path = folder / f"scene-{seed}.png"
    scene.draw(scene.HELD_OUT + seed).image.save(path)
    return path
