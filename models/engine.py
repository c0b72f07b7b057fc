"""Prefill and decode: a loaded model and a request -> tokens as they come.

`generate` of transformers does the steps; this module watches each of them, so that a request can
stop after any token, ends in time, and its failure reaches the caller. It does not know what the
text means, and it keeps no order among requests: one model answers one request at a time.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PaliGemmaProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.streamers import BaseStreamer

from models.loader import LoadedModel
from models.schema import Decoding, Request, TokenEvent


@dataclass(frozen=True)
class Finished:
    """The end of an answer; `finish_reason` is one of `schema.FINISH_REASONS`.

    `tokens` are those of the text, without the end token. `first_token_s` counts from the start of
    the work on the picture, `decode_s` from there to the last token of the text. Beams settle
    their text at the end: all of the time is `first_token_s` then and `decode_s` is 0.
    """

    text: str
    finish_reason: str
    tokens: int
    first_token_s: float
    decode_s: float


def prepare(loaded: LoadedModel, image: Image.Image, prompt: str) -> dict[str, torch.Tensor]:
    """The model's inputs for one picture and prompt, `token_type_ids` among them.

    Without those the prefix mask would turn causal and the answer silently worse.
    """
    batch = loaded.processor(images=image, text=f"<image>{prompt}", return_tensors="pt")
    inputs = {
        name: batch[name].to(loaded.device)
        for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values")
    }
    inputs["pixel_values"] = inputs["pixel_values"].to(loaded.dtype)
    return inputs


def generate(
    loaded: LoadedModel, request: Request, cancelled: threading.Event | None = None
) -> Iterator[TokenEvent | Finished]:
    """Answer a request: a TokenEvent per token, then Finished.

    With beams the text is settled only at the end, so there is one TokenEvent. Setting `cancelled`
    or closing the generator stops the work after at most one more token; a closed generator
    returns once it has stopped. What the work raises is raised here. A request whose `deadline_s`
    is None has no time limit here.
    """
    cancelled = cancelled or threading.Event()
    events: queue.Queue[TokenEvent | Finished | BaseException] = queue.Queue()

    def work() -> None:
        try:
            events.put(_run(loaded, request, cancelled, events))
        except BaseException as error:  # nothing is lost: the caller raises it
            events.put(error)

    thread = threading.Thread(target=work, name=f"generate-{loaded.name}", daemon=True)
    thread.start()
    event = None
    try:
        while not isinstance(event, Finished):
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        if not isinstance(event, Finished):
            cancelled.set()
        thread.join()


class Detokenizer:
    """Token ids -> text that only ever grows.

    Bytes of a character wait until it is whole, and bytes that form none are dropped, so the text
    has no replacement characters. `<loc>` and `<seg>` tokens stay in it; padding, BOS, EOS and
    `<image>` do not.
    """

    def __init__(self, processor: PaliGemmaProcessor):
        self._tokenizer = processor.tokenizer
        self.silent_ids = {
            self._tokenizer.pad_token_id,
            self._tokenizer.bos_token_id,
            self._tokenizer.eos_token_id,
            processor.image_token_id,
        }
        self._kept: list[int] = []
        self._waiting: list[tuple[int, int]] = []  # (token id, byte) of an unfinished character
        self.text = ""

    def add(self, token_id: int) -> str:
        """Take one token; returns what it adds to the text, often nothing for a byte."""
        if token_id in self.silent_ids:
            return ""
        byte = _byte_of(self._tokenizer.convert_ids_to_tokens(token_id))
        if byte is None:
            self._waiting.clear()
            self._kept.append(token_id)
        elif not self._add_byte(token_id, byte):
            return ""
        before = len(self.text)
        self.text = self._tokenizer.decode(
            self._kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return self.text[before:]

    def _add_byte(self, token_id: int, byte: int) -> bool:
        """Whether this byte completes a character, which is then kept."""
        self._waiting.append((token_id, byte))
        while self._waiting:
            try:
                bytes(value for _, value in self._waiting).decode("utf-8")
            except UnicodeDecodeError as error:
                if error.reason == "unexpected end of data":
                    return False
                del self._waiting[0]
            else:
                self._kept += [kept for kept, _ in self._waiting]
                self._waiting.clear()
                return True
        return False


@dataclass
class _Watch(StoppingCriteria):
    """Asked after each token whether to stop; remembers why it said so."""

    cancelled: threading.Event
    deadline: float
    reason: str | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        if self.cancelled.is_set():
            self.reason = "cancelled"
        elif time.monotonic() >= self.deadline:
            self.reason = "deadline"
        stop = self.reason is not None
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device, dtype=torch.bool)


@dataclass
class _Stream(BaseStreamer):
    """Gets each token from `generate` and puts it into the queue as an event."""

    detokenizer: Detokenizer
    events: queue.Queue
    started: float
    eos_ids: set[int]
    ids: list[int] = field(default_factory=list)
    first_token_s: float = 0.0
    last_token_s: float = 0.0
    _prompt_seen: bool = False

    @property
    def tokens(self) -> int:
        """How many tokens are text."""
        return sum(token_id not in self.eos_ids for token_id in self.ids)

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:  # `generate` streams the prompt first
            self._prompt_seen = True
            return
        for token_id in value.flatten().tolist():
            self.ids.append(token_id)
            elapsed = time.monotonic() - self.started
            if len(self.ids) == 1:
                self.first_token_s = self.last_token_s = elapsed
            if token_id not in self.eos_ids:
                self.last_token_s = elapsed
                piece = self.detokenizer.add(token_id)
                text, index = self.detokenizer.text, len(self.ids) - 1
                self.events.put(TokenEvent(text, piece, token_id, index, elapsed))

    def end(self) -> None:
        """Nothing waits for this: the end is what `_run` returns."""


class _Draw(LogitsProcessor):
    """Sampling by the Gumbel-max trick: noise on the scores, then the largest is taken.

    The same distribution as drawing from the softmax, with a random generator of its own, so that
    two models that sample at the same time do not disturb each other's seed.
    """

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp_(1e-300, 1 - 1e-16)))
        return scores + noise.to(scores)


def _sampling(decoding: Decoding) -> LogitsProcessorList:
    """Warpers in the order in which `generate` applies them; none for greedy decoding."""
    steps = LogitsProcessorList()
    if decoding.temperature > 0:
        steps.append(TemperatureLogitsWarper(float(decoding.temperature)))
        if decoding.top_k > 0:
            steps.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            steps.append(TopPLogitsWarper(decoding.top_p))
        steps.append(_Draw(decoding.seed))
    return steps


def _run(
    loaded: LoadedModel, request: Request, cancelled: threading.Event, events: queue.Queue
) -> Finished:
    """The whole of `generate` in the calling thread; events go into the queue."""
    started = time.monotonic()
    decoding = request.decoding
    detokenizer = Detokenizer(loaded.processor)
    eos_ids = _eos_ids(loaded)
    limit_s = math.inf if request.deadline_s is None else request.deadline_s
    watch = _Watch(cancelled, started + limit_s)
    stream = _Stream(detokenizer, events, started, eos_ids)
    if cancelled.is_set():
        return Finished("", "cancelled", 0, 0.0, 0.0)
    inputs = prepare(loaded, request.image, request.prompt)
    beams = decoding.num_beams > 1
    with torch.inference_mode():
        output = loaded.model.generate(
            **inputs,
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            num_beams=decoding.num_beams,
            logits_processor=_sampling(decoding),
            stopping_criteria=StoppingCriteriaList([watch]),
            streamer=None if beams else stream,
        )
    if beams:
        new_ids = output[0, inputs["input_ids"].shape[1] :].tolist()
        _put_at_once(new_ids, stream)
    if stream.ids and stream.ids[-1] in eos_ids:
        reason = "eos"
    else:
        reason = watch.reason or "length"
    return Finished(
        text=detokenizer.text,
        finish_reason=reason,
        tokens=stream.tokens,
        first_token_s=stream.first_token_s,
        decode_s=stream.last_token_s - stream.first_token_s,
    )


def _put_at_once(new_ids: list[int], stream: _Stream) -> None:
    """Beams: the best text as one event; padding after its end is left out."""
    for token_id in new_ids:
        stream.ids.append(token_id)
        if token_id in stream.eos_ids:
            break
        stream.detokenizer.add(token_id)
    stream.first_token_s = stream.last_token_s = time.monotonic() - stream.started
    text = stream.detokenizer.text
    last = len(stream.ids) - 1
    if stream.ids:
        stream.events.put(TokenEvent(text, text, stream.ids[-1], last, stream.first_token_s))


def _eos_ids(loaded: LoadedModel) -> set[int]:
    configured = loaded.model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {each for each in (*ids, loaded.processor.tokenizer.eos_token_id) if each is not None}


def _byte_of(token: str) -> int | None:
    """The byte that a byte-fallback token stands for, None for any other token."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return int(token[3:5], 16)
    return None
