"""Items as prompts, picture by picture, and what a system answers to them.

This module does not know where a system's weights come from, nor what is right.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from data.items import Item, by_picture
from evaluation.compare.answer_store import Answer
from evaluation.compare.answers import Answerer
from models.masks import detections
from models.masks.codec import MaskCodec
from models.prompts.tokens import ParsedObject, parse_detections
from models.schema import Detection

ITEMS_AT_ONCE = 64  # answers that a run which is stopped may lose


@dataclass(frozen=True)
class ItemAnswer:
    """An answer about a picture of `width` × `height` pixels."""

    answer: Answer
    width: int
    height: int

    def parsed(self) -> tuple[list[tuple[ParsedObject, float]], int]:
        """The objects with their scores in (0, 1], masks as codes, and how many made no sense."""
        found, invalid = [], 0
        for part in self.answer.parts:
            parsed = parse_detections(part.text)
            found += [(each, part.score) for each in parsed.objects]
            invalid += parsed.invalid
        return found, invalid

    def objects(self, codec: MaskCodec) -> list[tuple[Detection, float]]:
        """The objects with their scores, masks in the size of the picture."""
        return [
            (each, part.score)
            for part in self.answer.parts
            for each in detections.detect(part.text, codec, self.width, self.height)[0]
        ]


def answers_to(
    items: Sequence[Item], answerer: Answerer, title: str, max_new_tokens: int | None = None
) -> list[ItemAnswer]:
    """The answers to items, in their order.

    `max_new_tokens` None allows what each task needs. How far it is goes to stderr after `title`.
    """
    found: dict[int, ItemAnswer] = {}
    order = [number for numbers in by_picture(items) for number in numbers]
    asked, spent_s = 0, 0.0
    for start in range(0, len(order), ITEMS_AT_ONCE):
        chosen = order[start : start + ITEMS_AT_ONCE]
        images, numbers = _open([items[i] for i in chosen])
        prompts = [
            answerer.prompt(number, items[i].prefix, max_new_tokens)
            for i, number in zip(chosen, numbers, strict=True)
        ]
        new = 0

        def count(done: int) -> None:
            nonlocal new
            new = done

        began = time.monotonic()
        answers = answerer.answers(images, prompts, count)
        for i, number, each in zip(chosen, numbers, answers, strict=True):
            found[i] = ItemAnswer(each, *images[number].size)
        if new:  # stored answers say nothing about the pace
            asked, spent_s = asked + new, spent_s + time.monotonic() - began
        done = start + len(chosen)
        more = len(order) - done
        left = _left(spent_s / asked * more) if asked and more else ""
        print(f"\r{title}: {done}/{len(order)}{left}\x1b[K", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [found[number] for number in range(len(items))]


def _open(items: Sequence[Item]) -> tuple[list[Image.Image], list[int]]:
    """Each picture once, and each item's number of it."""
    images, numbers_of = [], [0] * len(items)
    for number, own in enumerate(by_picture(items)):
        images.append(items[own[0]].open())
        for item in own:
            numbers_of[item] = number
    return images, numbers_of


def _left(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f", {minutes} min left" if minutes else ", less than a minute left"
