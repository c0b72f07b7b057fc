"""The backend of this machine: loads models as they are asked for, and evicts idle ones.

A request is refused here, in words, before any model is touched. This module does not know pages
or terminals.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import replace

import torch
from PIL import Image

from models.catalog import lookup
from models.catalog.checkpoints import Checkpoint
from models.engine.engine import Engine
from models.engine.sequence import Finished
from models.hub import adapters, download
from models.limits import MAX_QUEUED_REQUESTS
from models.loading.device import best_device, on_zero_gpu
from models.loading.loader import LoadedModel, Loader, local_folder
from models.loading.precision import precisions, resolve_precision
from models.masks.detections import detect_or_note
from models.schema import (
    Decoding,
    Need,
    Request,
    Result,
    Status,
    StatusEvent,
    Timings,
    UserError,
)
from models.serving.backend import Event
from models.serving.metrics import Snapshot
from models.serving.model_pool import HEARTBEAT_S, Key, ModelPool
from models.serving.validation import (
    check,
    default_deadline_s,
    gigabytes,
    gpu_size,
    missing_download,
)
from models.serving.zero_gpu import ZeroGpu


class LocalBackend:
    """Answers on this machine: one thread per loaded model, or ZeroGPU's worker."""

    def __init__(self, device: torch.device | None = None, max_queued: int = MAX_QUEUED_REQUESTS):
        self._device = device or best_device()
        self._loader = Loader(self._device)
        self._pool = ModelPool(self._loader, answer_on_engine, _is_here, max_queued)
        self._zero = ZeroGpu(self._loader, _answer_alone) if on_zero_gpu() else None

    def answer(self, request: Request) -> Generator[Event, None, None]:
        """See `Backend.answer`. While it waits for the first token, a StatusEvent comes at least
        twice a second, so that the caller can look whether to go on."""
        check(request)
        request = self._with_deadline(request)
        key = self._key(request.checkpoint, request.precision)
        if self._zero:
            yield from self._zero.answer(request, key)
            return
        job, unfinished = self._pool.submit(request, key)
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
                if isinstance(event, Result):
                    event = replace(event, timings=replace(event.timings, wait_s=job.wait_s))
                yield event
        finally:
            job.cancel()  # also where it is left before `events` has begun

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        """See `Backend.missing`. It asks no network, so a licence shows only on download."""
        chosen = lookup.find(checkpoint)
        if precision == "auto" and self._pool.has_loaded(checkpoint):
            return None
        if chosen.is_local:
            try:
                local_folder(chosen)
            except UserError as error:
                return str(error)
        precision = resolve_precision(chosen, precision, self._device)
        too_large = self._missing_memory(chosen, precision)
        if _is_here(chosen):
            return str(too_large) if too_large else None
        return missing_download(chosen, too_large, self._needed(chosen, precision))

    def notice(self, checkpoint: str) -> str | None:
        """See `Backend.notice`."""
        chosen = lookup.find(checkpoint)
        if self._pool.has_loaded(checkpoint) or _is_here(chosen):
            return None
        size = gigabytes(chosen.download_bytes)
        return f"The first use downloads {size} (licence: {chosen.licence_url})."

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        """See `Backend.adapters`."""
        return adapters.names(checkpoint)

    def precisions(self) -> tuple[str, ...]:
        """See `Backend.precisions`."""
        return precisions(self._device)

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        """See `Backend.needs`."""
        chosen = lookup.find(checkpoint)
        return tuple(
            Need(
                each,
                self._pool.bytes_of(chosen, each),
                self._missing_memory(chosen, each) is None,
            )
            for each in self.precisions()
        )

    def snapshots(self) -> tuple[Snapshot, ...]:
        """See `Backend.snapshots`; none on ZeroGPU, whose workers are out of sight."""
        return tuple(each.snapshot() for _, each in self._pool.items() if each.is_loaded)

    def warm(self, checkpoint: str) -> None:
        """Load a checkpoint and, where it has its own thread, let it write one token."""
        if self._zero:
            for _ in self._zero.load(self._key(checkpoint, "auto")):
                pass
            return
        side = lookup.find(checkpoint).resolution
        blank = Image.new("RGB", (side, side), "white")
        request = Request(blank, "caption en", checkpoint, decoding=Decoding(max_new_tokens=2))
        for _ in self.answer(request):
            pass

    def close(self) -> None:
        """Stop all jobs and evict all models."""
        self._pool.close()
        if self._zero:
            self._zero.close()

    def _with_deadline(self, request: Request) -> Request:
        if request.deadline_s is not None:
            return request
        chosen = lookup.find(request.checkpoint)
        limit_s = default_deadline_s(chosen, request.decoding, self._device.type)
        return replace(request, deadline_s=limit_s)

    def _key(self, checkpoint: str, precision: str) -> Key:
        chosen = lookup.find(checkpoint)
        return checkpoint, resolve_precision(chosen, precision, self._device)

    def _missing_memory(self, chosen: Checkpoint, precision: str) -> UserError | None:
        if not self._zero:
            return self._pool.missing_memory(chosen, precision)
        try:
            gpu_size(chosen.name, precision, self.precisions())
        except UserError as error:
            return error
        return None

    def _needed(self, chosen: Checkpoint, precision: str) -> str:
        return gigabytes(self._pool.bytes_of(chosen, precision))


def answer_on_engine(
    engine: Engine,
    request: Request,
    cancelled: threading.Event,
    load_s: float,
    status: Status = lambda event: None,
) -> Generator[Event | None, None, None]:
    """Answer a request on an engine, in the thread that owns it; None where others may go on.

    `status` gets sentences about the download of an adapter; what it raises ends that.
    """
    events = engine.answer(request, cancelled, status)
    try:
        for event in events:
            if isinstance(event, Finished):
                yield _result(engine.loaded, request, event, load_s)
            else:
                yield event
    finally:
        events.close()


def _answer_alone(
    loaded: LoadedModel, request: Request, cancelled: threading.Event, load_s: float
) -> Iterator[Event]:
    """As `answer_on_engine`, on an engine of its own."""
    engine = Engine(loaded, max_slots=1)
    events: Iterator[Event] = engine.run_alone(answer_on_engine(engine, request, cancelled, load_s))
    yield from events


def _result(loaded: LoadedModel, request: Request, end: Finished, load_s: float) -> Result:
    size = request.full_size or request.image.size
    detections, invalid, notes = detect_or_note(end.text, loaded.lazy_codec.get, *size)
    return Result(
        text=end.text,
        prompt=request.prompt,
        checkpoint=request.checkpoint,
        adapter=request.adapter,
        detections=detections,
        invalid_objects=invalid,
        timings=Timings(load_s, end.first_token_s, end.decode_s, end.tokens),
        finish_reason=end.finish_reason,
        notes=(*end.notes, *notes),
    )


def _is_here(chosen: Checkpoint) -> bool:
    """Whether no weights need to be downloaded."""
    if chosen.hub_id is None:
        return True
    return download.local_folder(chosen.hub_id, revision=chosen.revision) is not None
