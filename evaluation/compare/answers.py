"""Whole answers of one system, several requests side by side, as the page's backend gives them.

Prompts about one picture should come together, as the engine caches a picture's features. This
module knows neither scenes nor data sets, nor what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from math import exp

from PIL import Image

from evaluation.compare.answer_store import Answer, AnswerPart, AnswerStore
from evaluation.compare.systems import ResolvedSystem
from models.catalog.catalog import Catalog
from models.engine.slots import MAX_SLOTS
from models.limits import MAX_DEADLINE_S
from models.prompts import grammar
from models.schema import Decoding, Request, Result, TokenEvent, UserError
from models.serving.backend import Backend

_WAITING = 2  # requests beyond those that are answered, so that no slot stays free


@dataclass(frozen=True)
class Prompt:
    """A prompt about image number `image` of a list, answered by at most `max_new_tokens`."""

    image: int
    text: str
    max_new_tokens: int


class Answerer:
    """Answers prompts with a system, greedily: those in `store`, or else by a backend.

    The backend is opened only where something is left to ask. Use it in one thread, and close it.
    """

    def __init__(
        self,
        system: ResolvedSystem,
        store: AnswerStore,
        open_backend: Callable[[Catalog], Backend],
        at_once: int | None = None,
    ):
        """`at_once` requests are made side by side; None makes as many as are answered so."""
        self.system = system
        self._at_once = at_once or MAX_SLOTS + _WAITING
        self._store, self._open_backend = store, open_backend
        self._backend: Backend | None = None

    def prompt(self, image: int, text: str, max_new_tokens: int | None = None) -> Prompt:
        """A prompt; `max_new_tokens` None allows what its task needs."""
        variant = self.system.checkpoint.variant
        limit = grammar.default_max_new_tokens(grammar.parse(text).task, variant)
        return Prompt(image, text, max_new_tokens or limit)

    def answers(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[Prompt],
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[Answer]:
        """An answer per prompt, in their order; `progress` gets how many were answered just now.

        UserError where the system cannot answer, or not in time.
        """
        return self._store.answers(images, prompts, lambda: self._ask(images, prompts, progress))

    def close(self) -> None:
        """Let go of the model."""
        if self._backend is not None:
            self._backend.close()

    def _ask(
        self,
        images: Sequence[Image.Image],
        prompts: Sequence[Prompt],
        progress: Callable[[int], None],
    ) -> list[Answer]:
        if self._backend is None:
            self._backend = self._open_backend(self.system.catalog)
        backend = self._backend
        requests = (self._request(images[each.image], each) for each in prompts)
        found: list[Answer] = []
        pool = ThreadPoolExecutor(self._at_once)
        try:
            for answer in pool.map(lambda request: collect(backend, request), requests):
                found.append(answer)
                progress(len(found))
        finally:
            pool.shutdown(cancel_futures=True)  # no request begins once one has failed
        return found

    def _request(self, image: Image.Image, prompt: Prompt) -> Request:
        return Request(
            image,
            prompt.text,
            self.system.checkpoint.name,
            self.system.precision,
            self.system.adapter.name if self.system.adapter else None,
            Decoding(max_new_tokens=prompt.max_new_tokens),
            deadline_s=MAX_DEADLINE_S,
        )


def collect(backend: Backend, request: Request) -> Answer:
    """The whole answer to a request; UserError where time ran out first."""
    tokens: list[tuple[str, float]] = []
    for event in backend.answer(request):
        if isinstance(event, TokenEvent) and event.logprob is not None:
            tokens.append((event.piece, event.logprob))
        elif isinstance(event, Result):
            if event.finish_reason not in ("eos", "length"):
                raise UserError(
                    f"An answer was not done after {request.deadline_s:.0f} s.",
                    "Use a faster machine or a smaller checkpoint.",
                )
            return Answer(event.text.strip(), _parts(tokens), event.finish_reason == "eos")
    raise RuntimeError("the backend gave no result")


def _parts(tokens: Sequence[tuple[str, float]]) -> tuple[AnswerPart, ...]:
    """The answer cut before every object's first `<loc>`; `tokens` have log-probabilities."""
    coded = [text.strip().startswith(("<loc", "<seg")) for text, _ in tokens]
    starts = [i for i, is_code in enumerate(coded) if is_code and (i == 0 or not coded[i - 1])]
    parts = []
    for start, stop in pairwise([*starts, len(tokens)]):
        own = tokens[start:stop]
        score = exp(sum(logprob for _, logprob in own) / len(own))
        parts.append(AnswerPart("".join(text for text, _ in own).rstrip(" ;"), score))
    return tuple(parts)
