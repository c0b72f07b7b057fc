"""The page's handlers without a model."""

import pytest

from tests.nowhere import Nowhere
from ui.handlers import Handlers


@pytest.fixture
def handlers() -> Handlers:
    """The handlers over a backend that has nano alone, without examples."""
    return Handlers(Nowhere(), ())
