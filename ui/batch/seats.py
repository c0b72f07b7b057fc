"""How runs share a backend with each other and with visitors: so many requests at once, and no
more. A run that finds the queue full waits; it fails for nobody's sake."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

from models.generate.asking import Asking
from models.generate.side_by_side import PixelBudget
from models.limits import BATCH_REQUESTS, BATCHES_AT_WORK
from models.schema import Busy, Request, Result, Status
from models.serving.backend import Backend

LOOK_AGAIN_S = 0.25  # whether a run was stopped, or a queue has room


class Seats:
    """Requests that all runs have at a backend together, shared evenly. For any thread."""

    def __init__(self, count: int = BATCH_REQUESTS, runs: int = BATCHES_AT_WORK):
        self._count, self._runs = count, runs
        self._condition = threading.Condition()
        self._taken: dict[str, int] = {}  # by run, of those at work

    @contextmanager
    def at_work(self, run: str, stop: threading.Event) -> Iterator[None]:
        """Wait until few enough runs are at work; CancelledError where it is stopped meanwhile."""
        with self._condition:
            self._wait(lambda: len(self._taken) < self._runs, stop)
            self._taken[run] = 0
        try:
            yield
        finally:
            with self._condition:
                del self._taken[run]
                self._condition.notify_all()

    @contextmanager
    def seat(self, run: str, stop: threading.Event) -> Iterator[None]:
        """Wait for room for one request of a run; CancelledError as `at_work`."""

        def has_room() -> bool:
            share = -(-self._count // len(self._taken))
            return sum(self._taken.values()) < self._count and self._taken[run] < share

        with self._condition:
            self._wait(has_room, stop)
            self._taken[run] += 1
        try:
            yield
        finally:
            with self._condition:
                self._taken[run] -= 1
                self._condition.notify_all()

    def _wait(self, has_room: Callable[[], bool], stop: threading.Event) -> None:
        while not has_room():
            if stop.is_set():
                raise CancelledError
            self._condition.wait(LOOK_AGAIN_S)


class SeatedAsking(Asking):
    """Asks for a run, a request a seat; where the queue is full, again until there is room."""

    def __init__(self, backend: Backend, show: Status, seats: Seats, run: str, budget: PixelBudget):
        super().__init__(lambda: backend, show)
        self._seats, self._run, self._budget = seats, run, budget

    def result(self, request: Request, stop: threading.Event) -> Result:
        """The whole answer; CancelledError soon after `stop` is set."""
        with self._seats.seat(self._run, stop):
            while True:
                try:
                    return super().result(request, stop)
                except Busy:
                    if stop.wait(LOOK_AGAIN_S):
                        raise CancelledError from None
