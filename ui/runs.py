"""Which answers are being written for which visitor, so that they can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.schema import UserError

PENDING_AT_MOST = 16  # answers that are written or wait; each holds a picture in memory


class Runs:
    """The running answers by session, at most so many. Safe to use from every thread."""

    def __init__(self, at_most: int = PENDING_AT_MOST) -> None:
        self._at_most = at_most
        self._lock = threading.Lock()
        self._stops: dict[str, list[threading.Event]] = {}

    @contextmanager
    def open(self, session: str) -> Iterator[threading.Event]:
        """One running answer: yields the event that is set when it shall stop.

        UserError at once where too many are being written or wait already.
        """
        stop = threading.Event()
        with self._lock:
            pending = sum(len(stops) for stops in self._stops.values())
            if pending >= self._at_most:
                raise UserError(
                    f"The queue is full: {pending} answers are being written or wait.",
                    "Try again in a minute.",
                )
            self._stops.setdefault(session, []).append(stop)
        try:
            yield stop
        finally:
            with self._lock:
                stops = self._stops[session]
                stops.remove(stop)
                if not stops:
                    del self._stops[session]

    def stop(self, session: str) -> int:
        """Ask all running answers of one visitor to stop; returns how many there were."""
        with self._lock:
            stops = list(self._stops.get(session, ()))
        for stop in stops:
            stop.set()
        return len(stops)

    def is_running(self, session: str) -> bool:
        """Whether an answer that was not told to stop is being written for a visitor."""
        with self._lock:
            return any(not stop.is_set() for stop in self._stops.get(session, ()))
