"""Runs coroutines in tests, whatever else runs in the test's thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import start_blocking_portal

Found = TypeVar("Found")


def finish(function: Callable[..., Awaitable[Found]], *arguments: object) -> Found:
    """What `function(*arguments)` comes to, in an event loop of a thread of its own.

    `asyncio.run` does not do where Playwright drives a browser in the same process: from its first
    page to the end of the session, its own loop counts as running in the main thread.
    """
    with start_blocking_portal() as portal:
        return portal.call(function, *arguments)
