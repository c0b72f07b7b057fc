"""An answer by the backend, for code that must not block, ended as soon as nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread

from api.errors import LEFT, RETRY_AFTER_S, ApiError
from models.schema import Explanation, Request, Result, TokenEvent
from models.serving.backend import Backend, Event

AT_ONCE = 64  # requests in work or waiting; each holds a thread and its pictures
LOOKED_FOR_S = 0.1  # every so often, whether the asker of a whole answer is still there
_END = object()


class Runner:
    """Asks a backend from threads of its own, so that the page's are never used up."""

    def __init__(self, backend: Backend, at_once: int = AT_ONCE):
        self.backend = backend
        self._at_once, self._running = at_once, 0
        self._limiter: anyio.CapacityLimiter | None = None

    def check_room(self) -> None:
        """ApiError where as many requests are in work or wait as may."""
        if self._running >= self._at_once:
            raise ApiError(
                429,
                f"The server is busy: {self._running} requests are in work or wait. "
                "Try again in a moment.",
                code="busy",
                retry_after_s=RETRY_AFTER_S,
            )

    async def events(self, request: Request) -> AsyncGenerator[Event, None]:
        """As `Backend.answer`; closing it, or cancelling who reads it, stops the work."""
        self.check_room()
        limit = self._limit()
        self._running += 1  # in the event loop's thread alone
        events = self.backend.answer(request)
        try:
            while True:
                event: Any = await anyio.to_thread.run_sync(next, events, _END, limiter=limit)
                if event is _END:
                    return
                yield event
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(events.close, limiter=limit)
            self._running -= 1

    async def result(
        self, request: Request, has_left: Callable[[], Awaitable[bool]]
    ) -> tuple[Result, list[TokenEvent]]:
        """The whole answer and its tokens; ApiError soon after the asker `has_left`.

        One thread takes all events: to go back to the event loop with each would take as long as
        the tokens of a small model.
        """
        self.check_room()
        is_left = threading.Event()
        found: tuple[Result, list[TokenEvent]] | Exception

        async def watch() -> None:
            try:
                while True:
                    await anyio.sleep(LOOKED_FOR_S)
                    if await has_left():
                        return
            finally:
                is_left.set()  # also where the one who waits for the answer is cancelled

        self._running += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                try:
                    found = await anyio.to_thread.run_sync(
                        self._collect, request, is_left, limiter=self._limit()
                    )
                except Exception as error:  # which the group would wrap
                    found = error
                tasks.cancel_scope.cancel()
        finally:
            self._running -= 1
        if isinstance(found, Exception):
            await anyio.lowlevel.checkpoint_if_cancelled()  # which is why it ended, where it was
            raise found
        return found

    def _collect(
        self, request: Request, is_left: threading.Event
    ) -> tuple[Result, list[TokenEvent]]:
        tokens: list[TokenEvent] = []
        with closing(self.backend.answer(request)) as events:
            for event in events:
                if isinstance(event, Result):
                    return event, tokens
                if isinstance(event, TokenEvent):
                    tokens.append(event)
                if is_left.is_set():
                    raise ApiError(LEFT, "The request was left.")
        raise RuntimeError("an answer has ended without a result")

    def _limit(self) -> anyio.CapacityLimiter:
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = anyio.CapacityLimiter(self._at_once)
        return self._limiter

    async def explanation(self, request: Request) -> Explanation:
        """The explanation of an answer that was given: `request.answer_ids` has its tokens."""
        async for event in self.events(request):
            if isinstance(event, Explanation):
                return event
        raise RuntimeError("an explanation has ended without one")


async def chain(first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """All events of an answer whose first was taken to see whether it is refused."""
    yield first
    async for event in rest:
        yield event
