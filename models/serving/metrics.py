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

MEDIAN_WINDOW = 256  # requests whose times the medians are taken from
RATE_WINDOW_S = 10.0
PROMETHEUS_TYPE = "text/plain; version=0.0.4"


@dataclass(frozen=True)
class Snapshot:
    """The state of one loaded model; times in seconds, None where nothing was measured yet.

    `queued` are requests in the queue, `running` those that are answered; `answered` ended by
    themselves, `stopped` because nobody wanted more. `first_token_s` counts from when a request
    was queued, the wait included. `tokens_per_s` is of the last ten seconds, all requests together.
    Of `image_cache_lookups` pictures, `image_cache_hits` had their features in the cache, beams
    not counted.
    """

    name: str
    precision: str
    queued: int
    running: int
    answered: int
    stopped: int
    failed: int
    tokens: int
    first_token_s: float | None
    tokens_per_s: float
    image_cache_hits: int
    image_cache_lookups: int


class Metrics:
    """Counts of one model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_token_s: deque[float] = deque(maxlen=MEDIAN_WINDOW)
        self._recent: deque[tuple[float, int]] = deque()  # when, and how many tokens
        self.answered = self.stopped = self.failed = self.tokens = 0

    def record_tokens(self, count: int, first_token_s: float | None = None) -> None:
        """New tokens of a request; `first_token_s` since it was queued where they are
        its first."""
        now = time.monotonic()
        with self._lock:
            self.tokens += count
            self._recent.append((now, count))
            self._drop_old(now)
            if first_token_s is not None:
                self._first_token_s.append(first_token_s)

    def record_end(self, has_failed: bool, is_stopped: bool) -> None:
        """The end of a request, whatever it was."""
        with self._lock:
            self.failed += has_failed
            self.stopped += is_stopped and not has_failed
            self.answered += not is_stopped and not has_failed

    def snapshot(
        self, name: str, precision: str, queued: int, running: int, hits: int, lookups: int
    ) -> Snapshot:
        """The counts now, with what only the scheduler and the engine know."""
        with self._lock:
            self._drop_old(time.monotonic())
            times = self._first_token_s
            return Snapshot(
                name,
                precision,
                queued,
                running,
                self.answered,
                self.stopped,
                self.failed,
                self.tokens,
                statistics.median(times) if times else None,
                sum(count for _, count in self._recent) / RATE_WINDOW_S,
                hits,
                lookups,
            )

    def _drop_old(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RATE_WINDOW_S:
            self._recent.popleft()


def prometheus(snapshots: Iterable[Snapshot]) -> str:
    """Snapshots in the text format 0.0.4 of Prometheus."""
    about = (
        ("queued", "gauge", "requests in the queue"),
        ("running", "gauge", "requests that are answered now"),
        ("answered", "counter", "requests that were answered to their end"),
        ("stopped", "counter", "requests that were stopped, or whose page was closed"),
        ("failed", "counter", "requests that ended with an error"),
        ("tokens", "counter", "tokens written"),
        ("first_token_s", "gauge", "median seconds from a request to its first token"),
        ("tokens_per_s", "gauge", "tokens per second of the last ten seconds"),
        ("image_cache_hits", "counter", "pictures whose features were in the cache, without beams"),
        ("image_cache_lookups", "counter", "pictures that were asked about, without beams"),
    )
    snapshots = list(snapshots)
    lines = []
    for field, kind, words in about:
        name = f"paligemma_{field}" + ("_total" if kind == "counter" else "")
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        for each in snapshots:
            value = getattr(each, field)
            if value is not None:
                of = f'model="{each.name}",precision="{each.precision}"'
                lines.append(f"{name}{{{of}}} {value}")
    return "\n".join(lines) + "\n"
