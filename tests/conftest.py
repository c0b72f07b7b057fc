"""What the tests share: nano, loaded once, and pictures to ask it about."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.engine.engine import Engine
from models.loading.loader import LoadedModel, Loader
from models.schema import Decoding, Request, TokenEvent
from models.serving.local_backend import LocalBackend
from tests.choosing import adapter_of
from tests.page_fixtures import page_backend, scene_png, served

# One served page for all folders: it sets where Gradio keeps files for as long as it lives.
__all__ = ["page_backend", "scene_png", "served"]


def pytest_configure() -> None:
    """Let interrupts reach what tests start, also where they run as a background job: the shell
    lets those ignore them, and processes that they start do as they do."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def nano_checkpoint() -> Path:
    """The folder of the embedded checkpoint."""
    return NANO.path


@pytest.fixture(scope="session")
def nano() -> LoadedModel:
    """nano in float32, for tests that leave it as it is."""
    return Loader().load(ModelKey(NANO, "fp32"))


@pytest.fixture(scope="session")
def backend() -> Iterator[LocalBackend]:
    """A backend that answers with nano."""
    backend = LocalBackend()
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """A wide picture with something on it."""
    image = Image.new("RGB", (320, 200), "lightblue")
    ImageDraw.Draw(image).ellipse((60, 40, 180, 160), fill="crimson")
    return image


@pytest.fixture
def ask(picture):
    """Makes a request about `picture`: `ask("ocr", tokens=3, precision="bf16")`."""

    def make(prompt: str = "describe en", tokens: int = 8, **options) -> Request:
        decoding = {
            name: options.pop(name)
            for name in ("temperature", "top_k", "top_p", "num_beams", "seed")
            if name in options
        }
        return Request(
            options.pop("image", picture),
            prompt,
            decoding=Decoding(max_new_tokens=tokens, **decoding),
            **options,
        )

    return make


@pytest.fixture
def run_all():
    """Answers requests on an engine one after another; the text of each."""

    def run(engine: Engine, requests: list[Request]) -> list[str]:
        texts = []
        for request in requests:
            adapter = adapter_of(engine.loaded, request.adapter)
            answer = engine.answer(request, threading.Event(), adapter=adapter)
            *_, end = engine.run_alone(answer)
            texts.append(end.text)
        return texts

    return run


@pytest.fixture
def serve():
    """Answers requests side by side on an engine; the ids of each, in the order of the requests.

    One joins at a round where there is room and `joins()` says so, or nobody is answered.
    """

    def run(
        engine: Engine, requests: list[Request], joins: Callable[[], bool] = lambda: True
    ) -> list[list[int]]:
        waiting = list(enumerate(requests))
        running: dict[int, Iterator[object]] = {}
        found: list[list[int]] = [[] for _ in requests]
        while waiting or running:
            if waiting and engine.has_room and (not running or joins()):
                number, request = waiting.pop(0)
                adapter = adapter_of(engine.loaded, request.adapter)
                running[number] = engine.answer(request, threading.Event(), adapter=adapter)
            for number, events in list(running.items()):
                for event in events:
                    if event is None:
                        break
                    if isinstance(event, TokenEvent):
                        found[number].append(event.token_id)
                else:
                    del running[number]
            engine.step()
        return found

    return run
