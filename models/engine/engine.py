"""Prefill and decode over rows: requests join, get a token at each step, and leave.

`Engine.answer` is one request's life as a generator, `Engine.step` gives all rows their next token.
No threads and no queues: whoever owns the engine calls both. This module does not know what a text
means, nor in which order requests should come.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from transformers import LogitsProcessorList

from models.catalog import lookup, memory
from models.engine import beam_search
from models.engine.cuda_graphs import CudaGraphs, can_capture
from models.engine.detokenizer import Detokenizer
from models.engine.image_cache import FeatureCache, fingerprint
from models.engine.inputs import eos_ids, pixel_values, prefix_ids, prepare
from models.engine.sampling import draw, log_probability, warpers
from models.hub import adapters
from models.layers.decoder import Decoder
from models.layers.vision import VisionTower
from models.limits import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS
from models.loading.device import available_bytes
from models.loading.loader import LoadedModel
from models.loading.precision import has_int8_layers
from models.schema import Request, Status, TokenEvent, UserError

# By device. On two cores sixteen would end long answers a fifth sooner and short ones no sooner,
# and take twice the memory.
MOST_ROWS = {"cpu": 8, "cuda": 16}
LONGEST_PAUSE_S = 0.05  # between two tokens of a row while others join
Event = TypeVar("Event")
_UNKNOWN = "\0"  # the name of no adapter


@dataclass(frozen=True)
class Finished:
    """The end of an answer; `finish_reason` is one of `schema.FINISH_REASONS`.

    `tokens` are those of the text, without the end token. `first_token_s` counts from the start of
    the work on the picture, `decode_s` from there to the last token of the text. Beams settle
    their text at the end: all of the time is `first_token_s` then and `decode_s` is 0. `notes` are
    sentences about the answer for whoever asked.
    """

    text: str
    finish_reason: str
    tokens: int
    first_token_s: float
    decode_s: float
    notes: tuple[str, ...] = ()


@dataclass(eq=False)  # one is found by identity, not by comparing pictures
class Row:
    """A request while it is answered: its slot in the cache, and what has come so far."""

    request: Request
    cancelled: threading.Event
    detokenizer: Detokenizer
    steps: LogitsProcessorList
    started: float
    taken_slot: int | None = None  # with beams it takes none
    length: int = 0  # tokens in the cache
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    failure: Exception | None = None
    first_token_s: float = 0.0
    last_token_s: float = 0.0

    @property
    def slot(self) -> int:
        """The slot of the cache, for a row that has taken one."""
        assert self.taken_slot is not None
        return self.taken_slot

    def must_stop(self) -> str | None:
        """Why no further token is wanted, None where one is."""
        if self.cancelled.is_set():
            return "cancelled"
        limit_s = self.request.deadline_s
        limit_s = math.inf if limit_s is None else limit_s
        return "deadline" if time.monotonic() >= self.started + limit_s else None


class Engine:
    """A loaded model and its rows. One thread alone may use it."""

    def __init__(self, loaded: LoadedModel, most_rows: int | None = None):
        """`most_rows` None takes as many as the memory that is left allows, up to MOST_ROWS."""
        self.loaded = loaded
        self.features = FeatureCache()
        self._eos_ids = eos_ids(loaded)
        self._image_id = loaded.processor.image_token_id
        length = loaded.processor.image_seq_length + MAX_PROMPT_TOKENS + MAX_NEW_TOKENS
        if most_rows is None:
            most_rows = rows_that_fit(loaded, length)
        self._tower = VisionTower(loaded.model)
        self._decoder = Decoder(loaded.model, most_rows, length)
        self._graphs = CudaGraphs(self._decoder) if can_capture(loaded.model) else None
        # A row's result would depend on its neighbours.
        self._one_by_one = has_int8_layers(loaded.model)
        self._free = list(range(most_rows))
        self.rows: list[Row] = []  # those that decode
        self._selected: str | None = _UNKNOWN
        self._notices: dict[str | None, str] = {}  # by adapter
        self._stepped_at = 0.0
        self._owed_until = 0.0

    @property
    def has_room(self) -> bool:
        """Whether a further request can be answered beside the others."""
        return bool(self._free)

    @property
    def is_due(self) -> bool:
        """Whether the rows that decode have waited long enough for those that join.

        A step costs nearly the same for one row as for many, so joining comes first until then, and
        for as long as there is room where nobody reads any of their tokens as they come.
        After beams, which let nobody else on, the rows get as much time as those took.
        """
        now = time.monotonic()
        is_streamed = any(row.request.is_streamed for row in self.rows)
        is_long = is_streamed and now - self._stepped_at >= LONGEST_PAUSE_S
        return bool(self.rows) and (is_long or now < self._owed_until)

    def answer(
        self,
        request: Request,
        cancelled: threading.Event,
        status: Status = lambda event: None,
    ) -> Iterator[TokenEvent | Finished | None]:
        """A TokenEvent per token, then Finished; None wherever others may be served.

        After a None that follows a token, `step` has to be called before the next one is asked for.
        With beams the text is settled only at the end, so there is one TokenEvent. Setting
        `cancelled` ends it within a step, closing it at once. What goes wrong with this request is
        raised here. A request whose `deadline_s` is None has no time limit.
        """
        row = Row(
            request,
            cancelled,
            Detokenizer(self.loaded.processor),
            warpers(request.decoding),
            time.monotonic(),
        )
        if cancelled.is_set():
            yield self._finish(row, "cancelled")
            return
        if request.decoding.num_beams > 1:
            yield from self._search(row, status)
            return
        row.taken_slot = self._free.pop(0)
        try:
            # 1. The picture and the prompt, a layer at a time.
            reason = None
            for logits in self._prefill(row, status):
                if logits is None:
                    reason = row.must_stop()
                    if reason:
                        break
                    if self.is_due:
                        yield None
                else:
                    self._take(row, logits, int(logits.argmax()))
            # 2. A token at each step, until there is a reason to end.
            self.rows.append(row)
            while reason is None:
                if row.failure is not None:
                    raise row.failure
                token_id = row.ids[-1]
                if token_id in self._eos_ids:
                    reason = "eos"
                    break
                yield self._event(row, token_id)
                if len(row.ids) == request.decoding.max_new_tokens:
                    reason = "length"
                else:
                    reason = row.must_stop()
                if reason is None:
                    yield None
            yield self._finish(row, reason)
        finally:
            if row in self.rows:
                self.rows.remove(row)
            self._free.append(row.slot)
            self._free.sort()  # rows stay close together at the front

    def step(self) -> None:
        """The next token of every row that decodes.

        Where a step of several fails, each is tried alone, so that a row fails alone.
        """
        self._stepped_at = time.monotonic()
        groups: dict[Hashable, list[Row]] = {}
        for row in self.rows:
            key: Hashable = row.slot if self._one_by_one else row.request.adapter
            groups.setdefault(key, []).append(row)
        for rows in groups.values():
            try:
                self._advance(rows)
            except Exception as error:
                if len(rows) == 1:
                    rows[0].failure = error
                    continue
                for row in rows:
                    try:
                        self._advance([row])
                    except Exception as own:
                        row.failure = own

    def alone(self, events: Iterator[Event | None]) -> Iterator[Event]:
        """The events of an answer that has no neighbours, with the steps made where it waits."""
        for event in events:
            if event is None:
                self.step()
            else:
                yield event

    @torch.inference_mode()
    def _advance(self, rows: list[Row]) -> None:
        """One step of rows that have the same adapter."""
        self._select(rows[0].request.adapter)
        rows = sorted(rows, key=lambda row: row.slot)
        slots, lengths = [row.slot for row in rows], [row.length for row in rows]
        ids = [row.ids[-1] for row in rows]
        if self._graphs is None:
            logits = self._decoder.step(ids, slots, lengths)  # (rows, vocabulary)
        else:
            logits = self._graphs.step(self._selected, ids, slots, lengths)
        likeliest = logits.argmax(-1).tolist()
        for row, own, best in zip(rows, logits, likeliest, strict=True):
            row.length += 1
            try:
                self._take(row, own, best)
            except Exception as error:  # raised where the row goes on
                row.failure = error

    @torch.inference_mode()
    def _prefill(self, row: Row, status: Status) -> Iterator[torch.Tensor | None]:
        """None between the layers, at last the logits of the first token."""
        request = row.request
        # 1. The adapter comes first: it may change what the tower sees.
        self._select(request.adapter, status)
        ids = prefix_ids(self.loaded, request.prompt)
        if len(ids) > self.loaded.processor.image_seq_length + MAX_PROMPT_TOKENS:
            raise UserError("The prompt is too long.", "Shorten it.")
        # 2. The picture, unless it was asked about before; its adapter counts where it matters.
        seen_by = request.adapter if adapters.changes_features(self.loaded.model) else None
        key = fingerprint(request.image), seen_by
        features = self.features.find(key)  # (image tokens, width)
        if features is None:
            pixels = pixel_values(self.loaded, request.image)
            for features in self._by_layers(request, self._tower.encode(pixels)):
                if features is None:
                    yield None
            assert features is not None  # the last of them
            self.features.keep(key, features)
        # 3. The decoder.
        embedded = self._decoder.embed(ids, self._image_id, features)  # (tokens, width)
        row.length = len(ids)
        yield from self._by_layers(request, self._decoder.prefill(embedded, row.slot))

    def _by_layers(self, request: Request, layers: Iterator[Event]) -> Iterator[Event]:
        """The same with the request's adapter: others may have been served between two layers."""
        self._select(request.adapter)
        for found in layers:
            yield found
            self._select(request.adapter)

    def _select(self, adapter: str | None, status: Status = lambda event: None) -> None:
        """Make the model answer with an adapter; rows with others may have had a step since."""
        if adapter == self._selected:
            return
        self._selected = _UNKNOWN  # so it stays where selecting fails half way
        selection = adapters.select(self.loaded.model, self.loaded.name, adapter, status)
        if self._graphs is not None:
            for gone in (*selection.evicted, *([adapter] if selection.is_new else [])):
                self._graphs.forget(gone)
        self._selected = adapter
        if selection.notice:
            self._notices[adapter] = selection.notice

    def _take(self, row: Row, logits: torch.Tensor, best: int) -> None:
        """Choose a row's next token from logits (vocabulary,), of which `best` has the largest."""
        if not math.isfinite(float(logits[best])):
            raise UserError(
                f"{self.loaded.name} computes numbers that are not finite.",
                "Its weights or its adapter are damaged; fetch or save them again, or choose fp32.",
            )
        token_id = draw(logits, row.steps) if row.steps else best
        row.ids.append(token_id)
        if row.request.decoding.logprobs:
            row.logprobs.append(log_probability(logits, token_id))
        now = time.monotonic() - row.started
        if len(row.ids) == 1:
            row.first_token_s = row.last_token_s = now
        if token_id not in self._eos_ids:
            row.last_token_s = now

    def _event(self, row: Row, token_id: int) -> TokenEvent:
        piece = row.detokenizer.add(token_id)
        logprob = row.logprobs[-1] if row.logprobs else None
        index = len(row.ids) - 1
        return TokenEvent(row.detokenizer.text, piece, token_id, index, row.last_token_s, logprob)

    def _finish(self, row: Row, reason: str) -> Finished:
        return Finished(
            text=row.detokenizer.text,
            finish_reason=reason,
            tokens=sum(token_id not in self._eos_ids for token_id in row.ids),
            first_token_s=row.first_token_s,
            decode_s=row.last_token_s - row.first_token_s,
            notes=tuple(filter(None, [self._notices.get(row.request.adapter)])),
        )

    @torch.inference_mode()
    def _search(self, row: Row, status: Status) -> Iterator[TokenEvent | Finished]:
        """Beams: the best text as one event."""
        request = row.request
        self._select(request.adapter, status)
        inputs = prepare(self.loaded, request.image, request.prompt)
        new_ids, reason = beam_search.search(self.loaded, inputs, request.decoding, row.must_stop)
        now = time.monotonic()
        row.first_token_s = row.last_token_s = now - row.started
        self._owed_until = now + row.first_token_s
        for token_id in new_ids:
            row.ids.append(token_id)
            if token_id in self._eos_ids:
                break
            row.detokenizer.add(token_id)
        if row.ids:
            text, last = row.detokenizer.text, len(row.ids) - 1
            yield TokenEvent(text, text, row.ids[-1], last, row.first_token_s)
            reason = "eos" if row.ids[-1] in self._eos_ids else reason
        yield self._finish(row, reason or "length")


def generate(
    loaded: LoadedModel, request: Request, cancelled: threading.Event | None = None
) -> Iterator[TokenEvent | Finished]:
    """Answer one request on an engine of its own; see `Engine.answer`."""
    engine = Engine(loaded, most_rows=1)
    events: Iterator[TokenEvent | Finished] = engine.alone(
        engine.answer(request, cancelled or threading.Event())
    )
    yield from events


def rows_that_fit(loaded: LoadedModel, length: int) -> int:
    """Rows of the cache for which half of the memory that is left suffices, 1 to MOST_ROWS.

    On a GPU a row takes all of its `length` at once, on a CPU what an answer is likely to need.
    """
    values = lookup.find(loaded.name).shape.text.cache_values
    is_lazy = loaded.device.type == "cpu"
    tokens = loaded.processor.image_seq_length + memory.LONGEST_TEXT if is_lazy else length
    row_bytes = values * tokens * loaded.dtype.itemsize
    most = MOST_ROWS[loaded.device.type]
    return max(1, min(most, available_bytes(loaded.device) // 2 // row_bytes))
