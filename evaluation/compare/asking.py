"""Items as requests to a backend, several at a time, and what it answers, kept for the next run.

Items of one picture come together, as the engine keeps what it saw of a picture. This module does
not know where a system's weights come from, nor what is right.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp

from PIL import Image

from data.items import Item, by_picture
from evaluation.compare.answer_store import Kept
from evaluation.nano.predict import Answer, Piece, Prompt
from models.catalog.checkpoints import Checkpoint
from models.masks import detections
from models.masks.codec import MaskCodec
from models.prompts import grammar
from models.prompts.tokens import ParsedObject, parse_detections
from models.schema import Decoding, Detection, Request, Result, TokenEvent, UserError
from models.serving.backend import Backend
from models.serving.validation import LONGEST_DEADLINE_S

ITEMS_AT_ONCE = 64  # answers that a run which is stopped may lose


@dataclass(frozen=True)
class Choice:
    """A system as this machine has it: names that a request takes, and a precision that runs."""

    checkpoint: Checkpoint
    adapter: str | None
    precision: str


@dataclass(frozen=True)
class Given:
    """An answer about a picture of `width` × `height` pixels."""

    answer: Answer
    width: int
    height: int

    def parsed(self) -> tuple[list[tuple[ParsedObject, float]], int]:
        """The objects with their scores in (0, 1], masks as codes, and how many made no sense."""
        found, invalid = [], 0
        for piece in self.answer.pieces:
            parsed = parse_detections(piece.text)
            found += [(each, piece.score) for each in parsed.objects]
            invalid += parsed.invalid
        return found, invalid

    def objects(self, codec: MaskCodec) -> list[tuple[Detection, float]]:
        """The objects with their scores, masks in the size of the picture."""
        return [
            (each, piece.score)
            for piece in self.answer.pieces
            for each in detections.detect(piece.text, codec, self.width, self.height)[0]
        ]


def answers_to(
    told: str,
    choice: Choice,
    items: Sequence[Item],
    kept: Kept,
    max_new_tokens: int | None,
    ask: Callable[[Sequence[Request]], list[Answer]],
) -> list[Given]:
    """The answers to items in their order, from `kept` or else from `ask`.

    `max_new_tokens` None allows what each task needs. How far it is goes to stderr after `told`.
    """
    found: list[Given | None] = [None] * len(items)
    order = [number for numbers in by_picture(items) for number in numbers]
    asked, spent_s = 0, 0.0
    for start in range(0, len(order), ITEMS_AT_ONCE):
        chosen = order[start : start + ITEMS_AT_ONCE]
        images, numbers = _open([items[i] for i in chosen])
        rows = [
            _row(number, items[i].prefix, choice, max_new_tokens)
            for i, number in zip(chosen, numbers, strict=True)
        ]
        requests = [_request(choice, images[row.image], row) for row in rows]
        spent: list[float] = []  # empty where the answers were kept

        def make(
            requests: Sequence[Request] = requests, spent: list[float] = spent
        ) -> list[Answer]:
            began = time.monotonic()
            made = ask(requests)
            spent.append(time.monotonic() - began)
            return made

        given = kept.answers(images, rows, make)
        for i, number, each in zip(chosen, numbers, given, strict=True):
            found[i] = Given(each, *images[number].size)
        if spent:
            asked, spent_s = asked + len(chosen), spent_s + spent[0]
        done = start + len(chosen)
        more = len(order) - done
        left = _left(spent_s / asked * more) if asked and more else ""
        print(f"\r{told}: {done}/{len(order)}{left}\x1b[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _open(items: Sequence[Item]) -> tuple[list[Image.Image], list[int]]:
    """Each picture once, and each item's number of it."""
    images, places = [], [0] * len(items)
    for place, numbers in enumerate(by_picture(items)):
        images.append(items[numbers[0]].open())
        for number in numbers:
            places[number] = place
    return images, places


def _row(number: int, prefix: str, choice: Choice, max_new_tokens: int | None) -> Prompt:
    limit = grammar.default_max_new_tokens(grammar.parse(prefix).task, choice.checkpoint.variant)
    return Prompt(number, prefix, max_new_tokens or limit)


def _request(choice: Choice, image: Image.Image, row: Prompt) -> Request:
    has_boxes = grammar.yields_boxes(grammar.parse(row.prefix).task)
    return Request(
        image,
        row.prefix,
        choice.checkpoint.name,
        choice.precision,
        choice.adapter,
        Decoding(max_new_tokens=row.tokens, logprobs=has_boxes),
        deadline_s=LONGEST_DEADLINE_S,
    )


def answer(backend: Backend, request: Request) -> Answer:
    """A whole answer; UserError where time ran out first."""
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
            return Answer(event.text, _pieces(tokens), event.finish_reason == "eos")
    raise RuntimeError("the backend gave no result")


def _pieces(tokens: Sequence[tuple[str, float]]) -> tuple[Piece, ...]:
    """The answer cut before every object's first `<loc>`; see `Piece` for the score."""
    coded = [text.strip().startswith(("<loc", "<seg")) for text, _ in tokens]
    starts = [i for i, is_code in enumerate(coded) if is_code and (i == 0 or not coded[i - 1])]
    pieces = []
    for start, stop in pairwise([*starts, len(tokens)]):
        own = tokens[start:stop]
        score = exp(sum(logprob for _, logprob in own) / len(own))
        pieces.append(Piece("".join(text for text, _ in own).rstrip(" ;"), score))
    return tuple(pieces)


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f", {minutes} min left" if minutes else ", less than a minute left"
