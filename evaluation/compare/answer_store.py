"""Answers stored in a folder, so that a long run that was stopped goes on where it was.

What was asked of which weights is the name of a file: whatever changes, pictures, prompts or
weights, is asked anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class AnswerPart:
    """One object's part of a `detect` or `segment` answer; `score` in (0, 1] is the geometric mean
    of its tokens' probabilities."""

    text: str
    score: float


@dataclass(frozen=True)
class Answer:
    """What a model said; `finished` is False where it was cut off at the token limit."""

    text: str
    parts: tuple[AnswerPart, ...]
    finished: bool


@dataclass(frozen=True)
class AnswerStore:
    """Answers in `folder`, nowhere where that is None; `system` tells a system from others."""

    folder: Path | None
    system: str = ""

    def answers(
        self,
        images: Sequence[Image.Image],
        prompts: Iterable[object],
        ask: Callable[[], list[Answer]],
    ) -> list[Answer]:
        """The answers to `prompts` about `images`: stored ones, or else those of `ask`."""
        if self.folder is None:
            return ask()
        key = hashlib.sha256(self.system.encode())
        for image in images:
            key.update(f"{image.mode} {image.size}".encode())
            key.update(image.tobytes())
        key.update(repr(list(prompts)).encode())
        file = self.folder / f"{key.hexdigest()[:24]}.json"
        stored = _read(file)
        if stored is not None:
            return stored
        answers = ask()
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps([asdict(each) for each in answers]), "utf-8")
        aside.replace(file)
        return answers


def digest_of_files(files: Iterable[Path]) -> str:
    """A name for exactly these contents, whatever folder they are in."""
    found = hashlib.sha256()
    for file in sorted(files, key=lambda each: each.name):
        found.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                found.update(block)
    return found.hexdigest()


def _read(file: Path) -> list[Answer] | None:
    """The answers of a file; None where there is none or only a part of it."""
    try:
        return [_answer(each) for each in json.loads(file.read_text("utf-8"))]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _answer(entry: dict) -> Answer:
    parts = tuple(AnswerPart(**part) for part in entry["parts"])
    return Answer(entry["text"], parts, entry["finished"])
