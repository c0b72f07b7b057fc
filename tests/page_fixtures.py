"""Fixtures of the tests that need a served page; their conftest files import them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.serving.local_backend import LocalBackend
from tests.serving import Served, WatchedBackend, save_scene, serve


@pytest.fixture(scope="session")
def served(backend: LocalBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page on the real backend with nano loaded, in a Gradio cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        backend.warm("nano-224")
        with serve(backend) as page:
            yield page


@pytest.fixture
def page_backend(served: Served) -> Iterator[WatchedBackend]:
    """The served page's backend, idle before the test and let go after it."""
    backend = served.backend
    assert backend.wait_for_active(0)
    yield backend
    backend.release()
    assert backend.wait_for_active(0)


@pytest.fixture(scope="session")
def scene_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn scene that nano was never trained on."""
    return save_scene(tmp_path_factory.mktemp("scenes"), seed=3)
