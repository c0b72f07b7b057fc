"""Answers on ZeroGPU: models are kept in this process, and answer in a worker that has a GPU.

The worker is forked for one answer. It has what this process had loaded, but neither its threads
nor what changes here later, and nothing it changes comes back; arguments and results are pickled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

from models.catalog import lookup, memory
from models.catalog.memory import ZERO_GPU_BYTES
from models.hub import adapters
from models.loading.device import enable_zero_gpu_placement, memory_watched, zero_gpu
from models.loading.loader import LoadedModel, Loader
from models.loading.precision import precisions
from models.schema import Request, Status, StatusEvent, UserError
from models.serving.backend import Event
from models.serving.model_pool import HEARTBEAT_S, Key
from models.serving.scheduler import Work
from models.serving.validation import gpu_seconds, gpu_size, smaller


class _Left(Exception):
    """The visitor has gone; raised inside a download to end it."""


class ZeroGpu:
    """Models of this process by checkpoint and precision, and the functions that use a GPU."""

    def __init__(self, loader: Loader, work: Work):
        self._loader, self._work = loader, work
        self._kept: dict[Key, LoadedModel] = {}  # the longest unused first
        self._lock = threading.Lock()  # of the dictionary; never held for long
        self._load_lock = threading.Lock()  # held while a model is loaded
        # One function a size of GPU: the size belongs to the function, the duration to a call.
        self._on_gpu = {
            size: zero_gpu(gpu_seconds, size)(self._worker()) for size in ZERO_GPU_BYTES
        }

    def answer(self, request: Request, key: Key) -> Iterator[Event]:
        """The events of an answer; UserError where the model or the GPU cannot be had.

        Closing it ends a download and the listening, no more: a load is not interrupted, and the
        worker gets no word of it and writes on until its seconds are used up.
        """
        size = gpu_size(*key, precisions(self._loader.device))
        yield from self.load(key, request.adapter)
        yield StatusEvent("Waiting for a GPU …")
        events = self._on_gpu[size](request, key)
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

    def load(self, key: Key, adapter: str | None = None) -> Iterator[StatusEvent]:
        """Bring a model into this process, and an adapter's files onto its disk.

        A StatusEvent comes at least twice a second.
        """
        said: queue.SimpleQueue[StatusEvent | None] = queue.SimpleQueue()
        left, done = threading.Event(), Future()
        event = StatusEvent(f"Loading {key[0]} …")

        def status(event: StatusEvent) -> None:
            if left.is_set():
                raise _Left
            said.put(event)

        def work() -> None:
            try:
                enable_zero_gpu_placement()
                if adapter is not None:
                    adapters.fetch(key[0], adapter, status)
                if key not in self._kept:
                    self._loader.fetch(key[0], status)
                    with self._load_lock:
                        self._keep(key, status)
                done.set_result(None)
            except BaseException as error:  # nothing is lost: the caller raises it
                done.set_exception(error)
            said.put(None)

        with self._lock:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)  # the most recently used stands last
                if adapter is None:
                    return
        threading.Thread(target=work, name=f"load-{key[0]}", daemon=True).start()
        try:
            while not done.done():
                with suppress(queue.Empty):
                    event = said.get(timeout=HEARTBEAT_S) or event
                yield event
            done.result()
        finally:
            left.set()

    def close(self) -> None:
        """Let go of the models."""
        self._kept.clear()

    def _keep(self, key: Key, status: Status) -> None:
        """Load a model; the longest unused go until all that stay fit into the smaller GPU.

        Every worker gets all models that are kept, so together they must fit where one is meant to.
        """
        with self._lock:
            if key in self._kept:
                return
            needed = _bytes(key)
            while self._kept and sum(map(_bytes, self._kept)) + needed > ZERO_GPU_BYTES["large"]:
                del self._kept[next(iter(self._kept))]
        loaded = self._loader.load(*key, status)
        with self._lock:
            self._kept[key] = loaded

    def _worker(self) -> Callable[[Request, Key], Iterator[Event | UserError]]:
        """A new function to be run on a GPU.

        A UserError is an event there: raised, it would reach this process as a nameless error. A
        worker that was forked before the model was loaded loads it itself.
        """

        def answer_on_gpu(request: Request, key: Key) -> Iterator[Event | UserError]:
            try:
                with memory_watched(lambda: _out_of_memory(key)):
                    loaded = self._kept.get(key) or self._loader.load(*key)
                    self._kept[key] = loaded
                    yield from self._work(loaded, request, threading.Event(), 0.0)
            except UserError as error:
                yield error

        return answer_on_gpu


def _out_of_memory(key: Key) -> UserError:
    room = _bytes(key) - 1
    fitting = smaller(lookup.find(key[0]), key[1], ("nf4", "int8"), room, on_cpu=False)
    return UserError(
        f"The GPU's memory ran out with {key[0]} in {key[1]}.",
        f"Choose {' or '.join(fitting) or 'fewer tokens'}.",
    )


def _bytes(key: Key) -> int:
    return memory.estimate(lookup.find(key[0]), key[1], on_cpu=False).total
