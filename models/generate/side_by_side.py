"""Many lines at work at once, their answers in the order of the lines, in bounded memory.

This module knows neither requests nor models; how a line is answered is given as a function.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

MAX_DECODING = 2  # pictures at the same time
MAX_PIXELS_HELD = 100_000_000  # of 4 bytes; beyond it no further picture is decoded

Line = TypeVar("Line")
Answer = TypeVar("Answer")


def in_order(
    lines: Iterable[Line],
    answer: Callable[[Line, threading.Event], Answer],
    at_once: int,
    ahead: int,
    stop: threading.Event | None = None,
) -> Generator[Answer, None, None]:
    """The answers, each as soon as it and all before it are there.

    `answer` runs in `at_once` threads; it has to stop soon after its event is set, which happens
    when this is closed, or when whoever gave `stop` sets it. At most `ahead` lines are read whose
    answer has not been taken. What `lines` or `answer` raises is raised here, at its turn.
    """
    stop = stop or threading.Event()
    room = threading.Semaphore(ahead)
    futures: queue.SimpleQueue[Future[Answer] | None] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(at_once, "answer")

    def read() -> None:
        try:
            for line in lines:
                room.acquire()
                if stop.is_set():
                    break
                futures.put(pool.submit(answer, line, stop))
            futures.put(None)
        except BaseException as error:
            failed: Future[Answer] = Future()
            failed.set_exception(error)
            futures.put(failed)

    # Another thread reads: a pipe may give its next line only after it got the last answer. It
    # may wait for a line that never comes, so nothing waits for it.
    threading.Thread(target=read, name="read-lines", daemon=True).start()
    try:
        while (future := futures.get()) is not None:
            yield future.result()
            room.release()
    finally:
        stop.set()
        room.release()
        pool.shutdown(cancel_futures=True)


class PixelBudget:
    """Lets pictures be decoded while those that are held have few enough pixels."""

    def __init__(self, max_pixels: int = MAX_PIXELS_HELD, max_decoding: int = MAX_DECODING):
        self._max_pixels = max_pixels
        self._decoding = threading.Semaphore(max_decoding)
        self._condition = threading.Condition()
        self._held = 0

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Wait until a picture may be decoded."""
        with self._condition:
            self._condition.wait_for(lambda: self._held < self._max_pixels)
        with self._decoding:
            yield

    @contextmanager
    def holding(self, pixels: int) -> Iterator[None]:
        """Count a decoded picture for as long as it is in use."""
        with self._condition:
            self._held += pixels
        try:
            yield
        finally:
            with self._condition:
                self._held -= pixels
                self._condition.notify_all()
