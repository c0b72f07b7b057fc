"""The results of a run as rows that grow while it goes on: looked through, shown, put right.

A row is a picture with a prompt, a line of `RUN/results.jsonl`; rows are numbered from 0. Held in
memory is of each where it lies, its labels and how sure they are. `data.run_results` reads the same
files for exports.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.run_results import Answered, Found, answered, asked, corrected
from data.runs import CORRECTIONS, RESULTS, parse_line, read_settings
from models.results import json_line
from models.schema import UserError, quoted

MAX_TEXT_CHARACTERS = 20_000
MAX_OBJECTS = 1000
MAX_LABEL_CHARACTERS = 200
SAME_EDGE_PX = 0.011  # edges are written with two decimals
KINDS = ("failed", "corrected", "untouched", "empty")

_BREAKS_LABELS = re.compile("[;<\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Sought:
    """Which rows are looked for: those with an object of this label ("" is any) whose confidence
    is `low` to `high`, and of a kind of KINDS ("" is any). Objects count only where a label or an
    end of the range is given; one without a confidence is in no narrower range."""

    label: str = ""
    low: float = 0.0
    high: float = 1.0
    kind: str = ""

    @property
    def is_about_objects(self) -> bool:
        """Whether rows without objects cannot be meant."""
        return bool(self.label) or self.low > 0 or self.high < 1


@dataclass(frozen=True)
class Row:
    """A row: `line` has the error or the result, with its correction; `answer` is what it says,
    None where it is an error."""

    number: int
    line: Mapping[str, Any]
    answer: Answered | None

    @property
    def is_corrected(self) -> bool:
        """Whether it differs from what was answered."""
        return bool(self.line.get("is_corrected"))


@dataclass(slots=True)
class _Entry:
    """What is known of a row without reading it: places in both files, and what is looked for."""

    place: int
    failed: bool
    objects: tuple[tuple[str, float | None], ...]
    correction: int | None = None
    is_corrected: bool = False

    def fits(self, sought: Sought) -> bool:
        if sought.kind == "failed" and not self.failed:
            return False
        if sought.kind == "corrected" and not self.is_corrected:
            return False
        if sought.kind == "untouched" and (self.is_corrected or self.failed):
            return False
        if sought.kind == "empty" and (self.objects or self.failed):
            return False
        return not sought.is_about_objects or any(
            (not sought.label or label == sought.label)
            and (
                (sought.low <= 0 and sought.high >= 1)
                if sure is None
                else sought.low <= sure <= sought.high
            )
            for label, sure in self.objects
        )


class RunRows:
    """The rows of a run so far, for any thread. UserError where the folder has no run."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.RLock()
        self._entries: list[_Entry] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._labels: dict[str, int] = {}  # each with how many objects it has
        for prompt in read_settings(folder)["prompts"]:
            self._labels.update(dict.fromkeys(asked(prompt), 0))
        self._read_to = {RESULTS: 0, CORRECTIONS: 0}  # bytes
        self.failed = self.corrected = 0
        self._failed_pictures: set[str] = set()
        self.refresh()

    def refresh(self) -> None:
        """Read what came meanwhile."""
        with self._lock:
            for place, line in self._new_lines(RESULTS):
                self._numbers[line["image"], line["prompt"]] = len(self._entries)
                entry = _Entry(place, "error" in line, ())
                self._entries.append(entry)
                self.failed += entry.failed
                if entry.failed:
                    self._failed_pictures.add(line["image"])
                else:
                    self._set_objects(entry, _answer(line))
            for place, given in self._new_lines(CORRECTIONS):
                number = self._numbers.get((given["image"], given["prompt"]))
                if number is not None:
                    self._entries[number].correction = place
                    self._take(number)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def failed_pictures(self) -> int:
        """How many pictures have a row that is an error."""
        return len(self._failed_pictures)

    @property
    def labels(self) -> dict[str, int]:
        """The names of objects, those that were asked for first, with how many there are."""
        with self._lock:
            return dict(self._labels)

    def find(self, sought: Sought) -> list[int]:
        """The numbers of the rows that are looked for, in order."""
        with self._lock:
            return [number for number, each in enumerate(self._entries) if each.fits(sought)]

    def read(self, number: int) -> Row:
        """A row; UserError where there is none of that number."""
        with self._lock:
            if not 0 <= number < len(self._entries):
                raise UserError(f"There is no row {number}.", "Load the page again.")
            line = self._shown(self._entries[number])
        return Row(number, line, None if "error" in line else _answer(line))

    def correct(
        self,
        number: int,
        text: str | None = None,
        objects: Sequence[Mapping[str, Any]] | None = None,
        is_as_answered: bool = False,
    ) -> Row:
        """Put a row right: its text, or its objects, each with `label` and `box_xyxy_px`; or take
        back all that was put right before.

        An object whose box is one of the answer's keeps its mask, and its confidence too where the
        label is as it was. UserError naming what cannot be; nothing is written then.
        """
        with self._lock:
            row = self.read(number)
            if row.answer is None:
                raise UserError("This row has no answer to correct.", "See its error.")
            entry = self._entries[number]
            original = self._line(RESULTS, entry.place)
            given = {"image": original["image"], "prompt": original["prompt"]}
            if entry.correction is not None:
                given = self._line(CORRECTIONS, entry.correction)
            if is_as_answered:
                given |= {name: original[name] for name in ("text", "detections")}
            if text is not None:
                given["text"] = _checked_text(text)
            if objects is not None:
                given["detections"] = _checked_objects(objects, original)
            try:
                answered(corrected(original, given))
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"The correction cannot be used: {error}.", "Undo it.") from None
            entry.correction = self._write(given)
            self._take(number)
            return self.read(number)

    def _write(self, given: Mapping[str, Any]) -> int:
        """Add a correction; the byte that it begins at."""
        try:
            with (self._folder / CORRECTIONS).open("ab") as file:
                place = file.tell()
                file.write(json_line(given).encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
                self._read_to[CORRECTIONS] = file.tell()
        except OSError as error:
            raise UserError(
                f"The correction could not be kept: {error.strerror or error}.", "Try again."
            ) from None
        return place

    def _take(self, number: int) -> None:
        """Look at a row again after its correction changed."""
        entry = self._entries[number]
        line = self._shown(entry)
        is_corrected = bool(line.get("is_corrected"))
        self.corrected += is_corrected - entry.is_corrected
        entry.is_corrected = is_corrected
        self._set_objects(entry, _answer(line))

    def _set_objects(self, entry: _Entry, answer: Answered) -> None:
        for label, _ in entry.objects:
            self._labels[label] -= 1
        entry.objects = tuple((each.label, each.confidence) for each in answer.objects)
        for label, _ in entry.objects:
            self._labels[label] = self._labels.get(label, 0) + 1

    def _shown(self, entry: _Entry) -> dict[str, Any]:
        line = self._line(RESULTS, entry.place)
        if entry.correction is None or entry.failed:
            return line
        return corrected(line, self._line(CORRECTIONS, entry.correction))

    def _line(self, name: str, place: int) -> dict[str, Any]:
        with (self._folder / name).open("rb") as file:
            file.seek(place)
            return parse_line(file.readline(), "A line")

    def _new_lines(self, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """The whole lines that were not read yet, each with the byte that it begins at."""
        try:
            file = (self._folder / name).open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._read_to[name])
            for text in file:
                if not text.endswith(b"\n"):
                    return
                place = self._read_to[name]
                self._read_to[name] += len(text)
                yield place, parse_line(text, f"A line of {name}")


def _answer(line: Mapping[str, Any]) -> Answered:
    try:
        return answered(line)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"The results of {line['image']} are damaged: {error}.", "Take its lines out."
        ) from None


def _checked_text(text: Any) -> str:
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        raise UserError(
            "The text is too long or none.", f"Use at most {MAX_TEXT_CHARACTERS} characters."
        )
    return text


def _checked_objects(given: Any, original: Mapping[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(given, list) or len(given) > MAX_OBJECTS:
        raise UserError("The objects are no list.", f"Send a list of at most {MAX_OBJECTS}.")
    said = answered(original).objects
    return [_checked_object(each, said, original) for each in given]


def _checked_object(
    given: Any, said: Sequence[Found], original: Mapping[str, Any]
) -> dict[str, Any]:
    """An object as it is kept; UserError where its label or its box cannot be."""
    if not isinstance(given, Mapping) or not isinstance(given.get("label"), str):
        raise UserError("An object has no label.", "Give it one.")
    label = " ".join(given["label"].split())
    if not label or len(label) > MAX_LABEL_CHARACTERS or _BREAKS_LABELS.search(label):
        raise UserError(
            f"{quoted(label)} cannot be a label.",
            f"Use 1 to {MAX_LABEL_CHARACTERS} characters, without ; and <.",
        )
    box = _checked_edges(given.get("box_xyxy_px"), original["width"], original["height"])
    same = [each for each in said if _is_same(each.box_xyxy_px, box)]
    alike = [each for each in same if each.label == label]
    kept = next(iter(alike or same), None)
    if kept is None:
        if not (box[2] - box[0] >= 1 and box[3] - box[1] >= 1):
            raise UserError(
                f"The box {box} encloses no pixel.", "Left is below right, and top below bottom."
            )
        return {"label": label, "box_xyxy_px": box, "confidence": None, "mask": None}
    return {
        "label": label,
        "box_xyxy_px": list(kept.box_xyxy_px),
        "confidence": kept.confidence if alike else None,
        "mask": kept.rle,
    }


def _checked_edges(given: Any, width: int, height: int) -> list[float]:
    """The four edges, two decimals, within the picture; UserError where they are none."""
    is_box = isinstance(given, list) and len(given) == 4
    if not is_box or not all(
        isinstance(edge, int | float) and not isinstance(edge, bool) for edge in given
    ):
        raise UserError("A box has no four edges.", "Give left, top, right and bottom in pixels.")
    return [
        round(min(max(float(edge), 0.0), float(limit)), 2)
        for edge, limit in zip(given, (width, height, width, height), strict=True)
    ]


def _is_same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < SAME_EDGE_PX for a, b in zip(one, other, strict=True))
