"""The one thread at a time that owns a model: loads it, then serves its jobs side by side.

How the engine is loaded is given as a function. The engine answers a job as a generator that hands
the thread back wherever its neighbours may go on, so that all of them share its steps. A job that
is cancelled or fails ends alone.

The thread lives as long as there are jobs. One that only waited would slow down all others that
compute: OpenMP keeps workers for each thread that ever did, and lets them all sleep between two
products where they are more than the processors.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from models.catalog.adapter import Adapter
from models.catalog.model_key import ModelKey
from models.engine.engine import Engine
from models.engine.sequence import Finished
from models.limits import MAX_QUEUED_REQUESTS
from models.loading.device import memory_watched
from models.schema import Busy, Request, Status, StatusEvent, TokenEvent, UserError
from models.serving.backend import Event
from models.serving.metrics import Metrics, Snapshot
from models.serving.result import to_result

Load = Callable[[Status], Engine]
"""Loads the engine; what it is given tells the person who waits, and raises where nobody does."""
Events = Generator[Event | None, None, None]
"""What comes of a job; None wherever another may go on before the engine's next `step`."""


class _Cancelled(Exception):
    """The person who waited for a load or a download has gone."""


class Job:
    """A request on its way, with the adapter that it names; `events` gives what comes of it."""

    def __init__(self, request: Request, adapter: Adapter | None, alive: Callable[[], bool]):
        self.request, self.adapter = request, adapter
        self.queued_at = time.monotonic()
        self.wait_s = 0.0  # from being queued to being scheduled
        self.tokens = 0  # that came so far
        self.cancelled = threading.Event()
        self._alive = alive
        self._events: queue.Queue[Event | Exception | None] = queue.Queue()  # None is the end

    def events(self, heartbeat_s: float) -> Iterator[Event | None]:
        """The job's events; None whenever nothing came for `heartbeat_s` seconds.

        Closing the iterator cancels the job. What the answer raised is raised here.
        """
        try:
            while True:
                try:
                    event = self._events.get(timeout=heartbeat_s)
                except queue.Empty:
                    if not self._alive() and self._events.empty():
                        raise RuntimeError("the thread that owns the model has ended") from None
                    yield None
                    continue
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Nobody wants more: the answer, a download among it, ends within a step."""
        self.cancelled.set()

    def put(self, event: Event | Exception) -> None:
        """Called by the owner of the model."""
        self._events.put(event)

    def end(self) -> None:
        """Called by the owner of the model when nothing more comes."""
        self._events.put(None)


class Scheduler:
    """Jobs of one model, which is loaded with the first and kept in memory until this is closed."""

    def __init__(
        self,
        key: ModelKey,
        load: Load,
        out_of_memory: Callable[[], UserError],
        max_queued: int = MAX_QUEUED_REQUESTS,
    ):
        """`out_of_memory` makes room and says what to do where the memory ends in an answer."""
        self._key, self._name = key, key.checkpoint.name
        self._load, self._out_of_memory = load, out_of_memory
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._max_queued = max_queued
        self._lock = threading.Lock()
        self._unfinished = 0
        self._closed = False
        self._thread: threading.Thread | None = None  # the one that serves, None where none has to
        self._running: list[tuple[Job, Events]] = []
        self._engine: Engine | None = None
        self._metrics = Metrics()
        self.used_at = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether no job runs or waits."""
        return self._unfinished == 0

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._engine is not None

    @property
    def unfinished(self) -> int:
        """Jobs that run or wait."""
        return self._unfinished

    def snapshot(self) -> Snapshot:
        """What an owner wants to know."""
        running = len(self._running)
        engine = self._engine
        hits, misses = (engine.features.hits, engine.features.misses) if engine else (0, 0)
        queued = max(self._unfinished - running, 0)
        return self._metrics.snapshot(
            self._name, self._key.precision, queued, running, hits, hits + misses
        )

    def submit(self, request: Request, adapter: Adapter | None = None) -> Job:
        """Queue a request; Busy where too many wait already."""
        with self._lock:
            if self._closed:
                raise UserError(f"{self._name} is being closed.", "Try again in a moment.")
            if self._unfinished >= self._max_queued:
                raise Busy(
                    f"{self._name} is busy: {self._unfinished} requests are waiting.",
                    "Try again in a minute.",
                )
            thread = self._thread
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=self._serve, name=f"owner-{self._name}")
                thread.daemon = True
                thread.start()
                self._thread = thread
            self._unfinished += 1
            self.used_at = time.monotonic()
            job = Job(request, adapter, thread.is_alive)
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
        """Stop the running job, refuse those that wait, and evict the model."""
        with self._lock:
            self._closed = True
            thread = self._thread
            if thread is None:
                self._engine = None
        for job, _ in list(self._running):
            job.cancel()
        if thread is not None and threading.current_thread() is not thread:
            thread.join(timeout_s)

    def _serve(self) -> None:
        """Serve while there are jobs. Whatever else ends this ends its jobs, and the engine."""
        is_done = False
        try:
            while not (is_done := self._stop_if_idle()):
                self._serve_once()
        finally:
            if not is_done:
                self._fail_all(RuntimeError("the thread that owns the model has ended"))

    def _fail_all(self, error: Exception) -> None:
        """End the jobs that run and those that wait, and drop the engine.

        New jobs are submitted under the same lock, so none waits for a thread that has ended.
        """
        with self._lock:
            self._engine = self._thread = None
            waiting = []
            while not self._jobs.empty():
                waiting.append(self._jobs.get_nowait())
            self._unfinished -= len(waiting)
        for each in list(self._running):
            self._end(*each, error)
        for job in waiting:
            self._metrics.record_end(True, job.cancelled.is_set())
            job.put(error)
            job.end()

    def _stop_if_idle(self) -> bool:
        """Whether there is no job; from then on this thread serves no more."""
        with self._lock:
            if self._unfinished:
                return False
            self._thread = None
            if self._closed:
                self._engine = None
            return True

    def _serve_once(self) -> None:
        """Let jobs join, make a step, and let each go on until it waits."""
        # 1. Those that wait join while there is room, unless others have waited for them too long.
        while not self._running or self._may_join():
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            self._running.append((job, self._events_of(job)))
            self._advance(*self._running[-1])
        # 2. All that wait get their next token.
        if self._running and self._engine is not None:
            self._engine.step()
        # 3. Each takes it, and goes on until it waits for the others.
        for each in list(self._running):
            self._advance(*each)

    def _may_join(self) -> bool:
        engine = self._engine
        return engine is not None and engine.has_room and not engine.is_due

    def _events_of(self, job: Job) -> Events:
        """The events of a job, the load of the model among them where it is the first."""

        def status(event: StatusEvent) -> None:
            if job.cancelled.is_set():
                raise _Cancelled
            job.put(event)

        if self._closed:
            raise UserError(f"{self._name} was closed.", "Try again in a moment.")
        if job.cancelled.is_set():
            return
        started = time.monotonic()
        job.wait_s = started - job.queued_at
        if self._engine is None:
            self._engine = self._load(status)
        engine = self._engine
        load_s = time.monotonic() - started
        answer = engine.answer(job.request, job.cancelled, status, job.adapter)
        with memory_watched(self._out_of_memory), closing(answer) as events:
            for event in events:
                if isinstance(event, Finished):
                    yield to_result(engine.loaded, job.request, event, load_s, job.wait_s)
                else:
                    yield event

    def _advance(self, job: Job, events: Events) -> None:
        """Let a job go on until it waits or ends; what it raises belongs to it alone."""
        try:
            for event in events:
                if event is None:
                    return
                if isinstance(event, TokenEvent):
                    is_first, new = job.tokens == 0, event.index + 1 - job.tokens
                    job.tokens += new
                    first_token_s = time.monotonic() - job.queued_at if is_first else None
                    self._metrics.record_tokens(new, first_token_s)
                job.put(event)
        except _Cancelled:
            pass
        except Exception as error:
            self._end(job, events, error)
            return
        self._end(job, events)

    def _end(self, job: Job, events: Events, error: Exception | None = None) -> None:
        self._running.remove((job, events))
        events.close()
        self._metrics.record_end(error is not None, job.cancelled.is_set())
        with self._lock:
            self._unfinished -= 1
            self.used_at = time.monotonic()
        if error is not None:
            job.put(error)
        job.end()
