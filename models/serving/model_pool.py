"""The loaded models of this machine: one thread each, loaded when asked for, evicted when idle.

Idle models are evicted before a load, and where memory runs out all the same, it is returned and a
sentence says what would fit. This module does not know pages or ZeroGPU.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from models.catalog import memory
from models.catalog.adapter import Adapter
from models.catalog.checkpoints import Checkpoint
from models.catalog.model_key import ModelKey
from models.engine.engine import Engine
from models.loading.device import available_bytes, memory_watched
from models.loading.loader import Loader
from models.schema import Request, Status, StatusEvent, UserError
from models.serving.scheduler import Job, Load, Scheduler
from models.serving.validation import Offer, named, smaller, too_little_memory

HEARTBEAT_S = 0.5
# What a load is guessed to take before it was done once: a start, then weights read from a disk.
LOAD_START_S, LOADED_BYTES_PER_S = 0.5, 1e9


class ModelPool:
    """Models on one device by checkpoint and precision, each with a thread that answers."""

    def __init__(
        self,
        loader: Loader,
        offer: Offer,
        is_here: Callable[[Checkpoint], bool],
        max_queued: int,
    ):
        """`offer` is what an error may advise; `is_here`: whether a checkpoint has its files."""
        self._loader, self._offer, self._is_here = loader, offer, is_here
        self._max_queued = max_queued
        self._on_cpu = loader.device.type == "cpu"
        self._lock = threading.Lock()  # of the dictionary; never held for long
        self._load_lock = threading.Lock()  # held while a model is loaded
        self._schedulers: dict[ModelKey, Scheduler] = {}
        self._load_s: dict[ModelKey, float] = {}  # how long the last load of each took

    def submit(
        self, request: Request, key: ModelKey, adapter: Adapter | None = None
    ) -> tuple[Job, int]:
        """Queue a request at its model's scheduler, new where there is none; and the jobs ahead.

        The lock that `_evict_for` also takes keeps that scheduler from being evicted in between.
        """
        with self._lock:
            scheduler = self._schedulers.get(key)
            if scheduler is None:
                scheduler = Scheduler(
                    key, self.load_for(key), lambda: self._out_of_memory(key), self._max_queued
                )
                self._schedulers[key] = scheduler
            unfinished = scheduler.unfinished
            return scheduler.submit(request, adapter), unfinished

    def items(self) -> list[tuple[ModelKey, Scheduler]]:
        """The models and their schedulers now."""
        with self._lock:
            return list(self._schedulers.items())

    def has_loaded(self, checkpoint: Checkpoint) -> bool:
        """Whether a checkpoint is in memory in some precision."""
        return any(
            key.checkpoint == checkpoint and scheduler.is_loaded for key, scheduler in self.items()
        )

    @property
    def loaded(self) -> tuple[ModelKey, ...]:
        """The models in memory."""
        return tuple(key for key, scheduler in self.items() if scheduler.is_loaded)

    def load_s(self, key: ModelKey) -> float:
        """Seconds that a load takes: as the last one, or a guess where there was none."""
        guess = LOAD_START_S + self.bytes_of(key) / LOADED_BYTES_PER_S
        return self._load_s.get(key, guess)

    def missing_memory(self, key: ModelKey) -> UserError | None:
        """What to say where a model would not fit even with all others gone."""
        room = available_bytes(self._loader.device)
        for other, scheduler in self.items():
            if scheduler.is_loaded:
                room += self.bytes_of(other)
        if self.bytes_of(key) <= room:
            return None
        return too_little_memory(key, self._offer, room, self._on_cpu)

    def bytes_of(self, key: ModelKey) -> int:
        """Memory that a model takes on this device."""
        return memory.estimate(key.checkpoint, key.precision, self._on_cpu).total

    def load_for(self, key: ModelKey) -> Load:
        """How the thread of `key` gets its model: download it, evict others, then load.

        One model is loaded at a time, so that two do not count on the same memory. Downloads and
        answers of other models go on meanwhile.
        """

        def load(status: Status) -> Engine:
            if not self._is_here(key.checkpoint):
                too_large = self.missing_memory(key)
                if too_large:
                    raise too_large
                self._loader.fetch(key.checkpoint, status)
            with self._only_load(status):
                self._evict_for(key)
                started = time.monotonic()
                with memory_watched(lambda: self._out_of_memory(key)):
                    engine = Engine(self._loader.load(key, status))
                self._load_s[key] = time.monotonic() - started
                return engine

        return load

    def close(self) -> None:
        """Stop all jobs and evict all models."""
        with self._lock:
            schedulers = list(self._schedulers.values())
            self._schedulers.clear()
        for scheduler in schedulers:
            scheduler.close()

    @contextmanager
    def _only_load(self, status: Status) -> Iterator[None]:
        """Wait until no other model is being loaded; what `status` raises ends the waiting."""
        while not self._load_lock.acquire(timeout=HEARTBEAT_S):
            status(StatusEvent("Waiting for another model to be loaded …"))
        try:
            yield
        finally:
            self._load_lock.release()

    def _evict_for(self, key: ModelKey) -> None:
        """Evict idle models, the least recently used first, until `key` fits; else UserError."""
        needed = self.bytes_of(key)
        while (free := available_bytes(self._loader.device)) < needed:
            if not self._evict_one(key):
                raise too_little_memory(key, self._offer, free, self._on_cpu)

    def _evict_one(self, key: ModelKey) -> bool:
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

    def _out_of_memory(self, key: ModelKey) -> UserError:
        self._return_memory()
        problem = f"The memory ran out with {key}."
        if self._evict_one(key):
            return UserError(problem, "Another model has made room; try again.")
        room = available_bytes(self._loader.device)
        if self.has_loaded(key.checkpoint):
            room += self.bytes_of(key)
        fitting = smaller(key, self._offer, room, self._on_cpu)
        return UserError(problem, f"Choose {named(fitting) or 'fewer tokens'}.")
