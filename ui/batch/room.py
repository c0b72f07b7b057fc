"""The bytes that runs may have on the disk, each and together, counted as they come in.

However many files are received at once, none gets the room of another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from models.limits import MAX_BATCH_BYTES, MAX_BATCHES_BYTES
from models.schema import Busy, UserError
from ui.batch.stored import Stored


class Room:
    """For any thread. What was there before, as after a restart, is measured when it is asked
    about."""

    def __init__(self, of_a_run: int = MAX_BATCH_BYTES, of_all: int = MAX_BATCHES_BYTES):
        self._of_a_run, self._of_all = of_a_run, of_all
        self._lock = threading.Lock()
        self._runs: dict[str, int] = {}
        self._all = 0

    def recount(self, kept: Iterable[Stored]) -> None:
        """Measure what lies on the disk: some was deleted, some exported."""
        sizes = {each.id: each.bytes() for each in kept}
        with self._lock:
            self._runs = {id: size for id, size in self._runs.items() if id in sizes}
            self._all = sum(sizes.values())

    def take(self, stored: Stored, size: int) -> None:
        """So many bytes more for a run. UserError where it has too many, Busy where all have."""
        with self._lock:
            if stored.id not in self._runs:
                self._runs[stored.id] = stored.bytes()
            if self._runs[stored.id] + size > self._of_a_run:
                raise UserError(
                    f"The batch is larger than {self._of_a_run / 1e9:.0f} GB.",
                    "Use fewer pictures, or python -m models.batch.",
                )
            if self._all + size > self._of_all:
                raise _full()
            self._runs[stored.id] += size
            self._all += size

    def give_back(self, stored: Stored, size: int) -> None:
        """As many bytes were taken in vain."""
        with self._lock:
            self._all -= size
            if stored.id in self._runs:
                self._runs[stored.id] -= size

    def check(self, size: int) -> None:
        """Busy where so many bytes more would be too many for all runs together."""
        with self._lock:
            if self._all + size > self._of_all:
                raise _full()


def _full() -> Busy:
    return Busy("The server has no room for more pictures.", "Try again in some hours.")
