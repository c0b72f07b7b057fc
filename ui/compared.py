"""What a comparison shows: a card a side, and at its end what differs, marked in text and boxes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import gradio as gr
from PIL import Image

from models.masks.repeats import distinct
from models.prompts import tokens
from models.results import timings_to_json
from models.schema import Detection, Request, Result
from ui import compare_markup, markup
from ui.differences import mark_words, match_boxes
from ui.found_picture import FoundPicture
from ui.pictures import distinct_colours, distinct_labels
from ui.side_by_side import SideAnswer
from ui.sides import LETTERS, MOST

STOPPED = "Stopped."


def padded(updates: Sequence[Any]) -> list[Any]:
    """Updates of some sides, with none for the others of MOST."""
    return [*updates, *[gr.skip()] * (MOST - len(updates))]


def _hidden() -> Any:
    return gr.update(value=None, visible=False)


def cards_of(about: Sequence[Sequence[str]], answers: dict[int, SideAnswer]) -> list[str]:
    """A card a side: its words in `about`, and what it has answered so far."""
    return [
        compare_markup.card(LETTERS[index], words, answers[index])
        for index, words in enumerate(about)
    ]


def compared(
    image: Image.Image,
    prompt: str,
    about: Sequence[Sequence[str]],
    requests: dict[int, Request],
    answers: dict[int, SideAnswer],
) -> tuple[Any, ...]:
    """The last update: whole answers beside each other, with what differs marked."""
    results = {
        i: replace(each.result, detections=distinct(each.result.detections))
        for i, each in answers.items()
        if each.result is not None
    }
    texts = {index: tokens.readable(result.text) for index, result in results.items()}
    cards = []
    for index, words in enumerate(about):
        parts = None
        if index in texts:
            parts = mark_words(texts[index], *_others(index, texts))
        cards.append(compare_markup.card(LETTERS[index], words, answers[index], parts))
    missing = _missing({index: result.detections for index, result in results.items()})
    letters = [LETTERS[index] for index in results]
    lonely = sum(bool(each) for without in missing.values() for each in without)
    boxes = sum(len(result.detections) for result in results.values())
    said = compare_markup.difference(letters, list(texts.values()), lonely, boxes)
    if any(answer.is_stopped for answer in answers.values()):
        said = f"{STOPPED} {said}" if len(results) > 1 else STOPPED
    return (
        markup.status(said),
        *padded(cards),
        *padded(_pictures(image, results, missing, len(about))),
        compare_markup.votes(letters, _record(image, prompt, requests, results)),
    )


def _others(index: int, values: dict[int, Any]) -> list[Any]:
    """What a side is compared with: the first with all others, each other with the first."""
    first = min(values)
    return [value for key, value in values.items() if key != index and first in (key, index)]


def _missing(found: dict[int, tuple[Detection, ...]]) -> dict[int, list[str]]:
    """For each side's detections the letters of those compared with that do not have them."""
    without: dict[int, list[str]] = {}
    first = min(found, default=0)
    for index, detections in found.items():
        names = [""] * len(detections)
        for other in found:
            if other == index or first not in (other, index):
                continue
            for at, partner in enumerate(match_boxes(detections, found[other])):
                names[at] += LETTERS[other] if partner is None else ""
        without[index] = names
    return without


def _pictures(
    image: Image.Image, results: dict[int, Result], missing: dict[int, list[str]], count: int
) -> list[Any]:
    """The picture with each side's boxes; what matches has the colour that it has on the first."""
    if not any(result.detections for result in results.values()):
        return [gr.skip() if index in results else _hidden() for index in range(count)]
    updates = [_hidden() for _ in range(count)]
    first = min(results)
    base = distinct_colours(image, results[first].detections)
    for index, result in results.items():
        colours = distinct_colours(image, result.detections)
        if index != first:
            for at, partner in enumerate(match_boxes(result.detections, results[first].detections)):
                colours[at] = colours[at] if partner is None else base[partner]
        labels = [
            f"{label} (not in {', '.join(letters)})" if letters else label
            for label, letters in zip(
                distinct_labels(result.detections), missing[index], strict=True
            )
        ]
        kinds = ["alone" if letters else "" for letters in missing[index]]
        value = FoundPicture.saved(image, result.detections, labels, colours, kinds)
        updates[index] = gr.update(value=value, visible=True)
    return updates


def _record(
    image: Image.Image, prompt: str, requests: dict[int, Request], results: dict[int, Result]
) -> dict[str, Any]:
    """What is kept with a vote; the picture's digest is of its RGB bytes, row by row."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    return {
        "id": uuid.uuid4().hex,
        "prompt": prompt,
        "picture": {"sha256": digest, "width": image.width, "height": image.height},
        "answers": {
            LETTERS[index]: {
                "checkpoint": result.checkpoint,
                "adapter": result.adapter,
                "precision": requests[index].precision,
                "decoding": asdict(requests[index].decoding),
                "text": result.text,
                "timings": timings_to_json(result.timings),
            }
            for index, result in results.items()
        },
    }
