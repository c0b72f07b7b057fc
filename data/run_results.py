"""The results of a run, picture by picture, with what people put right; for exports.

`RUN/corrections.jsonl` has a line for each correction: {"image", "prompt", and "text" or
"detections" or both}, which take the place of the result's; of two about the same picture and
prompt the later one counts. Only places in the files and names are held in memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.pictures import Pictures, find, leads_out
from data.runs import CORRECTIONS, RESULTS, parse_line, read_lines_at, read_settings
from models.masks import rle
from models.masks.repeats import distinct
from models.prompts import grammar
from models.schema import UserError

_CONTROLS = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # no format takes them all
UNNAMED = "object"  # what an object is called that neither the answer nor the prompt names


@dataclass(frozen=True)
class Found:
    """An object: `box_xyxy_px` in pixels of the upright picture, `rle` its mask in COCO's run
    lengths over the whole picture, or None."""

    label: str
    box_xyxy_px: tuple[float, float, float, float]
    confidence: float | None
    rle: dict[str, Any] | None

    def mask(self) -> np.ndarray:
        """bool[height, width]; only of one that has run lengths."""
        assert self.rle is not None
        return rle.decode(self.rle)

    @property
    def box_xywh_px(self) -> tuple[float, float, float, float]:
        """Left, top, width and height, two decimals."""
        x_min, y_min, x_max, y_max = self.box_xyxy_px
        return x_min, y_min, round(x_max - x_min, 2), round(y_max - y_min, 2)


@dataclass(frozen=True)
class Answered:
    """A prompt and what was answered; `text` is as the model wrote it unless it was corrected.

    `objects` are those that are shown: one that the answer repeats is there once. `line` is the
    whole line of results with its correction.
    """

    prompt: str
    text: str
    objects: tuple[Found, ...]
    line: Mapping[str, Any]


@dataclass(frozen=True)
class Labelled:
    """A picture with all its answers; `width` and `height` are pixels of the upright picture."""

    name: str
    width: int
    height: int
    answers: tuple[Answered, ...]

    @property
    def objects(self) -> list[Found]:
        """The objects of all answers."""
        return [each for answer in self.answers for each in answer.objects]


class RunResults:
    """The answered pictures of a run, in order, as often as they are iterated over.

    `labels` are the names of objects that were asked for and then all others, each once; `failed`
    is how many lines have an error, which are left out; `has_masks` whether any object has one;
    `is_taken_away` whether exports go where the pictures do not, and bring those that they name.
    """

    def __init__(self, folder: Path, is_taken_away: bool = False):
        """UserError where the folder has no run or its files are damaged."""
        self.folder, self.is_taken_away = folder, is_taken_away
        self.settings = read_settings(folder)
        self.failed = 0
        self.has_masks = False
        self._places: dict[str, list[int]] = {}
        self._corrections: dict[tuple[str, str], int] = {}
        self._read_corrections()
        labels = dict.fromkeys(
            name for prompt in self.settings["prompts"] for name in asked(prompt)
        )
        try:
            for place, line in read_lines_at(folder / RESULTS):
                if "error" in line:
                    self.failed += 1
                    continue
                if leads_out(line["image"]):
                    raise UserError(f"{folder} has a picture {line['image']!r} outside it.")
                self._places.setdefault(line["image"], []).append(place)
        except OSError:
            raise UserError(
                f"{folder} has no results yet.", "Run python -m models.batch."
            ) from None
        for picture in self:
            for each in picture.objects:
                labels.setdefault(each.label)
                self.has_masks = self.has_masks or each.rle is not None
        self.labels = tuple(labels)

    def __len__(self) -> int:
        """How many pictures have an answer."""
        return len(self._places)

    def __iter__(self) -> Iterator[Labelled]:
        """The pictures; UserError naming one whose line is no result."""
        with (self.folder / RESULTS).open("rb") as file:
            for name, places in self._places.items():
                lines = []
                for place in places:
                    file.seek(place)
                    lines.append(self._corrected(parse_line(file.readline(), "A line")))
                yield _labelled(name, lines)

    def names(self) -> list[str]:
        """The names of the pictures, in order."""
        return list(self._places)

    def pictures(self) -> Pictures:
        """Where the pictures lie; UserError where they are no longer there."""
        return find(self.settings["images"], without=self.folder)

    def _read_corrections(self) -> None:
        file = self.folder / CORRECTIONS
        if file.exists():
            for place, line in read_lines_at(file):
                self._corrections[line["image"], line["prompt"]] = place

    def _corrected(self, line: dict[str, Any]) -> dict[str, Any]:
        place = self._corrections.get((line["image"], line["prompt"]))
        if place is None:
            return line
        with (self.folder / CORRECTIONS).open("rb") as file:
            file.seek(place)
            given = parse_line(file.readline(), "A correction")
        return corrected(line, given)


def corrected(line: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A line of results with a correction in its place; as it was where that changes nothing."""
    changed = {
        name: given[name]
        for name in ("text", "detections")
        if name in given and given[name] != line[name]
    }
    return {**line, **changed, **({"is_corrected": True} if changed else {})}


def _labelled(name: str, lines: list[dict[str, Any]]) -> Labelled:
    try:
        width, height = lines[0]["width"], lines[0]["height"]
        return Labelled(name, width, height, tuple(answered(each) for each in lines))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The results of {name} are damaged: {error}.", "Take its lines out."
        ) from None


def answered(line: Mapping[str, Any]) -> Answered:
    """What a line of results says; KeyError, TypeError or ValueError where it is none."""
    names = asked(line["prompt"])
    unnamed = names[0] if len(names) == 1 else UNNAMED
    size = (line["width"], line["height"])
    objects = distinct([_found(each, unnamed, *size) for each in line["detections"]])
    if not isinstance(line["text"], str):
        raise TypeError("a text that is none")
    return Answered(line["prompt"], line["text"], objects, line)


def _found(given: Mapping[str, Any], unnamed: str, width: int, height: int) -> Found:
    x_min, y_min, x_max, y_max = (float(edge) for edge in given["box_xyxy_px"])
    inside = 0 <= x_min <= x_max <= width and 0 <= y_min <= y_max <= height
    if not (inside and all(map(math.isfinite, (x_min, y_min, x_max, y_max)))):
        raise ValueError(f"the box {given['box_xyxy_px']} is none within {width} × {height}")
    mask = given.get("mask")
    if mask is not None and list(mask["size"]) != [height, width]:
        raise ValueError("a mask is of another size")
    label = " ".join(_CONTROLS.sub(" ", str(given["label"])).split())
    return Found(label or unnamed, (x_min, y_min, x_max, y_max), given.get("confidence"), mask)


def asked(prompt: str) -> list[str]:
    """The names of objects that a prompt asks for."""
    objects = grammar.parse(prompt).objects.replace(",", ";")
    names = (" ".join(name.split()) for name in objects.split(";"))
    return list(dict.fromkeys(name for name in names if name))
