"""Prefill and decode over sequences: requests join, get a token at each step, and leave.

`Engine.answer` answers one request as a generator, `Engine.step` gives every sequence its next
token. No threads and no queues: whoever owns the engine calls both. This module does not know what
a text means, nor in which order requests should come.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Hashable, Iterator
from dataclasses import replace
from typing import TypeVar

import torch

from models.catalog import memory
from models.catalog.adapter import Adapter
from models.engine import beam_search
from models.engine.cuda_graphs import CudaGraphs, can_capture
from models.engine.detokenizer import Detokenizer
from models.engine.image_cache import ImageFeatureCache, fingerprint
from models.engine.inputs import eos_ids, pixel_values, prefix_ids, prepare
from models.engine.sampling import logits_processors, sample
from models.engine.scoring import TokenScorer
from models.engine.sequence import Finished, Sequence
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
MAX_SLOTS = {"cpu": 8, "cuda": 16}
MAX_PAUSE_S = 0.05  # between two tokens of a sequence while others join
Item = TypeVar("Item")
_UNKNOWN = "\0"  # the name of no adapter


class Engine:
    """A loaded model and its sequences. One thread alone may use it."""

    def __init__(self, loaded: LoadedModel, max_slots: int | None = None):
        """`max_slots` None takes as many as the memory that is left allows, up to MAX_SLOTS."""
        self.loaded = loaded
        self.features = ImageFeatureCache()
        self._eos_ids = eos_ids(loaded)
        self._scorer = TokenScorer(loaded.processor)
        self._image_id = loaded.processor.image_token_id
        length = loaded.processor.image_seq_length + MAX_PROMPT_TOKENS + MAX_NEW_TOKENS
        if max_slots is None:
            max_slots = slots_that_fit(loaded, length)
        self._vision = VisionTower(loaded.model)
        self._decoder = Decoder(loaded.model, max_slots, length)
        self._graphs = CudaGraphs(self._decoder) if can_capture(loaded.model) else None
        # A sequence's result would depend on its neighbours.
        self._steps_one_by_one = has_int8_layers(loaded.model)
        self._free_slots = list(range(max_slots))
        self.sequences: list[Sequence] = []  # those that decode
        self._adapter: str | None = _UNKNOWN
        self._notices: dict[str | None, str] = {}  # by adapter
        self._stepped_at = 0.0
        self._owed_until = 0.0

    @property
    def has_room(self) -> bool:
        """Whether a further request can be answered beside the others."""
        return bool(self._free_slots)

    @property
    def is_due(self) -> bool:
        """Whether the sequences that decode have waited long enough for those that join.

        A step costs nearly the same for one sequence as for many, so joining comes first until
        then, and for as long as there is room where nobody reads any of their tokens as they come.
        After beams, which let nobody else on, the sequences get as much time as those took.
        """
        now = time.monotonic()
        is_streamed = any(sequence.request.is_streamed for sequence in self.sequences)
        is_long = is_streamed and now - self._stepped_at >= MAX_PAUSE_S
        return bool(self.sequences) and (is_long or now < self._owed_until)

    def answer(
        self,
        request: Request,
        cancelled: threading.Event,
        status: Status = lambda event: None,
        adapter: Adapter | None = None,
    ) -> Generator[TokenEvent | Finished | None, None, None]:
        """A TokenEvent per token, then Finished; None wherever others may be served.

        `adapter` is the one that the request names.

        After a None that follows a token, `step` has to be called before the next one is asked for.
        With beams the text is settled only at the end, so there is one TokenEvent. Setting
        `cancelled` ends it within a step, closing it at once. What goes wrong with this request is
        raised here. A request whose `deadline_s` is None has no time limit.
        """
        if request.adapter != (adapter.name if adapter else None):
            raise ValueError(f"{adapter} is not the adapter {request.adapter!r} of the request")
        sequence = Sequence(
            request,
            cancelled,
            Detokenizer(self.loaded.processor),
            logits_processors(request.decoding),
            time.monotonic(),
            adapter,
        )
        if cancelled.is_set():
            yield self._finish(sequence, "cancelled")
            return
        if request.decoding.num_beams > 1:
            yield from self._beam_search(sequence, status)
            return
        sequence.taken_slot = self._free_slots.pop(0)
        try:
            # 1. The picture and the prompt, a layer at a time.
            reason = None
            for logits in self._prefill(sequence, status):
                if logits is None:
                    reason = sequence.must_stop()
                    if reason:
                        break
                    if self.is_due:
                        yield None
                else:
                    self._append_token(sequence, logits, int(logits.argmax()))
            # 2. A token at each step, until there is a reason to end.
            self.sequences.append(sequence)
            while reason is None:
                if sequence.failure is not None:
                    raise sequence.failure
                token_id = sequence.ids[-1]
                if token_id in self._eos_ids:
                    reason = "eos"
                    break
                yield self._token_event(sequence, token_id)
                if len(sequence.ids) == request.decoding.max_new_tokens:
                    reason = "length"
                else:
                    reason = sequence.must_stop()
                if reason is None:
                    yield None
            yield self._finish(sequence, reason)
        finally:
            if sequence in self.sequences:
                self.sequences.remove(sequence)
            self._free_slots.append(sequence.slot)
            self._free_slots.sort()  # sequences stay close together at the front

    def step(self) -> None:
        """The next token of every sequence that decodes.

        Where a step of several fails, each is tried alone, so that a sequence fails alone.
        """
        self._stepped_at = time.monotonic()
        groups: dict[Hashable, list[Sequence]] = {}
        for sequence in self.sequences:
            key: Hashable = sequence.slot if self._steps_one_by_one else sequence.adapter
            groups.setdefault(key, []).append(sequence)
        for sequences in groups.values():
            try:
                self._step_group(sequences)
            except Exception as error:
                if len(sequences) == 1:
                    sequences[0].failure = error
                    continue
                for sequence in sequences:
                    try:
                        self._step_group([sequence])
                    except Exception as own:
                        sequence.failure = own

    def run_alone(self, events: Iterator[Item | None]) -> Iterator[Item]:
        """The events of an answer that has no neighbours, with the steps made where it waits."""
        for event in events:
            if event is None:
                self.step()
            else:
                yield event

    @torch.inference_mode()
    def _step_group(self, sequences: list[Sequence]) -> None:
        """One step of sequences that have the same adapter."""
        self._select_adapter(sequences[0].adapter)
        sequences = sorted(sequences, key=lambda sequence: sequence.slot)
        slots = [sequence.slot for sequence in sequences]
        lengths = [sequence.length for sequence in sequences]
        ids = [sequence.ids[-1] for sequence in sequences]
        if self._graphs is None:
            logits = self._decoder.step(ids, slots, lengths)  # (sequences, vocabulary)
        else:
            logits = self._graphs.step(self._adapter, ids, slots, lengths)
        likeliest = logits.argmax(-1).tolist()
        for sequence, own, best in zip(sequences, logits, likeliest, strict=True):
            sequence.length += 1
            try:
                self._append_token(sequence, own, best)
            except Exception as error:  # raised where the sequence goes on
                sequence.failure = error

    @torch.inference_mode()
    def _prefill(self, sequence: Sequence, status: Status) -> Iterator[torch.Tensor | None]:
        """None between the layers, at last the logits of the first token."""
        request, adapter = sequence.request, sequence.adapter
        # 1. The adapter comes first: it may change what the tower sees.
        self._select_adapter(adapter, status)
        ids = prefix_ids(self.loaded, request.prompt)
        if len(ids) > self.loaded.processor.image_seq_length + MAX_PROMPT_TOKENS:
            raise UserError("The prompt is too long.", "Shorten it.")
        # 2. The picture, unless it was asked about before; its adapter counts where it matters.
        seen_by = adapter if adapters.changes_features(self.loaded.model) else None
        key = fingerprint(request.image), seen_by
        features = self.features.get(key)  # (image tokens, width)
        if features is None:
            pixels = pixel_values(self.loaded, request.image)
            for features in self._interleaved(adapter, self._vision.encode(pixels)):
                if features is None:
                    yield None
            assert features is not None  # the last of them
            self.features.put(key, features)
        # 3. The decoder.
        embedded = self._decoder.embed(ids, self._image_id, features)  # (tokens, width)
        sequence.length = len(ids)
        yield from self._interleaved(adapter, self._decoder.prefill(embedded, sequence.slot))

    def _interleaved(self, adapter: Adapter | None, layers: Iterator[Item]) -> Iterator[Item]:
        """The same with an adapter: others may have been served between two layers."""
        self._select_adapter(adapter)
        for found in layers:
            yield found
            self._select_adapter(adapter)

    def _select_adapter(self, adapter: Adapter | None, status: Status = lambda event: None) -> None:
        """Make the model answer with an adapter, or with none; `status` hears of a download."""
        name = adapter.name if adapter else None
        if name == self._adapter:
            return
        self._adapter = _UNKNOWN  # so it stays where selecting fails half way
        loaded = self.loaded
        selection = adapters.select(loaded.model, loaded.checkpoint, adapter, status)
        if self._graphs is not None:
            for gone in (*selection.evicted, *([name] if selection.is_new else [])):
                self._graphs.forget(gone)
        self._adapter = name
        if selection.notice:
            self._notices[name] = selection.notice

    def _not_finite(self, adapter: str | None) -> UserError:
        """What to say where the likeliest token has no finite score."""
        name, save = self.loaded.checkpoint.name, "fetch or save them again"
        wider = "" if self.loaded.dtype == torch.float32 else ", or choose fp32"
        if adapter is None:
            return UserError(
                f"{name} computes numbers that are not finite.",
                f"Its weights are damaged: {save}{wider}.",
            )
        return UserError(
            f"{name} with the adapter {adapter} computes numbers that are not finite.",
            f"Its weights or the adapter's are damaged: {save}, leave the adapter out{wider}.",
        )

    def _append_token(self, sequence: Sequence, logits: torch.Tensor, best: int) -> None:
        """A sequence's next token, from logits (vocabulary,) of which `best` is the largest."""
        if not math.isfinite(float(logits[best])):
            raise self._not_finite(sequence.request.adapter)
        token_id = sample(logits, sequence.processors) if sequence.processors else best
        sequence.ids.append(token_id)
        sequence.scores.append(self._scorer.score(logits, token_id))
        now = time.monotonic() - sequence.started
        if len(sequence.ids) == 1:
            sequence.first_token_s = sequence.last_token_s = now
        if token_id not in self._eos_ids:
            sequence.last_token_s = now

    def _token_event(self, sequence: Sequence, token_id: int) -> TokenEvent:
        piece = sequence.detokenizer.add(token_id)
        index, text = len(sequence.ids) - 1, sequence.detokenizer.text
        score = sequence.scores[index] = replace(sequence.scores[index], end=len(text))
        return TokenEvent(text, piece, token_id, index, sequence.last_token_s, score.logprob)

    def _finish(self, sequence: Sequence, reason: str) -> Finished:
        return Finished(
            text=sequence.detokenizer.text,
            finish_reason=reason,
            tokens=sum(token_id not in self._eos_ids for token_id in sequence.ids),
            first_token_s=sequence.first_token_s,
            decode_s=sequence.last_token_s - sequence.first_token_s,
            notes=tuple(filter(None, [self._notices.get(sequence.request.adapter)])),
            scores=tuple(score for score in sequence.scores if score.end),
        )

    @torch.inference_mode()
    def _beam_search(self, sequence: Sequence, status: Status) -> Iterator[TokenEvent | Finished]:
        """Beams: the best text as one event."""
        request = sequence.request
        self._select_adapter(sequence.adapter, status)
        inputs = prepare(self.loaded, request.image, request.prompt)
        new_ids, reason = beam_search.search(
            self.loaded, inputs, request.decoding, sequence.must_stop
        )
        now = time.monotonic()
        sequence.first_token_s = sequence.last_token_s = now - sequence.started
        self._owed_until = now + sequence.first_token_s
        for token_id in new_ids:
            sequence.ids.append(token_id)
            if token_id in self._eos_ids:
                break
            sequence.detokenizer.add(token_id)
        if sequence.ids:
            text, last = sequence.detokenizer.text, len(sequence.ids) - 1
            yield TokenEvent(text, text, sequence.ids[-1], last, sequence.first_token_s)
            reason = "eos" if sequence.ids[-1] in self._eos_ids else reason
        yield self._finish(sequence, reason or "length")


def generate(
    loaded: LoadedModel,
    request: Request,
    cancelled: threading.Event | None = None,
    adapter: Adapter | None = None,
) -> Iterator[TokenEvent | Finished]:
    """Answer one request on an engine of its own; see `Engine.answer`."""
    engine = Engine(loaded, max_slots=1)
    events: Iterator[TokenEvent | Finished] = engine.run_alone(
        engine.answer(request, cancelled or threading.Event(), adapter=adapter)
    )
    yield from events


def slots_that_fit(loaded: LoadedModel, length: int) -> int:
    """Slots of the cache for which half of the memory that is left suffices, 1 to MAX_SLOTS.

    On a GPU a slot takes all of its `length` at once, on a CPU what an answer is likely to need.
    """
    values = loaded.checkpoint.shape.text.cache_values
    is_lazy = loaded.device.type == "cpu"
    tokens = loaded.processor.image_seq_length + memory.LONGEST_TEXT if is_lazy else length
    slot_bytes = values * tokens * loaded.dtype.itemsize
    most = MAX_SLOTS[loaded.device.type]
    return max(1, min(most, available_bytes(loaded.device) // 2 // slot_bytes))
