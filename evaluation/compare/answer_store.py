"""Answers kept in a folder, so that a long run that was stopped goes on where it was.

What was asked of which weights is the name of a file: whatever changes, pictures, prompts or
weights, is asked anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from evaluation.nano.predict import Answer, Piece

_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Kept:
    """Answers of one model in `folder`, nowhere where that is None; `of` tells it from others."""

    folder: Path | None
    of: str = ""

    def answers(
        self,
        images: Sequence[Image.Image],
        prompts: Iterable[object],
        make: Callable[[], list[Answer]],
    ) -> list[Answer]:
        """The answers to `prompts` about `images`: those kept, or else what `make` gives."""
        if self.folder is None:
            return make()
        asked = hashlib.sha256(self.of.encode())
        for image in images:
            asked.update(image.tobytes())
        asked.update(repr(list(prompts)).encode())
        file = self.folder / f"{asked.hexdigest()[:24]}.json"
        kept = _kept(file)
        if kept is not None:
            return kept
        answers = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps([asdict(each) for each in answers]), "utf-8")
        aside.replace(file)
        return answers


def _kept(file: Path) -> list[Answer] | None:
    """The answers of a file; None where there is none or only a part of it."""
    try:
        return [_read(each) for each in json.loads(file.read_text("utf-8"))]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def digest(model: nn.Module) -> str:
    """A name for exactly these weights."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        found.update(flat.view(torch.uint8).numpy())
    return found.hexdigest()


def digest_of_files(files: Iterable[Path]) -> str:
    """A name for exactly these contents, whatever folder they are in."""
    found = hashlib.sha256()
    for file in sorted(files, key=lambda each: each.name):
        found.update(f"{file.name} {file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while block := content.read(_BLOCK_BYTES):
                found.update(block)
    return found.hexdigest()


def _read(entry: dict) -> Answer:
    pieces = tuple(Piece(**piece) for piece in entry["pieces"])
    return Answer(entry["text"], pieces, entry["finished"])
