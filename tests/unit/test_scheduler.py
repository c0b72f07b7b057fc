"""One thread owns a model; jobs end alone.

The failures here cannot be had from a model on demand, so tiny engines answer as a function says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.engine.image_cache import ImageFeatureCache
from models.schema import StatusEvent, TokenEvent, UserError
from models.serving.scheduler import Scheduler

SOON_S = 20.0


class Engine:
    """Stands for an engine: one job at a time unless told otherwise, and it counts its steps."""

    has_room = is_due = False
    steps = 0

    def __init__(self, work):
        self.features = ImageFeatureCache()
        self._work = work

    def answer(self, request, cancelled, status, adapter):
        yield from self._work(request, cancelled, status)

    def step(self) -> None:
        self.steps += 1


def echo(request, cancelled, status) -> Iterator[str]:
    yield f"model {request}"


def no_memory() -> UserError:
    return UserError("The memory ran out.", "Choose less.")


def take(job) -> list:
    """What a job gives, without the heartbeats."""
    return [event for event in job.events(SOON_S) if event is not None]


@pytest.fixture
def make():
    made = []

    def scheduler(work=echo, loader=None, **options) -> Scheduler:
        def load(status):
            status(StatusEvent("Loading …"))
            return Engine(work)

        made.append(Scheduler(ModelKey(NANO, "fp32"), loader or load, no_memory, **options))
        return made[-1]

    yield scheduler
    for each in made:
        each.close()


class Gate:
    """Work that waits until it is opened or cancelled."""

    def __init__(self):
        self.started, self.opened = threading.Event(), threading.Event()
        self.cancelled = threading.Event()
        self.threads: set[str] = set()
        self.ended: list[str] = []

    def __call__(self, request, cancelled, status):
        self.threads.add(threading.current_thread().name)
        self.started.set()
        yield "begun"
        while not self.opened.wait(0.01):
            if cancelled.is_set():
                self.ended.append(f"{request} cancelled")
                self.cancelled.set()
                return
        self.ended.append(request)
        yield request


def test_the_wait_of_a_job_is_timed_from_its_queueing_to_its_start(make):
    gate = Gate()
    scheduler = make(gate)
    first = scheduler.submit("first")
    assert gate.started.wait(SOON_S)
    second = scheduler.submit("second")
    held_s = time.monotonic() - second.queued_at
    gate.opened.set()
    take(first), take(second)
    assert second.wait_s >= held_s


def test_the_first_job_loads_and_the_next_does_not(make):
    scheduler = make()
    assert not scheduler.is_loaded
    assert take(scheduler.submit("a")) == [StatusEvent("Loading …"), "model a"]
    assert take(scheduler.submit("b")) == ["model b"]
    assert scheduler.is_loaded and scheduler.is_idle


def test_jobs_run_in_order_in_one_thread(make):
    gate = Gate()
    scheduler = make(gate)
    jobs = [scheduler.submit(name) for name in "abc"]
    gate.opened.set()
    for job in jobs:
        take(job)
    assert gate.ended == ["a", "b", "c"]
    assert gate.threads == {"owner-nano-224"}


def test_jobs_share_the_steps_of_the_engine(make):
    """Three jobs that take four steps each, side by side, take four steps or few more."""
    all_here = threading.Event()

    def work(request, cancelled, status):
        assert all_here.wait(SOON_S)
        for step in range(4):
            yield f"{request}{step}"
            yield None

    engine = Engine(work)
    engine.has_room = True
    scheduler = make(loader=lambda status: engine)
    jobs = [scheduler.submit(name) for name in "abc"]
    all_here.set()
    assert [take(job) for job in jobs] == [[f"{name}{step}" for step in range(4)] for name in "abc"]
    assert engine.steps == 4


def test_a_job_that_waits_too_long_keeps_others_from_joining(make):
    seen = []

    def work(request, cancelled, status):
        for _ in range(2):
            seen.append(request)
            yield None

    engine = Engine(work)
    engine.has_room = engine.is_due = True
    scheduler = make(loader=lambda status: engine)
    for job in [scheduler.submit(name) for name in "ab"]:
        take(job)
    assert seen == ["a", "a", "b", "b"]


def test_the_thread_ends_with_the_last_job_and_the_model_stays(make):
    """A thread that only waits would slow down those that compute."""
    gate = Gate()
    scheduler = make(gate)
    job = scheduler.submit("a")
    thread = scheduler._thread
    gate.opened.set()
    take(job)
    thread.join(SOON_S)
    assert not thread.is_alive() and scheduler._thread is None
    assert scheduler.is_loaded
    assert take(scheduler.submit("b")) == ["begun", "b"]


def test_a_thread_that_ended_is_started_again(make):
    loads = []

    def work(request, cancelled, status):
        yield "begun"
        if request == "deadly":
            raise SystemExit
        yield request

    def loader(status):
        loads.append(1)
        return Engine(work)

    scheduler = make(loader=loader)
    with pytest.raises(RuntimeError, match="thread that owns the model has ended"):
        take(scheduler.submit("deadly"))
    assert take(scheduler.submit("a"))[-1] == "a"
    assert len(loads) == 2


def test_a_thread_that_ends_with_a_full_queue_refuses_those_that_wait_and_no_others(make):
    started, go_on = threading.Event(), threading.Event()

    def work(request, cancelled, status):
        started.set()
        assert go_on.wait(SOON_S)
        if request == "deadly":
            raise SystemExit
        yield request

    scheduler = make(work, max_queued=3)
    jobs = [scheduler.submit(name) for name in ("deadly", "b", "c")]
    assert started.wait(SOON_S)
    with pytest.raises(UserError, match="busy"):
        scheduler.submit("d")
    go_on.set()
    for job in jobs:
        with pytest.raises(RuntimeError, match="thread that owns the model has ended"):
            take(job)
    assert take(scheduler.submit("e"))[-1] == "e"


def test_what_was_written_is_counted_also_where_it_comes_at_once(make):
    """Beams write all of their tokens in one event."""

    def work(request, cancelled, status):
        for index in request:
            yield TokenEvent("", "", 7, index, 0.1)

    scheduler = make(work)
    take(scheduler.submit((0, 1, 2)))
    take(scheduler.submit((6,)))
    found = scheduler.snapshot()
    assert (found.tokens, found.answered, found.precision) == (10, 2, "fp32")
    assert found.first_token_s is not None
    stopped = scheduler.submit((0,))
    stopped.cancelled.set()
    take(stopped)
    assert scheduler.snapshot().answered + scheduler.snapshot().stopped == 3


def test_a_failed_job_fails_alone(make):
    def work(request, cancelled, status):
        yield "begun"
        if request == "bad":
            raise ZeroDivisionError("of this job")
        yield request

    scheduler = make(work)
    good, bad, next_one = (scheduler.submit(name) for name in ("good", "bad", "next"))
    assert take(good)[-1] == "good"
    with pytest.raises(ZeroDivisionError, match="of this job"):
        take(bad)
    assert take(next_one)[-1] == "next"


def test_the_end_of_memory_is_said_and_ends_no_other_job(make):
    def work(request, cancelled, status):
        yield "begun"
        if request == "large":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        yield request

    scheduler = make(work)
    large, small = (scheduler.submit(name) for name in ("large", "small"))
    with pytest.raises(UserError, match=r"memory ran out\. Choose less"):
        take(large)
    assert take(small)[-1] == "small"


def test_a_failed_load_is_tried_again(make):
    attempts = []

    def loader(status):
        attempts.append(1)
        if len(attempts) == 1:
            raise UserError("There is no network.")
        return Engine(echo)

    scheduler = make(loader=loader)
    with pytest.raises(UserError, match="no network"):
        take(scheduler.submit("a"))
    assert take(scheduler.submit("b")) == ["model b"]


def test_a_full_queue_refuses(make):
    gate = Gate()
    scheduler = make(gate, max_queued=2)
    jobs = [scheduler.submit("a"), scheduler.submit("b")]
    with pytest.raises(UserError, match="busy"):
        scheduler.submit("c")
    gate.opened.set()
    for job in jobs:
        take(job)
    assert take(scheduler.submit("c"))[-1] == "c"


def test_closing_a_consumer_cancels_its_job_and_no_other(make):
    gate = Gate()
    scheduler = make(gate)
    first, second = scheduler.submit("a"), scheduler.submit("b")
    events = first.events(SOON_S)
    assert gate.started.wait(SOON_S)
    while next(events) != "begun":
        pass
    events.close()
    assert gate.cancelled.wait(SOON_S)
    gate.opened.set()
    assert take(second)[-1] == "b"
    assert gate.ended == ["a cancelled", "b"]


def test_a_job_cancelled_while_it_waits_never_starts(make):
    gate = Gate()
    scheduler = make(gate)
    first, second = scheduler.submit("a"), scheduler.submit("b")
    assert gate.started.wait(SOON_S)
    second.cancelled.set()
    gate.opened.set()
    take(first)
    assert take(second) == []
    assert gate.ended == ["a"]


def test_leaving_during_a_load_ends_the_load(make):
    loading, left = threading.Event(), threading.Event()

    def loader(status):
        loading.set()
        assert left.wait(SOON_S)
        status(StatusEvent("Still loading …"))
        raise AssertionError("the load went on")

    scheduler = make(loader=loader)
    job = scheduler.submit("a")
    assert loading.wait(SOON_S)
    job.cancelled.set()
    left.set()
    assert take(job) == []


def test_leaving_during_a_download_of_the_work_ends_it(make):
    begun, left = threading.Event(), threading.Event()
    went_on = []

    def work(request, cancelled, status):
        status(StatusEvent("Downloading …"))
        begun.set()
        assert left.wait(SOON_S)
        status(StatusEvent("Still downloading …"))
        went_on.append(request)
        yield request

    scheduler = make(work)
    job = scheduler.submit("a")
    assert begun.wait(SOON_S)
    job.cancelled.set()
    left.set()
    assert take(job) == [StatusEvent("Loading …"), StatusEvent("Downloading …")]
    assert went_on == []


def test_only_an_idle_scheduler_retires(make):
    gate = Gate()
    scheduler = make(gate)
    job = scheduler.submit("a")
    assert gate.started.wait(SOON_S)
    assert not scheduler.retire()
    gate.opened.set()
    assert take(job)[-1] == "a"
    assert scheduler.retire()
    with pytest.raises(UserError, match="closed"):
        scheduler.submit("b")
    scheduler.close()
    assert not scheduler.is_loaded


def test_heartbeats_come_while_nothing_happens(make):
    gate = Gate()
    job = make(gate).submit("a")
    events = job.events(0.01)
    assert None in [next(events) for _ in range(20)]
    gate.opened.set()
    assert list(events)[-1] == "a"


def test_closing_stops_the_work_and_refuses_the_rest(make):
    gate = Gate()
    scheduler = make(gate)
    first, second = scheduler.submit("a"), scheduler.submit("b")
    assert gate.started.wait(SOON_S)
    scheduler.close()
    take(first)
    assert gate.ended == ["a cancelled"]
    with pytest.raises(UserError, match="closed"):
        take(second)
    with pytest.raises(UserError):
        scheduler.submit("c")
    assert not scheduler.is_loaded
