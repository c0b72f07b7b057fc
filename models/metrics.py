"""What an owner wants to know of the models that are loaded: counts, waiting times, rates.

Safe to use from every thread; it knows neither models nor pages.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from models.schema import TokenEvent

REMEMBERED = 256  # requests whose times the medians are taken from
RATE_WINDOW_S = 10.0
PROMETHEUS_TYPE = "text/plain; version=0.0.4"


@dataclass(frozen=True)
class Snapshot:
    """The state of one loaded model; times in seconds, None where nothing was measured yet.

    `waiting` are requests in the queue, `rows` those that are answered. `first_token_s` counts from
    when a request came, the wait included. `tokens_per_s` is of the last ten seconds, all rows
    together. `image_hits` of `image_asks` pictures had been looked at before.
    """

    name: str
    waiting: int
    rows: int
    answered: int
    failed: int
    tokens: int
    first_token_s: float | None
    tokens_per_s: float
    image_hits: int
    image_asks: int


class Metrics:
    """Counts of one model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_token_s: deque[float] = deque(maxlen=REMEMBERED)
        self._recent: deque[float] = deque()
        self.answered = self.failed = self.tokens = 0

    def saw_token(self, came_at: float, event: TokenEvent) -> None:
        """A token of a request that came at `came_at` of the monotonic clock."""
        now = time.monotonic()
        with self._lock:
            self.tokens += 1
            self._recent.append(now)
            self._forget(now)
            if event.index == 0:
                self._first_token_s.append(now - came_at)

    def saw_end(self, has_failed: bool) -> None:
        """The end of a request, whatever it was."""
        with self._lock:
            self.failed += has_failed
            self.answered += not has_failed

    def snapshot(self, name: str, waiting: int, rows: int, hits: int, asks: int) -> Snapshot:
        """The counts now, with what only the scheduler and the engine know."""
        with self._lock:
            self._forget(time.monotonic())
            times = self._first_token_s
            return Snapshot(
                name,
                waiting,
                rows,
                self.answered,
                self.failed,
                self.tokens,
                statistics.median(times) if times else None,
                len(self._recent) / RATE_WINDOW_S,
                hits,
                asks,
            )

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0] < now - RATE_WINDOW_S:
            self._recent.popleft()


def prometheus(snapshots: Iterable[Snapshot]) -> str:
    """Snapshots in the text format 0.0.4 of Prometheus."""
    about = (
        ("waiting", "gauge", "requests in the queue"),
        ("rows", "gauge", "requests that are answered now"),
        ("answered", "counter", "requests that ended without an error"),
        ("failed", "counter", "requests that ended with an error"),
        ("tokens", "counter", "tokens written"),
        ("first_token_s", "gauge", "median seconds from a request to its first token"),
        ("tokens_per_s", "gauge", "tokens per second of the last ten seconds"),
        ("image_hits", "counter", "pictures that had been looked at before"),
        ("image_asks", "counter", "pictures that were asked about"),
    )
    snapshots = list(snapshots)
    lines = []
    for field, kind, words in about:
        name = f"paligemma_{field}" + ("_total" if kind == "counter" else "")
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        for each in snapshots:
            value = getattr(each, field)
            if value is not None:
                lines.append(f'{name}{{model="{each.name}"}} {value}')
    return "\n".join(lines) + "\n"
