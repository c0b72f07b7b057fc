"""Location and mask tokens: `<loc>` and `<seg>` text <-> boxes and codes, on partial text too.

This module knows neither the tokenizer nor how codes become a mask (`models.masks.codec`).
`<loc0000>` to `<loc1023>` come as y_min x_min y_max x_max with `round(v · 1023)`, as in
big_vision; an object is 4 of them, 16 `<seg>` codes where there is a mask, and a label that may be
missing; objects are separated by ` ; `.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.schema import Box

LOCATIONS = 1024
CODES = 128
CODES_PER_MASK = 16

_LOC = re.compile(r"<loc(\d{4})>")
_SEG = re.compile(r"<seg(\d{3})>")
_OBJECT = re.compile(
    r"(?P<locs>(?:<loc\d{4}>\s*)*)(?P<segs>(?:<seg\d{3}>\s*)*)(?P<label>[^;<]*(?:<(?!loc|seg)[^;<]*)*)"
    r"(?P<end>;|$)?"
)
_TOKEN = re.compile(r"<loc\d{4}>|<seg\d{3}>|<(?:loc|seg)\d*$")


@dataclass(frozen=True)
class ParsedObject:
    """One object of an answer; `codes` are 16 numbers in [0, 128), or None where it has no mask.

    `span` are the characters of the text that say it, from its first `<loc>` to its label's end.
    """

    label: str
    box: Box
    codes: tuple[int, ...] | None
    span: tuple[int, int]


@dataclass(frozen=True)
class ParsedText:
    """`invalid` counts objects that make no sense; `rest` is the text outside all objects."""

    objects: tuple[ParsedObject, ...]
    invalid: int
    rest: str


def encode_box(box: Box) -> str:
    """Four `<loc>` tokens in the order y_min x_min y_max x_max."""
    edges = (box.y_min, box.x_min, box.y_max, box.x_max)
    return "".join(f"<loc{round(edge * (LOCATIONS - 1)):04d}>" for edge in edges)


def encode_codes(codes: Sequence[int]) -> str:
    """`<seg>` tokens, one per code in [0, 128)."""
    return "".join(f"<seg{code:03d}>" for code in codes)


def parse_detections(text: str, finished: bool = True) -> ParsedText:
    """The objects of an answer.

    Where `finished` is False the text may go on, so an object at its end that could still become
    whole is left out without being counted as invalid.
    """
    objects: list[ParsedObject] = []
    rest: list[str] = []
    invalid = position = 0
    while position < len(text):
        match = _OBJECT.match(text, position)
        if match is None or match.end() == position:
            position += 1
            continue
        position = match.end()
        found = list(_LOC.finditer(text, match.start("locs"), match.end("locs")))
        locs = [int(each[1]) for each in found]
        codes = [int(value) for value in _SEG.findall(match["segs"])]
        label = " ".join(match["label"].split())
        if not locs and not codes:
            rest.append(label)
            continue
        if not finished and position == len(text) and not match["end"] and not label:
            grows = len(locs) % 4 or not locs or 0 < len(codes) < CODES_PER_MASK
            if grows:
                continue
        if not locs or len(locs) % 4:
            invalid += 1
            continue
        # Boxes in a row without a label or separator: the last has the codes and the label.
        for start in range(0, len(locs), 4):
            last = start + 4 == len(locs)
            span = found[start].start(), match.end("label") if last else found[start + 3].end()
            parsed = _object(
                locs[start : start + 4], codes if last else [], label if last else "", span
            )
            if parsed is None:
                invalid += 1
            else:
                objects.append(parsed)
    return ParsedText(tuple(objects), invalid, " ; ".join(part for part in rest if part))


def readable(text: str) -> str:
    """The text without its `<loc>` and `<seg>` tokens, labels separated by ` ; `."""
    if not _TOKEN.search(text):
        return text.strip()
    parts = (" ".join(part.split()) for part in _TOKEN.sub(" ", text).split(";"))
    return " ; ".join(part for part in parts if part)


def _object(
    locs: Sequence[int], codes: Sequence[int], label: str, span: tuple[int, int]
) -> ParsedObject | None:
    """One object, or None where its numbers make no sense."""
    if max(locs) >= LOCATIONS or len(codes) not in (0, CODES_PER_MASK):
        return None
    if codes and max(codes) >= CODES:
        return None
    y_min, x_min, y_max, x_max = (value / (LOCATIONS - 1) for value in locs)
    if y_max <= y_min or x_max <= x_min:
        return None
    return ParsedObject(label, Box(y_min, x_min, y_max, x_max), tuple(codes) or None, span)
