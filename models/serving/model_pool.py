"""The loaded models of this machine: one thread each, loaded when asked for, evicted when idle.

Idle models are evicted before a load, and where memory runs out all the same, it is returned and a
sentence says what would fit. This module does not know pages or ZeroGPU.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from models.catalog import lookup, memory
from models.catalog.checkpoints import Checkpoint
from models.engine.engine import Engine
from models.loading.device import available_bytes, memory_watched
from models.loading.loader import Loader
from models.loading.precision import precisions
from models.schema import Request, Status, StatusEvent, UserError
from models.serving.scheduler import Answer, Job, Load, Scheduler
from models.serving.validation import named, smaller, too_little_memory

HEARTBEAT_S = 0.5

Key = tuple[str, str]  # checkpoint, precision


class ModelPool:
    """Models on one device by checkpoint and precision, each with a thread that answers."""

    def __init__(
        self,
        loader: Loader,
        answer: Answer,
        is_here: Callable[[Checkpoint], bool],
        max_queued: int,
    ):
        """`answer` is run on a loaded model; `is_here` says whether a checkpoint has its files."""
        self._loader, self._answer, self._is_here = loader, answer, is_here
        self._max_queued = max_queued
        self._on_cpu = loader.device.type == "cpu"
        self._lock = threading.Lock()  # of the dictionary; never held for long
        self._load_lock = threading.Lock()  # held while a model is loaded
        self._schedulers: dict[Key, Scheduler] = {}

    def submit(self, request: Request, key: Key) -> tuple[Job, int]:
        """Queue a request at its model's scheduler, new where there is none; and the jobs ahead.

        The lock that `_evict_for` also takes keeps that scheduler from being evicted in between.
        """
        with self._lock:
            scheduler = self._schedulers.get(key)
            if scheduler is None:
                load, answer_with = self.load_for(key), self._answer_for(key)
                scheduler = Scheduler(*key, load, answer_with, self._max_queued)
                self._schedulers[key] = scheduler
            unfinished = scheduler.unfinished
            return scheduler.submit(request), unfinished

    def items(self) -> list[tuple[Key, Scheduler]]:
        """The models and their schedulers now."""
        with self._lock:
            return list(self._schedulers.items())

    def has_loaded(self, checkpoint: str) -> bool:
        """Whether a checkpoint is in memory in some precision."""
        return any(name == checkpoint and each.is_loaded for (name, _), each in self.items())

    def missing_memory(self, chosen: Checkpoint, precision: str) -> UserError | None:
        """What to say where a checkpoint would not fit even with all other models gone."""
        device = self._loader.device
        room = available_bytes(device)
        for (name, used), scheduler in self.items():
            if scheduler.is_loaded:
                room += self.bytes_of(lookup.find(name), used)
        if self.bytes_of(chosen, precision) <= room:
            return None
        return too_little_memory(chosen, precision, precisions(device), room, self._on_cpu)

    def bytes_of(self, checkpoint: Checkpoint, precision: str) -> int:
        """Memory that a checkpoint takes on this device."""
        return memory.estimate(checkpoint, precision, self._on_cpu).total

    def load_for(self, key: Key) -> Load:
        """How the thread of `key` gets its model: download it, evict others, then load.

        One model is loaded at a time, so that two do not count on the same memory. Downloads and
        answers of other models go on meanwhile.
        """
        chosen = lookup.find(key[0])

        def load(status: Status) -> Engine:
            if not self._is_here(chosen):
                too_large = self.missing_memory(chosen, key[1])
                if too_large:
                    raise too_large
                self._loader.fetch(chosen.name, status)
            with self._only_load(status):
                self._evict_for(key)
                with memory_watched(lambda: self._out_of_memory(key)):
                    return Engine(self._loader.load(*key, status))

        return load

    def close(self) -> None:
        """Stop all jobs and evict all models."""
        with self._lock:
            schedulers = list(self._schedulers.values())
            self._schedulers.clear()
        for scheduler in schedulers:
            scheduler.close()

    def _answer_for(self, key: Key) -> Answer:
        def answer(*given: Any) -> Iterator[Any]:
            with memory_watched(lambda: self._out_of_memory(key)):
                yield from self._answer(*given)

        return answer

    @contextmanager
    def _only_load(self, status: Status) -> Iterator[None]:
        """Wait until no other model is being loaded; what `status` raises ends the waiting."""
        while not self._load_lock.acquire(timeout=HEARTBEAT_S):
            status(StatusEvent("Waiting for another model to be loaded …"))
        try:
            yield
        finally:
            self._load_lock.release()

    def _evict_for(self, key: Key) -> None:
        """Evict idle models, the least recently used first, until `key` fits; else UserError."""
        chosen, device = lookup.find(key[0]), self._loader.device
        needed = self.bytes_of(chosen, key[1])
        while (free := available_bytes(device)) < needed:
            if not self._evict_one(key):
                raise too_little_memory(chosen, key[1], precisions(device), free, self._on_cpu)

    def _evict_one(self, key: Key) -> bool:
        """Evict the least recently used of the idle models but `key`; whether there was one."""
        while True:
            idle = [
                (other, each)
                for other, each in self.items()
                if other != key and each.is_idle and each.is_loaded
            ]
            if not idle:
                return False
            other, scheduler = min(idle, key=lambda item: item[1].used_at)
            with self._lock:
                if not scheduler.retire():  # it got a job just now
                    continue
                self._schedulers.pop(other, None)
            scheduler.close()
            self._return_memory()
            return True

    def _return_memory(self) -> None:
        gc.collect()  # modules refer to each other in circles
        if self._loader.device.type == "cuda":
            torch.cuda.empty_cache()

    def _out_of_memory(self, key: Key) -> UserError:
        self._return_memory()
        problem = f"The memory ran out with {key[0]} in {key[1]}."
        if self._evict_one(key):
            return UserError(problem, "Another model has made room; try again.")
        chosen, device = lookup.find(key[0]), self._loader.device
        room = available_bytes(device)
        if self.has_loaded(chosen.name):
            room += self.bytes_of(chosen, key[1])
        fitting = smaller(chosen, key[1], precisions(device), room, self._on_cpu)
        return UserError(problem, f"Choose {named(fitting) or 'fewer tokens'}.")
