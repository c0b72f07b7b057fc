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

from models.catalog.adapter import Adapter
from models.engine import beam_search, explaining
from models.engine.cuda_graphs import CudaGraphs, can_capture
from models.engine.detokenizer import Detokenizer
from models.engine.image_cache import ImageFeatureCache, fingerprint
from models.engine.inputs import eos_ids, prefix_ids, prepare
from models.engine.prefill import Prefill
from models.engine.sampling import logits_processors, sample
from models.engine.scoring import TokenScorer
from models.engine.sequence import Finished, Sequence
from models.engine.slots import SlotPlan
from models.hub import adapters
from models.layers.decoder import Decoder
from models.limits import MAX_PROMPT_TOKENS
from models.loading.loader import LoadedModel
from models.loading.precision import has_int8_layers
from models.schema import (
    Explanation,
    Request,
    Status,
    TokenEvent,
    TokenExplanation,
    UserError,
)

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
        plan = SlotPlan.of(loaded, max_slots)
        self._max_images = plan.images
        self._decoder = Decoder(loaded.model, plan.count, plan.length)
        self._prefill = Prefill(loaded, self._decoder, self.features, self._select_adapter)
        self._graphs = CudaGraphs(self._decoder) if can_capture(loaded.model) else None
        # A sequence's result would depend on its neighbours.
        self._steps_one_by_one = has_int8_layers(loaded.model)
        self._free_slots = list(range(plan.count))
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
    ) -> Generator[TokenEvent | Finished | Explanation | None, None, None]:
        """A TokenEvent per token, then Finished; None wherever it waits for a `step`.

        A request that has an answer already gets an Explanation of it instead, or nothing where it
        is cancelled.

        `adapter` is the one that the request names. With beams the text is settled only at the end,
        so there is one TokenEvent. Setting `cancelled` ends it within a step, closing it at once.
        What goes wrong with this request is raised here. A request whose `deadline_s` is None has
        no time limit.
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
        if request.decoding.num_beams > 1 and request.answer_ids is None:
            yield from self._beam_search(sequence, status)
            return
        sequence.taken_slot = self._free_slots.pop(0)
        try:
            self._join(sequence, status)
            taken, reason = 0, None
            while reason is None:
                # 1. A step may bring a token, or be of use to others alone.
                yield None
                if sequence.failure is not None:
                    raise sequence.failure
                if request.answer_ids is not None and sequence.length:
                    yield from self._explain(sequence, request.answer_ids)
                    return
                if len(sequence.ids) == taken:
                    reason = sequence.must_stop()
                    continue
                # 2. The token is told, unless it is the end; from the first on it decodes.
                if taken == 0:
                    self.sequences.append(sequence)
                taken, token_id = len(sequence.ids), sequence.ids[-1]
                if token_id in self._eos_ids:
                    reason = "eos"
                    continue
                yield self._token_event(sequence, token_id)
                is_last = taken == request.decoding.max_new_tokens
                reason = "length" if is_last else sequence.must_stop()
            yield self._finish(sequence, reason)
        finally:
            self._prefill.remove(sequence)
            if sequence in self.sequences:
                self.sequences.remove(sequence)
            self._free_slots.append(sequence.slot)
            self._free_slots.sort()  # sequences stay close together at the front

    @torch.inference_mode()
    def step(self) -> None:
        """Bring those on that have joined, and give those that decode their next token.

        Those that join come first until the others are due.
        """
        if self._prefill.should_run(self.sequences):
            for sequence, logits in self._prefill.run(lambda: self.is_due):
                if sequence.request.answer_ids is None:
                    self._take_token(sequence, logits, int(logits.argmax()))
            if self._prefill.is_busy and not self.is_due:
                return
        self._decode()

    def _decode(self) -> None:
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
            self._take_token(sequence, own, best)

    def _join(self, sequence: Sequence, status: Status) -> None:
        """Let a sequence wait for its prefill, with all that can go wrong for it alone checked."""
        # 1. The adapter comes first: it may be downloaded, and may change what the tower sees.
        request, adapter = sequence.request, sequence.adapter
        self._select_adapter(adapter, status)
        # 2. The prompt.
        images = len(request.images)
        if images > self._max_images:
            raise UserError(
                f"There is no room for {images} pictures in one prompt here.",
                f"Use at most {self._max_images}, or a smaller model.",
            )
        sequence.prefix = prefix_ids(self.loaded, request.prompt, images)
        seen = self.loaded.processor.image_seq_length * images
        if len(sequence.prefix) > seen + MAX_PROMPT_TOKENS:
            raise UserError("The prompt is too long.", "Shorten it.")
        # 3. The pictures, whose adapter counts where it matters.
        seen_by = adapter if adapters.changes_features(self.loaded.model) else None
        sequence.pictures = tuple((fingerprint(image), seen_by) for image in request.images)
        self._prefill.add(sequence)

    @torch.inference_mode()
    def _explain(self, sequence: Sequence, ids: tuple[int, ...]) -> Iterator[Explanation | None]:
        """The tokens of an answer that was given, explained, once its prefix is in its slot."""
        explaining.check_ids(self.loaded, ids)
        tokens: list[TokenExplanation] = []
        for start in range(0, len(ids), explaining.AT_ONCE):
            self._select_adapter(sequence.adapter)  # others may have been served
            tokens += explaining.read(
                self.loaded, self._decoder, sequence.prefix, ids, sequence.slot, start
            )
            reason = sequence.must_stop()
            if reason == "deadline":
                raise UserError("There was no time to explain all of it.", "Explain a shorter one.")
            if reason:
                return
            yield None
        yield Explanation(tuple(tokens))

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

    def _take_token(self, sequence: Sequence, logits: torch.Tensor, best: int) -> None:
        """As `_append_token`; what it raises is put on the sequence, which raises it."""
        try:
            self._append_token(sequence, logits, best)
        except Exception as error:
            sequence.failure = error

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
            token_ids=tuple(each for each in sequence.ids if each not in self._eos_ids),
            prompt_tokens=len(sequence.prefix),
        )

    @torch.inference_mode()
    def _beam_search(self, sequence: Sequence, status: Status) -> Iterator[TokenEvent | Finished]:
        """Beams: the best text as one event."""
        request = sequence.request
        self._select_adapter(sequence.adapter, status)
        inputs = prepare(self.loaded, request.image, request.prompt, request.more_images)
        sequence.prefix = inputs["input_ids"][0]
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
) -> Iterator[TokenEvent | Finished | Explanation]:
    """Answer one request on an engine of its own; see `Engine.answer`."""
    engine = Engine(loaded, max_slots=1)
    events: Iterator[TokenEvent | Finished | Explanation] = engine.run_alone(
        engine.answer(request, cancelled or threading.Event(), adapter=adapter)
    )
    yield from events
