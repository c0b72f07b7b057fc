"""Which answers are being written for which visitor, so that they can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.schema import UserError

PENDING_AT_MOST = 32  # answers that are written or wait; each holds a picture in memory


class Runs:
    """The running answers by session, at most so many. Safe to use from every thread."""

    def __init__(self, at_most: int = PENDING_AT_MOST) -> None:
        self._at_most = at_most
        self._lock = threading.Lock()
        self._stops: dict[str, list[threading.Event]] = {}
        self._begun: dict[str, int] = {}  # pages, and their answers that are still on their way

    @property
    def count(self) -> int:
        """Answers that are written or wait."""
        with self._lock:
            return self._count()

    def _count(self) -> int:
        return sum(len(stops) for stops in self._stops.values())

    def begin(self, session: str) -> None:
        """A page starts an answer: those before it stop, as a page shows one at a time."""
        self.stop(session)
        with self._lock:
            self._begun[session] = self._begun.get(session, 0) + 1

    def arrive(self, session: str) -> None:
        """What was begun is on its way no more; a program's answers arrive without beginning."""
        with self._lock:
            if self._begun.get(session):
                self._begun[session] -= 1

    def is_on_its_way(self, session: str) -> bool:
        """Whether an answer that a page began has not arrived yet."""
        with self._lock:
            return bool(self._begun.get(session))

    def forget(self, session: str, is_gone: bool = False) -> None:
        """Nothing is on its way for a page, and nothing will be where it is gone."""
        with self._lock:
            if is_gone:
                self._begun.pop(session, None)
            elif session in self._begun:
                self._begun[session] = 0

    @contextmanager
    def open(self, session: str) -> Iterator[threading.Event]:
        """One running answer: yields the event that is set when it shall stop.

        On a page it ends an older one that came too late to be stopped when this one began.
        UserError at once where too many are being written or wait already.
        """
        stop = threading.Event()
        with self._lock:
            pending = self._count()
            if pending >= self._at_most:
                raise UserError(
                    f"The queue is full: {pending} answers are being written or wait.",
                    "Try again in a minute.",
                )
            if session in self._begun:
                for older in self._stops.get(session, ()):
                    older.set()
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
        """Whether an answer that was not told to stop is written or on its way for a visitor."""
        with self._lock:
            if self._begun.get(session):
                return True
            return any(not stop.is_set() for stop in self._stops.get(session, ()))
