"""Seconds of a clock that nobody sets."""

from __future__ import annotations

import time
from collections.abc import Callable


def stopwatch() -> Callable[[], float]:
    """Tells the seconds since it was made."""
    started = time.monotonic()
    return lambda: time.monotonic() - started
