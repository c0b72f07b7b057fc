"""How far a run is, how fast it goes and how long the rest takes, in one line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

WINDOW_S = 60.0  # over which the rate is taken


class Progress:
    """`total` pictures, of which `done` were answered before; `clock` gives seconds."""

    def __init__(self, total: int, done: int, clock: Callable[[], float] = time.monotonic):
        self.total, self.done, self.failed = total, done, 0
        self._clock = clock
        self._seen = deque([(clock(), done)])

    def advance(self, failed: bool) -> None:
        """One more picture is done; `failed` where it could not be answered."""
        self.done += 1
        self.failed += failed
        now = self._clock()
        self._seen.append((now, self.done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_S:
            self._seen.popleft()

    @property
    def share(self) -> float:
        """Of all pictures, 0 to 1."""
        return self.done / self.total

    def line(self) -> str:
        """Such as "120 of 500 pictures, 3 failed, 4.2 a second, 1 min 30 s left"."""
        parts = [f"{self.done:,} of {self.total:,} pictures"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        (start_s, before), (end_s, after) = self._seen[0], self._seen[-1]
        if end_s > start_s and after > before:
            rate = (after - before) / (end_s - start_s)
            parts.append(f"{rate:.1f} a second")
            if self.done < self.total:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time for people, its two largest units: "2 h 5 min", "1 min 30 s", "12 s"."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min} min"
    return f"{minutes} min {rest_s} s" if minutes else f"{rest_s} s"
