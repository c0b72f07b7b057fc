"""A file of captions through the command line, beside plain `generate` in batches, in one run.

The command line's real path is measured, from a request's line and a picture's file to an
answer's line; the models of both are loaded before. Halves are asked in turn, ours first and then
last, so that a machine that gets slower in between favours neither.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from evaluation.speed.implementations import Implementation, in_own_thread
from evaluation.speed.stopwatch import stopwatch
from models.catalog.checkpoints import Checkpoint
from models.generate.cli import main as command_line
from models.serving.backend import Backend
from training.nano.scenes.scene import HELD_OUT, draw

PROMPT = "caption en"
BATCH = 16  # pictures that plain `generate` gets at once
FIRST_SCENE = HELD_OUT + 20_000


def compare_lines(
    backend: Backend, other: Implementation, checkpoint: Checkpoint, count: int
) -> dict[str, Any]:
    """Seconds of both for `count` captions of different scenes, and how many texts are the same."""
    with tempfile.TemporaryDirectory() as name:
        files = []
        for number in range(count):
            files.append(Path(name) / f"{number}.png")
            draw(FIRST_SCENE + number, checkpoint.resolution).image.save(files[-1])
        halves = files[: count // 2], files[count // 2 :]
        texts: dict[str, list[str]] = {"ours": [], "plain": []}
        seconds = {"ours": 0.0, "plain": 0.0}
        for half, order in zip(halves, (("ours", "plain"), ("plain", "ours")), strict=True):
            for which in order:
                clock = stopwatch()
                if which == "ours":
                    texts[which] += _by_lines(backend, checkpoint.name, half)
                else:
                    texts[which] += in_own_thread(partial(_by_batches, other, half))
                seconds[which] += clock()
    same = sum(a == b for a, b in zip(texts["ours"], texts["plain"], strict=True))
    return {"captions": count, "ours_s": seconds["ours"], "plain_s": seconds["plain"], "same": same}


def note(found: dict[str, Any]) -> str:
    """A sentence for a document."""
    ours, plain = (found["captions"] / found[which] for which in ("ours_s", "plain_s"))
    return (
        f"{found['captions']} captions by `python -m models.generate --jsonl`: {ours:.1f} pictures "
        f"a second, {ours / plain:.2f} × plain `generate` in batches of {BATCH} ({plain:.1f}), "
        f"same text in {found['same']}."
    )


def _by_lines(backend: Backend, checkpoint: str, files: Sequence[Path]) -> list[str]:
    requests = files[0].with_name("requests.jsonl")
    lines = (json.dumps({"image": str(file), "prompt": PROMPT}) for file in files)
    requests.write_text("\n".join(lines) + "\n", "utf-8")
    written = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(written, "utf-8", write_through=True)) as out:
        code = command_line(["--jsonl", str(requests), "--checkpoint", checkpoint], backend)
        out.flush()
        answers = written.getvalue().decode("utf-8").splitlines()
    if code:
        raise RuntimeError(f"the command line ended with {code}")
    return [json.loads(line)["text"].strip() for line in answers]


def _by_batches(other: Implementation, files: Sequence[Path]) -> list[str]:
    if other.answer_batch is None:
        raise ValueError(f"{other.name} has no batches")
    texts: list[str] = []
    for start in range(0, len(files), BATCH):
        images = []
        for file in files[start : start + BATCH]:
            with Image.open(file) as image:
                images.append(image.convert("RGB"))
        texts += other.answer_batch(images, [PROMPT] * len(images))
    return texts
