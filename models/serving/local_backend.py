"""The backend of this machine: loads models as they are asked for, and evicts idle ones.

A request is refused here, in words, before any model is touched. This module does not know pages
or terminals.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import torch
from PIL import Image

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.catalog.memory import check_precision
from models.catalog.model_key import ModelKey
from models.hub import download
from models.limits import MAX_QUEUED_REQUESTS
from models.loading.device import best_device, on_zero_gpu
from models.loading.loader import Loader, local_folder
from models.loading.precision import precisions, resolve
from models.schema import Decoding, Need, Readiness, Request, StatusEvent, UserError
from models.serving.backend import Event
from models.serving.metrics import Snapshot
from models.serving.model_pool import HEARTBEAT_S, ModelPool
from models.serving.validation import (
    Offer,
    check,
    check_images,
    default_deadline_s,
    gigabytes,
    gpu_size,
    missing_download,
)
from models.serving.zero_gpu import ZeroGpu


class LocalBackend:
    """Answers on this machine: one thread per loaded model, or ZeroGPU's worker.

    The names of a request are looked up in `catalog` here, once; below, values are passed on.
    """

    def __init__(
        self,
        catalog: Catalog | None = None,
        device: torch.device | None = None,
        max_queued: int = MAX_QUEUED_REQUESTS,
    ):
        """`catalog` None has the built-in checkpoints alone."""
        self.catalog = Catalog() if catalog is None else catalog
        self._device = device or best_device()
        self._loader = Loader(self._device)
        self._offer = Offer(self.catalog.checkpoints, precisions(self._device))
        self._pool = ModelPool(self._loader, self._offer, _is_here, max_queued)
        self._zero = ZeroGpu(self._loader, self._offer) if on_zero_gpu() else None

    def answer(self, request: Request) -> Generator[Event, None, None]:
        """See `Backend.answer`. While it waits for the first token, a StatusEvent comes at least
        twice a second, so that the caller can look whether to go on."""
        checkpoint = self.catalog.find(request.checkpoint)
        check_precision(request.precision)
        check(request)
        check_images(request, checkpoint)
        adapter = None
        if request.adapter is not None:
            adapter = self.catalog.find_adapter(checkpoint, request.adapter)
        key = resolve(checkpoint, request.precision, self._device)
        request = self._with_deadline(request, checkpoint)
        if self._zero:
            yield from self._zero.answer(request, key, adapter)
            return
        job, unfinished = self._pool.submit(request, key, adapter)
        first = "Waiting for other requests …" if unfinished else "Looking at the picture …"
        status = StatusEvent(first)
        events = job.events(HEARTBEAT_S)
        is_waiting = True  # for the first token
        try:
            yield status  # at once, so that an older answer leaves the page before the first token
            for event in events:
                if event is None:  # a heartbeat
                    if is_waiting:
                        yield status
                    continue
                if isinstance(event, StatusEvent):
                    status = event
                else:
                    is_waiting = False
                yield event
        finally:
            job.cancel()  # also where it is left before `events` has begun

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        """See `Backend.missing`. It asks no network, so a licence shows only on download."""
        chosen = self.catalog.find(checkpoint)
        if precision == "auto" and self._pool.has_loaded(chosen):
            return None
        if chosen.is_local:
            try:
                local_folder(chosen)
            except UserError as error:
                return str(error)
        key = resolve(chosen, precision, self._device)
        too_large = self._missing_memory(key)
        if _is_here(chosen):
            return str(too_large) if too_large else None
        return missing_download(chosen, too_large, gigabytes(self._pool.bytes_of(key)))

    def notice(self, checkpoint: str) -> str | None:
        """See `Backend.notice`."""
        chosen = self.catalog.find(checkpoint)
        if self._pool.has_loaded(chosen) or _is_here(chosen):
            return None
        size = gigabytes(chosen.download_bytes)
        return f"The first use downloads {size} (licence: {chosen.licence_url})."

    def readiness(self, checkpoint: str, precision: str = "auto") -> Readiness:
        """See `Backend.readiness`. It asks no network, so a licence shows only on download."""
        chosen = self.catalog.find(checkpoint)
        key = resolve(chosen, precision, self._device)
        loaded = self._zero.loaded if self._zero else self._pool.loaded
        if key in loaded or (precision == "auto" and self._pool.has_loaded(chosen)):
            return Readiness("ready")
        if self._missing_memory(key):
            return Readiness("needs", bytes=self._pool.bytes_of(key))
        if chosen.is_local:
            try:
                local_folder(chosen)
            except UserError:
                return Readiness("missing")
        if _is_here(chosen):
            return Readiness("loads", seconds=self._pool.load_s(key))
        if download.is_offline():
            return Readiness("missing")
        if chosen.is_gated and not download.has_token():
            return Readiness("gated")
        return Readiness("downloads", bytes=chosen.download_bytes)

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        """See `Backend.adapters`."""
        offered = self.catalog.adapters_of(self.catalog.find(checkpoint))
        return tuple(each.name for each in offered)

    def precisions(self) -> tuple[str, ...]:
        """See `Backend.precisions`."""
        return self._offer.precisions

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        """See `Backend.needs`."""
        chosen = self.catalog.find(checkpoint)
        keys = [ModelKey(chosen, each) for each in self.precisions()]
        return tuple(
            Need(key.precision, self._pool.bytes_of(key), self._missing_memory(key) is None)
            for key in keys
        )

    def snapshots(self) -> tuple[Snapshot, ...]:
        """See `Backend.snapshots`; none on ZeroGPU, whose workers are out of sight."""
        return tuple(each.snapshot() for _, each in self._pool.items() if each.is_loaded)

    def warm(self, checkpoint: str) -> None:
        """Load a checkpoint and, where it has its own thread, let it write one token."""
        if self._zero:
            for _ in self._zero.load(resolve(self.catalog.find(checkpoint), "auto", self._device)):
                pass
            return
        side = self.catalog.find(checkpoint).resolution
        blank = Image.new("RGB", (side, side), "white")
        request = Request(blank, "caption en", checkpoint, decoding=Decoding(max_new_tokens=2))
        for _ in self.answer(request):
            pass

    def close(self) -> None:
        """Stop all jobs and evict all models."""
        self._pool.close()
        if self._zero:
            self._zero.close()

    def _with_deadline(self, request: Request, checkpoint: Checkpoint) -> Request:
        if request.deadline_s is not None:
            return request
        limit_s = default_deadline_s(
            checkpoint, request.decoding, self._device.type, len(request.images)
        )
        return replace(request, deadline_s=limit_s)

    def _missing_memory(self, key: ModelKey) -> UserError | None:
        if not self._zero:
            return self._pool.missing_memory(key)
        try:
            gpu_size(key, self._offer)
        except UserError as error:
            return error
        return None


def _is_here(chosen: Checkpoint) -> bool:
    """Whether no weights need to be downloaded."""
    if chosen.hub_id is None:
        return True
    return download.local_folder(chosen.hub_id, revision=chosen.revision) is not None
