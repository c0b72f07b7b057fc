"""The two implementations that the benchmark compares: the served one, and plain `generate`.

The served one goes through `LocalBackend`, as the page does; plain is `from_pretrained`, the
processor and `model.generate`, as the documentation of transformers shows it. Both read the same
files, and whatever computes does so in a thread that ends with its answer: the workers that OpenMP
keeps for each thread would slow down those of the other one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from PIL import Image
from transformers import PaliGemmaProcessor
from transformers.generation.streamers import BaseStreamer

from evaluation.speed.stopwatch import stopwatch
from models.catalog.checkpoints import Checkpoint
from models.limits import MAX_DEADLINE_S
from models.loading.device import best_device
from models.loading.loader import Loader, read_model
from models.schema import Decoding, Request, Result, TokenEvent
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("caption en", "describe en", "answer en what color is the background?", "ocr")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Run:
    """One answer; seconds from the request to the first token and to the end, loading excluded."""

    prompt: str
    text: str
    first_token_s: float
    total_s: float
    tokens: int

    @property
    def tokens_per_s(self) -> float | None:
        """Rate of the tokens after the first; None for an answer of one token."""
        decode_s = self.total_s - self.first_token_s
        return (self.tokens - 1) / decode_s if self.tokens > 1 and decode_s > 0 else None


@dataclass(frozen=True)
class Implementation:
    """What answers: its name and precision, the seconds it took to load, and the call.

    `answer_batch` answers several at once as one padded batch; the served one has none,
    as requests that come together share their steps anyway.
    """

    name: str
    precision: str
    load_s: float
    answer: Callable[[Image.Image, str], Run]
    answer_batch: Callable[[Sequence[Image.Image], Sequence[str]], list[str]] | None = None

    @property
    def is_served(self) -> bool:
        """Whether it is this project's."""
        return self.answer_batch is None


class _Clock(BaseStreamer):
    """Notes when each token of `generate` came; the first call brings the prompt."""

    def __init__(self, seconds: Callable[[], float]):
        self.seconds = seconds
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(self.seconds())

    def end(self) -> None:
        """Nothing is kept back."""


def served(
    backend: LocalBackend, checkpoint: Checkpoint, precision: str, max_new_tokens: int
) -> Implementation:
    """The backend of the page. Its first answer, which loads the model, is not among the runs."""

    def answer(image: Image.Image, prompt: str) -> tuple[Run, Result]:
        request = Request(
            image=image,
            prompt=prompt,
            checkpoint=checkpoint.name,
            precision=precision,
            decoding=Decoding(max_new_tokens=max_new_tokens),
            deadline_s=MAX_DEADLINE_S,
        )
        seconds = stopwatch()
        first: float | None = None
        result: Result | None = None
        for event in backend.answer(request):
            if isinstance(event, TokenEvent) and first is None:
                first = seconds()
            elif isinstance(event, Result):
                result = event
        total = seconds()
        assert result is not None  # an answer ends with it
        first = total if first is None else first
        return Run(prompt, result.text.strip(), first, total, result.timings.tokens), result

    _, loading = answer(warm_up(checkpoint), PROMPTS[0])
    load_s = loading.timings.load_s
    return Implementation(
        "this project", precision, load_s, lambda image, prompt: answer(image, prompt)[0]
    )


def plain(checkpoint: Checkpoint, precision: str, max_new_tokens: int) -> Implementation:
    """`transformers` alone; its first answer, which warms it up, is not among the runs."""
    folder, device = Loader().fetch(checkpoint), best_device()
    seconds = stopwatch()
    model = in_own_thread(lambda: read_model(folder, precision, device).eval())
    processor = PaliGemmaProcessor.from_pretrained(folder)
    load_s = seconds()

    @torch.inference_mode()
    def run(
        images: Sequence[Image.Image], prompts: Sequence[str], clock: _Clock | None = None
    ) -> torch.Tensor:
        texts = [f"<image>{prompt}" for prompt in prompts]
        inputs = processor(text=texts, images=list(images), return_tensors="pt", padding=True)
        inputs = inputs.to(device).to(model.dtype)
        untyped: Any = model  # its `generate` is typed for other arguments than it takes
        out = untyped.generate(
            **inputs, do_sample=False, max_new_tokens=max_new_tokens, streamer=clock
        )
        return out[:, inputs["input_ids"].shape[1] :]

    def answer(image: Image.Image, prompt: str) -> Run:
        seconds = stopwatch()
        clock = _Clock(seconds)
        (new,) = in_own_thread(lambda: run([image], [prompt], clock))
        text = processor.decode(new, skip_special_tokens=True).strip()
        end = model.generation_config.eos_token_id
        tokens = int((new != end).sum()) if isinstance(end, int) else len(new)
        return Run(prompt, text, clock.times[1], seconds(), max(1, tokens))

    def answer_batch(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[str]:
        new = in_own_thread(lambda: run(images, prompts))
        return [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]

    answer(warm_up(checkpoint), PROMPTS[0])
    return Implementation("transformers.generate", precision, load_s, answer, answer_batch)


def in_own_thread(work: Callable[[], Value]) -> Value:
    """What `work` returns, done in a thread that has ended then; what it raises is raised here."""
    found: Future[Value] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found.result()


def warm_up(checkpoint: Checkpoint) -> Image.Image:
    """A picture that no run is about."""
    return draw(HELD_OUT, checkpoint.resolution).image
