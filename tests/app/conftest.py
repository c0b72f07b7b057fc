"""The page that the tests of its API call, and its handlers without a model."""

import pytest

from tests.nowhere import Nowhere
from tests.page_fixtures import page_backend, scene_png, served
from ui.handlers import Handlers

__all__ = ["page_backend", "scene_png", "served"]


@pytest.fixture
def handlers() -> Handlers:
    """The handlers over a backend that has nano alone, without examples."""
    return Handlers(Nowhere(), ())
