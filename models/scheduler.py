"""The one thread that owns a model: loads it, then answers jobs in the order in which they came.

It knows neither what loading takes nor what answering means; both are given as functions. A job
that is cancelled or fails ends alone, its neighbours do not notice.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from models.loader import LoadedModel
from models.schema import Request, Status, StatusEvent, UserError

LONGEST_QUEUE = 16

Load = Callable[[Callable[[str], None]], LoadedModel]
"""Loads the model; gets a function for sentences about its progress."""
"""Tells the person who waits; raises where nobody waits any more."""
Work = Callable[[LoadedModel, Request, threading.Event, float, Status], Iterator[Any]]
"""Answers a request on the model; stops soon after the event is set; the float is `load_s`."""

_END = object()


class _Cancelled(Exception):
    """The person who waited for a load or a download has gone."""


class Job:
    """A request on its way; `events` gives what comes of it."""

    def __init__(self, request: Request, alive: Callable[[], bool]):
        self.request = request
        self.cancelled = threading.Event()
        self._alive = alive
        self._events: queue.Queue[Any] = queue.Queue()

    def events(self, heartbeat_s: float) -> Iterator[Any]:
        """The job's events; None whenever nothing came for `heartbeat_s` seconds.

        Closing the iterator cancels the job. What the work raised is raised here.
        """
        try:
            while True:
                try:
                    event = self._events.get(timeout=heartbeat_s)
                except queue.Empty:
                    if not self._alive():
                        raise RuntimeError("the thread that owns the model has ended") from None
                    yield None
                    continue
                if event is _END:
                    return
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.cancelled.set()

    def put(self, event: Any) -> None:
        """Called by the owner of the model."""
        self._events.put(event)

    def end(self) -> None:
        """Called by the owner of the model when nothing more comes."""
        self._events.put(_END)


class Scheduler:
    """Jobs of one model. The thread starts with the first job and loads the model then."""

    def __init__(self, name: str, load: Load, work: Work, capacity: int = LONGEST_QUEUE):
        self._name = name
        self._load = load
        self._work = work
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._capacity = capacity
        self._lock = threading.Lock()
        self._unfinished = 0
        self._closed = False
        self._current: Job | None = None
        self._loaded: LoadedModel | None = None
        self._thread = threading.Thread(target=self._serve, name=f"owner-{name}", daemon=True)
        self.used_at = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether no job runs or waits."""
        return self._unfinished == 0

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded is not None

    @property
    def ahead(self) -> int:
        """Jobs that run or wait."""
        return self._unfinished

    def submit(self, request: Request) -> Job:
        """Queue a request; UserError where too many wait already."""
        with self._lock:
            if self._closed:
                raise UserError(f"{self._name} is being closed.", "Try again in a moment.")
            if self._unfinished >= self._capacity:
                raise UserError(
                    f"{self._name} is busy: {self._unfinished} requests are waiting.",
                    "Try again in a minute.",
                )
            if not self._thread.is_alive():
                self._thread.start()
            self._unfinished += 1
            self.used_at = time.monotonic()
            job = Job(request, self._thread.is_alive)
            self._jobs.put(job)
            return job

    def retire(self) -> bool:
        """Refuse new jobs if there is none now; whether that is so. `close` has to follow."""
        with self._lock:
            if self._unfinished or self._closed:
                return False
            self._closed = True
            return True

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop the running job, refuse those that wait, and let go of the model."""
        with self._lock:
            self._closed = True
            started = self._thread.is_alive()
            current = self._current
        if current is not None:
            current.cancelled.set()
        self._jobs.put(None)
        if started and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                break
            self._current = job
            try:
                if self._closed:
                    raise UserError(f"{self._name} was closed.", "Try again in a moment.")
                if not job.cancelled.is_set():
                    self._answer(job)
            except _Cancelled:
                pass
            except Exception as error:  # whatever it is, it belongs to this job alone
                job.put(error)
            finally:
                self._current = None
                with self._lock:
                    self._unfinished -= 1
                    self.used_at = time.monotonic()
                job.end()
        self._loaded = None

    def _answer(self, job: Job) -> None:
        started = time.monotonic()

        def status(event: StatusEvent) -> None:
            if job.cancelled.is_set():
                raise _Cancelled
            job.put(event)

        if self._loaded is None:
            self._loaded = self._load(status)
        load_s = time.monotonic() - started
        events = self._work(self._loaded, job.request, job.cancelled, load_s, status)
        for event in events:
            job.put(event)
