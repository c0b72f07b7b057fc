"""Makes nano from nothing: art, mask codec, both checkpoints, examples and tables.

    python -m training.nano.make                                   # hours on two cores
    python -m training.nano.make --short --work build/short --out build/short   # minutes

Runs the commands of this folder and of `evaluation` one after the other. A step that is done leaves
a mark in the work folder and is not run again; one that was stopped goes on where it stopped. The
short run takes the art that is committed, trains a little, and measures what came of it: it is for
trying that everything works, and its checkpoints know next to nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.loading.loader import CODEC_FILE
from training.nano.checkpoint import HEADS_FILE

SIZES = (224, 448)


@dataclass(frozen=True)
class Step:
    """A module to run with its arguments; `name` is that of its mark."""

    name: str
    module: str
    arguments: tuple[str, ...]

    def run(self, work: Path) -> None:
        """Runs it unless its mark is there; CalledProcessError where it fails."""
        mark = work / f"{self.name}.done"
        if mark.exists():
            return
        print(f"== {self.name}: {self.module} {' '.join(self.arguments)}", flush=True)
        subprocess.run([sys.executable, "-m", self.module, *self.arguments], check=True)
        mark.touch()


# Steps of each stage, by resolution; what a short run takes instead, with its scenes a step.
TRAINED = {
    224: {"look": 4000, "answer": 3000, "finish": 1100, "freeze": 1200},
    448: {"look": 600, "answer": 600, "finish": 1000, "freeze": 100},
}
TRIED = {
    224: {"look": 40, "answer": 20, "finish": 2, "freeze": 10},
    448: {"look": 2, "answer": 1, "finish": 2, "freeze": 0},
}
BATCHES = {224: (32, 16, 16), 448: (16, 8, 8)}
TRIED_BATCHES = {224: (12, 4, 4), 448: (2, 1, 1)}
TRIED_SCENES = {224: 3, 448: 1}  # for the scores
DOCUMENTED = (224, 448)  # sizes that are shipped, with marks for their tables in card and docs
FINE_SHARE = 0.5  # of the scenes at 448 pixels that are not of the wide world
WIDE_SHARE = 0.6
TRIED_WIDE_SHARE = {224: 0.0, 448: WIDE_SHARE}  # so few scenes teach only the narrow world


def steps(work: Path, out: Path, short: bool) -> list[Step]:
    """All steps in order, for checkpoints in folders of `out`."""
    codec = out / CODEC_FILE
    art = [] if short else [Step("art", "training.nano.scenes.art", ())]
    outlines = ("--steps", "6" if short else "2000", "--out", str(codec))
    found = [*art, Step("codec", "training.nano.codec.train", outlines)]
    found += [
        Step(f"nano-{size}", "training.nano.build", tuple(build(work, out, codec, size, short)))
        for size in SIZES
    ]
    if not short:
        found.append(Step("examples", "evaluation.nano.examples", ()))
    for size in SIZES:
        found += measure(work, out, size, short)
    return found


def build(work: Path, out: Path, codec: Path, size: int, short: bool) -> list[str]:
    """The arguments of `training.nano.build` for a size; each goes on from the one before."""
    given = ["--work", str(work / f"nano-{size}"), "--out", str(out / f"nano-{size}")]
    wide = TRIED_WIDE_SHARE[size] if short else WIDE_SHARE
    given += ["--codec", str(codec), "--resolution", str(size), "--wide-share", str(wide)]
    for stage, count in (TRIED if short else TRAINED)[size].items():
        given += [f"--{stage}-steps", str(count)]
    if size != SIZES[0]:
        given += ["--init", str(out / f"nano-{SIZES[0]}"), "--fine-share", str(FINE_SHARE)]
        given += ["--heads", str(work / f"nano-{SIZES[0]}" / HEADS_FILE)]
    batches = (TRIED_BATCHES if short else BATCHES)[size]
    for stage, scenes in zip(("look", "answer", "finish"), batches, strict=True):
        given += [f"--{stage}-batch", str(scenes)]
    return [*given, "--corpus", "200"] if short else given


def measure(work: Path, out: Path, size: int, short: bool) -> list[Step]:
    """Scores of a size; a full run also puts those of a shipped one into the documents."""
    folder, scores = out / f"nano-{size}", str(work / f"nano-{size}.json")
    given = ["--checkpoint", str(folder), "--json", scores]
    if short:
        scenes = ("--scenes", str(TRIED_SCENES[size]))
        return [Step(f"scores-{size}", "evaluation.evaluate", (*given, *scenes))]
    given += ["--unseen", "300", "--fine", "500", "--bare", "100"]
    if size not in DOCUMENTED:
        return [Step(f"scores-{size}", "evaluation.evaluate", tuple(given))]
    card = str(folder / "README.md")
    given += ["--write", card, "docs/quality.md"]
    shown = (scores, "--picture", str(folder / "failures.webp"), "--write", card)
    return [
        Step(f"scores-{size}", "evaluation.evaluate", tuple(given)),
        Step(f"failures-{size}", "evaluation.nano.failures", shown),
    ]


def main(given: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/nano"), help="states and marks")
    parser.add_argument(
        "--out", type=Path, default=Path("checkpoints"), help="the checkpoints' folder"
    )
    parser.add_argument("--short", action="store_true", help="minutes, to see that all of it works")
    options = parser.parse_args(given)
    options.work.mkdir(parents=True, exist_ok=True)
    for step in steps(options.work, options.out, options.short):
        step.run(options.work)


if __name__ == "__main__":
    main()
