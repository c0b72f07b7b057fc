"""The backend of this machine: loads models as they are asked for, and lets idle ones go.

A request is refused here, in words, before any model is touched. This module does not know pages
or terminals.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from PIL import Image

from models import adapters, catalog, hub, memory
from models.backend import Event
from models.checkpoints import Checkpoint
from models.checks import (
    check,
    default_deadline_s,
    gigabytes,
    gpu_seconds,
    missing_download,
)
from models.device import (
    available_bytes,
    best_device,
    on_zero_gpu,
    precisions,
    resolve_precision,
    zero_gpu,
)
from models.engine import Finished, generate
from models.loader import LoadedModel, Loader, local_folder
from models.objects import detect
from models.scheduler import LONGEST_QUEUE, Job, Load, Scheduler
from models.schema import (
    Decoding,
    Request,
    Result,
    StatusEvent,
    Timings,
    UserError,
)

HEARTBEAT_S = 0.5

Key = tuple[str, str]


class LocalBackend:
    """Answers on this machine: one thread per loaded model, or ZeroGPU's worker."""

    def __init__(self, device: torch.device | None = None, longest_queue: int = LONGEST_QUEUE):
        self._device = device or best_device()
        self._loader = Loader(self._device)
        self._longest_queue = longest_queue
        self._lock = threading.Lock()  # of the two dictionaries; never held for long
        self._load_lock = threading.Lock()  # held while a model is loaded
        self._schedulers: dict[Key, Scheduler] = {}
        self._resident: dict[Key, LoadedModel] = {}  # on ZeroGPU only
        self._on_gpu = zero_gpu(gpu_seconds)(self._answer_on_gpu)

    def answer(self, request: Request) -> Iterator[Event]:
        """See `Backend.answer`. While it waits for the first token, a StatusEvent comes at least
        twice a second, so that the caller can look whether to go on."""
        check(request)
        request = self._with_deadline(request)
        key = self._key(request.checkpoint, request.precision)
        if on_zero_gpu():
            yield from self._answer_on_zero_gpu(request, key)
            return
        job, ahead = self._submit(request, key)
        message = "Waiting for other requests …" if ahead else "Looking at the picture …"
        events = job.events(HEARTBEAT_S)
        silent = True
        try:
            for event in events:
                if isinstance(event, StatusEvent):
                    message = event.message
                if event is not None:
                    silent = silent and isinstance(event, StatusEvent)
                    yield event
                elif silent:
                    yield StatusEvent(message)
        finally:
            events.close()

    def missing(self, checkpoint: str) -> str | None:
        """See `Backend.missing`. It asks no network, so a licence shows only on download."""
        chosen = catalog.find(checkpoint)
        if self._has_loaded(checkpoint):
            return None
        if chosen.is_local:
            try:
                local_folder(chosen)
            except UserError as error:
                return str(error)
        precision = resolve_precision(chosen, "auto", self._device)
        too_large = self._missing_memory(chosen, precision)
        if _is_here(chosen):
            return str(too_large) if too_large else None
        return missing_download(chosen, too_large, self._needed(chosen))

    def notice(self, checkpoint: str) -> str | None:
        """See `Backend.notice`."""
        chosen = catalog.find(checkpoint)
        if self._has_loaded(checkpoint) or _is_here(chosen):
            return None
        size = gigabytes(chosen.download_bytes)
        return f"Will download {size} on first use; licence: {chosen.licence_url}"

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        """See `Backend.adapters`."""
        return adapters.names(checkpoint)

    def precisions(self) -> tuple[str, ...]:
        """See `Backend.precisions`."""
        return precisions(self._device)

    def warm(self, checkpoint: str) -> None:
        """Load a checkpoint and, where it has its own thread, let it write one token."""
        if on_zero_gpu():
            for _ in self._load_resident(self._key(checkpoint, "auto")):
                pass
            return
        side = catalog.find(checkpoint).resolution
        blank = Image.new("RGB", (side, side), "white")
        request = Request(blank, "caption en", checkpoint, decoding=Decoding(max_new_tokens=2))
        for _ in self.answer(request):
            pass

    def close(self) -> None:
        """Stop all jobs and let go of the models."""
        with self._lock:
            schedulers = list(self._schedulers.values())
            self._schedulers.clear()
            self._resident.clear()
        for scheduler in schedulers:
            scheduler.close()

    def _with_deadline(self, request: Request) -> Request:
        if request.deadline_s is not None:
            return request
        chosen = catalog.find(request.checkpoint)
        limit_s = default_deadline_s(chosen, request.decoding, self._device.type)
        return replace(request, deadline_s=limit_s)

    def _key(self, checkpoint: str, precision: str) -> Key:
        chosen = catalog.find(checkpoint)
        return checkpoint, resolve_precision(chosen, precision, self._device)

    def _has_loaded(self, checkpoint: str) -> bool:
        return any(name == checkpoint and each.is_loaded for (name, _), each in self._items())

    def _items(self) -> list[tuple[Key, Scheduler]]:
        with self._lock:
            return list(self._schedulers.items())

    def _submit(self, request: Request, key: Key) -> tuple[Job, int]:
        """Queue a request at its model's scheduler, new where there is none; and the jobs ahead.

        The lock that `_make_room` also takes keeps that scheduler from being let go in between.
        """
        with self._lock:
            scheduler = self._schedulers.get(key)
            if scheduler is None:
                scheduler = Scheduler(key[0], self._load_for(key), work, self._longest_queue)
                self._schedulers[key] = scheduler
            ahead = scheduler.ahead
            return scheduler.submit(request), ahead

    def _load_for(self, key: Key) -> Load:
        """How the thread of `key` gets its model: download it, make room, then load.

        One model is loaded at a time, so that two do not count on the same memory. Downloads and
        answers of other models go on meanwhile.
        """
        chosen = catalog.find(key[0])

        def load(status: hub.Status) -> LoadedModel:
            if not _is_here(chosen):
                too_large = self._missing_memory(chosen, key[1])
                if too_large:
                    raise too_large
                self._loader.fetch(chosen.name, status)
            with self._turn_to_load(status):
                self._make_room(key)
                return self._loader.load(*key, status)

        return load

    @contextmanager
    def _turn_to_load(self, status: hub.Status) -> Iterator[None]:
        """Wait until no other model is being loaded; what `status` raises ends the waiting."""
        while not self._load_lock.acquire(timeout=HEARTBEAT_S):
            status("Waiting for another model to be loaded …")
        try:
            yield
        finally:
            self._load_lock.release()

    def _make_room(self, key: Key) -> None:
        """Let go of models that idle, longest unused first, until `key` fits; else UserError."""
        chosen = catalog.find(key[0])
        needed = memory.estimate(chosen, key[1]).total
        while available_bytes(self._device) < needed:
            idle = [
                (other, each)
                for other, each in self._items()
                if other != key and each.is_idle and each.is_loaded
            ]
            if not idle:
                raise self._too_little_memory(chosen, key[1])
            other, scheduler = min(idle, key=lambda item: item[1].used_at)
            with self._lock:
                if not scheduler.retire():  # it got a job just now
                    continue
                self._schedulers.pop(other, None)
            scheduler.close()
            gc.collect()  # modules refer to each other in circles
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _missing_memory(self, chosen: Checkpoint, precision: str) -> UserError | None:
        """What to say where a checkpoint would not fit even with all idle models gone."""
        if on_zero_gpu():
            return None
        room = available_bytes(self._device)
        for (name, used), scheduler in self._items():
            if scheduler.is_loaded:
                room += memory.estimate(catalog.find(name), used).total
        if memory.estimate(chosen, precision).total <= room:
            return None
        return self._too_little_memory(chosen, precision)

    def _too_little_memory(self, chosen: Checkpoint, precision: str) -> UserError:
        needed = gigabytes(memory.estimate(chosen, precision).total)
        free = gigabytes(available_bytes(self._device))
        return UserError(
            f"{chosen.name} in {precision} needs {needed} of memory and {free} are free.",
            "Choose a smaller size or resolution.",
        )

    def _needed(self, chosen: Checkpoint) -> str:
        precision = resolve_precision(chosen, "auto", self._device)
        return gigabytes(memory.estimate(chosen, precision).total)

    def _answer_on_zero_gpu(self, request: Request, key: Key) -> Iterator[Event]:
        """Load in this process, where weights are kept, and answer in ZeroGPU's worker.

        Closing it ends the listening and no more: a load is not interrupted, and the worker, a
        process that gets no word of it, writes its answer to the end or until its seconds are
        used up. `gpu_seconds` and the deadline are what bounds it.
        """
        yield from self._load_resident(key)
        yield StatusEvent("Waiting for a GPU …")
        events = self._on_gpu(request)
        try:
            for event in events:
                if isinstance(event, UserError):
                    raise event
                yield event
        finally:
            events.close()

    def _load_resident(self, key: Key) -> Iterator[Event]:
        if key in self._resident:
            return
        yield StatusEvent(f"Loading {key[0]} …")
        with self._load_lock:
            if key not in self._resident:
                self._resident[key] = self._loader.load(*key)

    def _answer_on_gpu(self, request: Request) -> Iterator[Event | UserError]:
        """Runs in the forked worker, which has the parent's models but none of its threads.

        A UserError is an event here: raised, it would reach the parent as a nameless error. A
        worker that was forked before the model was loaded loads it itself.
        """
        key = self._key(request.checkpoint, request.precision)
        try:
            loaded = self._resident.get(key) or self._loader.load(*key)
            self._resident[key] = loaded
            yield from work(loaded, request, threading.Event(), 0.0)
        except UserError as error:
            yield error


def work(
    loaded: LoadedModel,
    request: Request,
    cancelled: threading.Event,
    load_s: float,
    status: hub.Status = lambda message: None,
) -> Iterator[Event]:
    """Answer a request on a loaded model, in the thread that owns it.

    `status` gets sentences about the download of an adapter; what it raises ends that.
    """
    started = time.monotonic()
    adapters.select(loaded.model, loaded.name, request.adapter, status)
    load_s += time.monotonic() - started
    events = generate(loaded, request, cancelled)
    try:
        for event in events:
            if isinstance(event, Finished):
                yield _result(loaded, request, event, load_s)
            else:
                yield event
    finally:
        events.close()


def _result(loaded: LoadedModel, request: Request, end: Finished, load_s: float) -> Result:
    detections, invalid = detect(end.text, loaded.codec, *request.image.size)
    return Result(
        text=end.text,
        prompt=request.prompt,
        checkpoint=request.checkpoint,
        adapter=request.adapter,
        detections=detections,
        invalid_objects=invalid,
        timings=Timings(load_s, end.first_token_s, end.decode_s, end.tokens),
        finish_reason=end.finish_reason,
    )


def _is_here(chosen: Checkpoint) -> bool:
    """Whether no weights need to be downloaded."""
    return chosen.is_local or hub.local_folder(chosen.hub_id, revision=chosen.revision) is not None
