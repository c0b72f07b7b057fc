"""An answer by the backend, for code that must not block, ended as soon as nobody waits for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread

from api.errors import LEFT, RETRY_AFTER_S, ApiError
from models.schema import Explanation, Request, Result, StatusEvent, TokenEvent
from models.serving.backend import Backend, Event

AT_ONCE = 64  # requests in work or waiting; each holds a thread and its pictures
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
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = anyio.CapacityLimiter(self._at_once)
        self._running += 1  # in the event loop's thread alone
        events = self.backend.answer(request)
        try:
            while True:
                event: Any = await anyio.to_thread.run_sync(
                    next, events, _END, limiter=self._limiter
                )
                if event is _END:
                    return
                yield event
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(events.close, limiter=self._limiter)
            self._running -= 1

    async def result(
        self, request: Request, has_left: Callable[[], Awaitable[bool]]
    ) -> tuple[Result, list[TokenEvent]]:
        """The whole answer and its tokens; ApiError as soon as the asker `has_left`."""
        tokens: list[TokenEvent] = []
        events = self.events(request)
        try:
            async for event in events:
                if isinstance(event, Result):
                    return event, tokens
                if isinstance(event, TokenEvent):
                    tokens.append(event)
                is_time = isinstance(event, StatusEvent) or len(tokens) % 8 == 0
                if is_time and await has_left():
                    raise ApiError(LEFT, "The request was left.")
        finally:
            await events.aclose()
        raise RuntimeError("an answer has ended without a result")

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
