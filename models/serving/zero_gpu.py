"""Answers on ZeroGPU: models are loaded in this process and used in workers that have a GPU.

`spaces` (0.51, `zero/wrappers.py`) forks a worker at the first call of a wrapped function on a GPU.
It keeps the worker after the answer, one per function and GPU, and gives it the next call if it is
alive and the scheduler says that its GPU is idle. So a worker starts with the models that this
process had loaded when it was forked and loads by itself those that it is asked for later; it has
none of this process's threads, nothing that it changes comes back, and it may hold a lock that
another thread held at the fork. Arguments and events are pickled.
"""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress

import torch

from models.catalog import memory
from models.catalog.adapter import Adapter
from models.catalog.memory import ZERO_GPU_BYTES
from models.catalog.model_key import ModelKey
from models.engine.engine import generate
from models.engine.sequence import Finished
from models.hub import adapters
from models.loading.device import enable_zero_gpu_placement, memory_watched, zero_gpu
from models.loading.loader import LoadedModel, Loader
from models.schema import Request, Status, StatusEvent, UserError
from models.serving.backend import Event
from models.serving.model_pool import HEARTBEAT_S
from models.serving.result import to_result
from models.serving.validation import Offer, gpu_seconds, gpu_size, named, smaller

Answer = Callable[[LoadedModel, Request, Adapter | None, threading.Event, float], Iterator[Event]]
"""Answers a request on a model, until the event is set; the float is `load_s`."""


class _Cancelled(Exception):
    """Nobody waits any more; raised inside a download to end it."""


class ZeroGpu:
    """Models of this process by checkpoint and precision, and the functions that use a GPU."""

    def __init__(self, loader: Loader, offer: Offer, answer: Answer | None = None):
        """`offer` is what an error may advise; `answer` stands for `answer_alone`."""
        self._loader, self._offer, self._answer = loader, offer, answer or answer_alone
        self._models: dict[ModelKey, LoadedModel] = {}  # the least recently used first
        # Held by threads of this process only: in a worker it may stay locked for ever.
        self._lock = threading.Lock()  # of the dictionary; never held for long
        self._load_lock = threading.Lock()  # held while a model is loaded
        # One function a size of GPU: the size belongs to the function, the duration to a call.
        self._on_gpu = {
            size: zero_gpu(_seconds, size)(self._function(capacity))
            for size, capacity in ZERO_GPU_BYTES.items()
        }

    @property
    def loaded(self) -> tuple[ModelKey, ...]:
        """The models that this process, or the worker that asks, has loaded; the least recently
        used first."""
        return tuple(self._models)

    def answer(
        self, request: Request, key: ModelKey, adapter: Adapter | None = None
    ) -> Iterator[Event]:
        """The events of an answer; UserError where the model or the GPU cannot be had.

        Closing it ends a download, but no load. In the worker it cancels the answer at its next
        event; until then the closing waits.
        """
        size = gpu_size(key, self._offer)
        yield from self.load(key, adapter)
        yield StatusEvent("Waiting for a GPU …")
        events = self._on_gpu[size](request, key, adapter)
        try:
            for event in events:
                if isinstance(event, UserError):
                    raise event
                yield event
        except Exception as error:  # of Gradio's kind, which this module does not know
            refusal = getattr(error, "title", "")
            if not str(refusal).startswith("ZeroGPU"):
                raise
            reason = " ".join(str(getattr(error, "message", error)).split()).rstrip(".")
            raise UserError(
                f"{refusal}: {reason}.",
                "Sign in to Hugging Face for more GPU time, ask for fewer tokens, or come back "
                "later.",
            ) from None
        finally:
            events.close()

    def load(self, key: ModelKey, adapter: Adapter | None = None) -> Iterator[StatusEvent]:
        """Load a model in this process, and fetch an adapter's files.

        A StatusEvent comes at least twice a second.
        """
        statuses: queue.SimpleQueue[StatusEvent | None] = queue.SimpleQueue()
        cancelled, done = threading.Event(), Future[None]()
        event = StatusEvent(f"Loading {key.checkpoint.name} …")

        def status(event: StatusEvent) -> None:
            if cancelled.is_set():
                raise _Cancelled
            statuses.put(event)

        def load() -> None:
            try:
                enable_zero_gpu_placement()
                if adapter is not None:
                    adapters.fetch(adapter, status)
                if key not in self._models:
                    self._loader.fetch(key.checkpoint, status)
                    with self._load_lock:
                        self._load(key, status)
                done.set_result(None)
            except BaseException as error:  # nothing is lost: the caller raises it
                done.set_exception(error)
            statuses.put(None)

        with self._lock:
            if key in self._models:
                self._models[key] = self._models.pop(key)
                if adapter is None:
                    return
        threading.Thread(target=load, name=f"load-{key.checkpoint.name}", daemon=True).start()
        try:
            while not done.done():
                with suppress(queue.Empty):
                    event = statuses.get(timeout=HEARTBEAT_S) or event
                yield event
            done.result()
        finally:
            cancelled.set()

    def close(self) -> None:
        """Evict all models of this process; workers end with it."""
        self._models.clear()

    def _load(self, key: ModelKey, status: Status) -> None:
        """Load a model in this process.

        A new worker moves all models of this process onto its GPU, so together they fit the smaller
        one; a model that needs the larger one is here alone.
        """
        with self._lock:
            if key in self._models:
                return
            self._evict_for(key, ZERO_GPU_BYTES["large"])
        loaded = self._loader.load(key, status)
        with self._lock:
            self._models[key] = loaded

    def _evict_for(self, key: ModelKey, capacity: int) -> None:
        """Evict models, the least recently used first, until `key` fits into `capacity` bytes."""
        needed = _bytes(key)
        while self._models and sum(map(_bytes, self._models)) + needed > capacity:
            del self._models[next(iter(self._models))]

    def _function(
        self, capacity: int
    ) -> Callable[[Request, ModelKey, Adapter | None], Generator[Event | UserError, None, None]]:
        """A new function to be run in workers, whose GPUs hold `capacity` bytes.

        A UserError is an event there: raised, it would reach this process as a nameless error, and
        `spaces` would give up the worker.
        """

        def answer_on_gpu(
            request: Request, key: ModelKey, adapter: Adapter | None
        ) -> Generator[Event | UserError, None, None]:
            cancelled = threading.Event()
            try:
                with memory_watched(lambda: self._out_of_memory(key)):
                    started = time.monotonic()
                    loaded = self._load_in_worker(key, capacity)
                    load_s = time.monotonic() - started
                    yield from self._answer(loaded, request, adapter, cancelled, load_s)
            except UserError as error:
                yield error
            finally:
                cancelled.set()

        return answer_on_gpu

    def _load_in_worker(self, key: ModelKey, capacity: int) -> LoadedModel:
        """The model, loaded where this worker has not yet; what it then holds fits its GPU."""
        loaded = self._models.pop(key, None)
        if loaded is None:
            self._evict_for(key, capacity)
            gc.collect()  # modules refer to each other in circles
            torch.cuda.empty_cache()
            loaded = self._loader.load(key)
        self._models[key] = loaded
        return loaded

    def _out_of_memory(self, key: ModelKey) -> UserError:
        offer = Offer(self._offer.checkpoints, ("nf4", "int8"))
        fitting = smaller(key, offer, _bytes(key) - 1, on_cpu=False)
        return UserError(
            f"The GPU's memory ran out with {key}.", f"Choose {named(fitting) or 'fewer tokens'}."
        )


def answer_alone(
    loaded: LoadedModel,
    request: Request,
    adapter: Adapter | None,
    cancelled: threading.Event,
    load_s: float,
) -> Iterator[Event]:
    """Answer a request on an engine of its own."""
    for event in generate(loaded, request, cancelled, adapter):
        if isinstance(event, Finished):
            yield to_result(loaded, request, event, load_s)
        else:
            yield event


def _seconds(request: Request, key: ModelKey, adapter: Adapter | None) -> int:
    """As `gpu_seconds`, of all that a worker gets."""
    return gpu_seconds(request, key)


def _bytes(key: ModelKey) -> int:
    return memory.estimate(key.checkpoint, key.precision, on_cpu=False).total
