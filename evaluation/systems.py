"""What is compared: a checkpoint, an adapter and a precision; and the answers of one to items.

A system is written `CHECKPOINT[+ADAPTER][@PRECISION]`, such as `nano-224`, `nano-224+easy-vqa` or
`nano-224+easy-vqa@nf4`. Both may be folders: `nano-224+runs/mine/adapter`, and, as in a
deployment's list, `runs/full/model=nano-224`. Requests go through the engine, many at a time.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from PIL import Image

from evaluation.kept import Kept
from evaluation.predict import Answer, Piece
from models import adapters, catalog, deployment, lora
from models.loader import Loader
from models.prompts import default_max_new_tokens, parse, yields_boxes
from models.schema import Decoding, Request, TokenEvent, UserError
from models.service import LocalBackend
from models.tokens import parse_detections
from training.items import Item

AT_ONCE = 16  # requests that wait or run; the engine takes as many rows as suit the device
CHUNK = 256  # items that are kept together
PATIENCE_S = 3600.0  # the longest there is


@dataclass(frozen=True)
class System:
    """Names of the catalog, of the checkpoint's adapters and of precisions."""

    checkpoint: str
    adapter: str | None
    precision: str

    @property
    def label(self) -> str:
        """As it is written, with names in place of folders."""
        adapter = f"+{self.adapter}" if self.adapter else ""
        precision = "" if self.precision == "auto" else f"@{self.precision}"
        return self.checkpoint + adapter + precision


def parse_systems(told: Sequence[str]) -> list[System]:
    """Systems as they are written; UserError naming what does not exist.

    Folders among them are added to the deployment of this process.
    """
    parts = [_parts(each) for each in told]
    _deploy(parts)
    systems = []
    for checkpoint, adapter, precision in parts:
        source = checkpoint.rpartition("=")[0]
        name = catalog.find(_name(source) if source else checkpoint).name
        known = _name(adapter) if _is_folder(adapter) else adapter
        if known:
            adapters.check_name(name, known)
        if _is_folder(adapter) and adapters.fetch(name, known) != Path(adapter).resolve():
            raise UserError(
                f"{name} has two adapters {known!r}.", "Call the folder of one of them otherwise."
            )
        catalog.check_precision(precision)
        systems.append(System(name, known or None, precision))
    return systems


def _parts(told: str) -> tuple[str, str, str]:
    rest, _, precision = told.partition("@")
    checkpoint, _, adapter = rest.partition("+")
    return checkpoint, adapter, precision or "auto"


def _is_folder(place: str) -> bool:
    return bool(place) and Path(place).is_dir()


def _name(folder: str) -> str:
    return deployment.folder_name(Path(folder).resolve())


def _deploy(parts: Sequence[tuple[str, str, str]]) -> None:
    """Let the catalog know the folders among systems, as a deployment's variables would."""
    checkpoints, own = [], []
    for checkpoint, adapter, _ in parts:
        source, _, like = checkpoint.rpartition("=")
        if source:
            checkpoints.append(f"{Path(source).resolve()}={like}")
        if adapter and _is_folder(adapter):
            own.append(f"{Path(adapter).resolve()}={_name(source) if source else checkpoint}")
    for variable, entries in (
        (deployment.CHECKPOINTS, checkpoints),
        (deployment.ADAPTERS, own),
    ):
        given = [each for each in os.environ.get(variable, "").split("\n") if each]
        os.environ[variable] = "\n".join(dict.fromkeys([*given, *entries]))
    deployment.current.cache_clear()


def answers(system: System, items: Sequence[Item], folder: Path | None) -> list[Answer]:
    """Greedy answers in the order of `items`; those kept in `folder` are not asked again."""
    kept = Kept(folder, _digest(system) if folder else "")
    found: list[Answer] = []
    backend = LocalBackend()
    began, asked = time.monotonic(), 0
    try:
        for start in range(0, len(items), CHUNK):
            some = [items[i] for i in range(start, min(start + CHUNK, len(items)))]
            pictures = [item.open() for item in some]
            prefixes = [item.prefix for item in some]
            ask = _Asking(backend, system)
            found += kept.answers(pictures, prefixes, partial(ask.all, pictures, prefixes))
            asked += ask.asked
            left = (time.monotonic() - began) / max(asked, 1) * (len(items) - len(found))
            print(
                f"\r{system.label}: {len(found)}/{len(items)}, {left / 60:.0f} min left ",
                end="",
                file=sys.stderr,
                flush=True,
            )
    finally:
        backend.close()
    print(file=sys.stderr)
    return found


@dataclass
class _Asking:
    """Puts requests to a backend and counts them."""

    backend: LocalBackend
    system: System
    asked: int = 0

    def all(self, pictures: Sequence[Image.Image], prefixes: Sequence[str]) -> list[Answer]:
        """The answers in order."""
        self.asked += len(prefixes)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.one, pictures, prefixes))

    def one(self, picture: Image.Image, prefix: str) -> Answer:
        """One answer, with a score for each object where the task names some."""
        task, checkpoint = parse(prefix).task, catalog.find(self.system.checkpoint)
        is_scored = yields_boxes(task)
        request = Request(
            picture,
            prefix,
            self.system.checkpoint,
            self.system.precision,
            self.system.adapter,
            Decoding(default_max_new_tokens(task, checkpoint.variant), logprobs=is_scored),
            deadline_s=PATIENCE_S,
        )
        tokens: list[TokenEvent] = []
        for event in self.backend.answer(request):
            if isinstance(event, TokenEvent):
                tokens.append(event)
        pieces = tuple(_pieces(tokens)) if is_scored else ()
        return Answer(event.text, pieces, event.finish_reason == "eos")


def _pieces(tokens: Sequence[TokenEvent]) -> Iterator[Piece]:
    """The answer cut before the first `<loc>` of every object, with the mean of its tokens' log
    probabilities as score, as `evaluation.predict` has it."""
    starts = [
        i
        for i, token in enumerate(tokens)
        if token.piece.lstrip().startswith("<loc") and (i == 0 or "<" not in tokens[i - 1].piece)
    ]
    for start, stop in pairwise([*starts, len(tokens)]):
        text = "".join(token.piece for token in tokens[start:stop]).strip(" ;")
        logs = [token.logprob for token in tokens[start:stop]]
        if parse_detections(text).objects or parse_detections(text).invalid:
            yield Piece(text, math.exp(sum(logs) / len(logs)))


def _digest(system: System) -> str:
    """A name for exactly these weights in this precision."""
    found = hashlib.sha256(system.precision.encode())
    folder, _ = Loader().fetch(system.checkpoint)
    files = sorted(folder.glob("*.safetensors"))
    if system.adapter:
        place = adapters.fetch(system.checkpoint, system.adapter)
        files += [place / each for each in lora.FILES]
    for file in files:
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()
