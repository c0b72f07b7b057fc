"""Fine-tunes on drawn shapes with and without questions about absent kinds, and compares both.

    python -m evaluation.absent --out build/absent
    python -m evaluation.absent --out build/absent --checkpoint nano-448 --steps 600

Draws pictures of three shapes that nano has no word for, a quarter of them empty, makes two LoRAs,
`--negatives 0` and the default, and asks both about pictures that they never saw: for every kind,
there or not, in pictures that have one, and for every kind in empty pictures. A run that was
stopped goes on. The two LoRAs take most of the time. Both make as many steps; questions about one
picture share a row, so that only those about empty pictures take steps from the others.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data import documents
from data.items import NOTHING
from data.sources import MOST_NEGATIVES, Source
from evaluation.absent import shapes
from evaluation.compare import systems
from evaluation.compare.cli import render
from evaluation.compare.comparison import compare
from evaluation.report import machine
from models.catalog.catalog import Catalog
from models.schema import UserError
from training.finetune.cli import finetune
from training.finetune.options import Options

NAME = "evaluation.absent"
MARK = "absent kinds"  # of the table in a document
MEASURES = ("ap", "absent", "senseless")
IN_EMPTY = "absent kinds boxed, of empty pictures"
TRAIN_SEED, TEST_SEED, EMPTY_SEED = 1, 2, 3
MOST_OF_A_PICTURE = 16  # questions in a row


def measure(
    out: Path, checkpoint: str, train: int, test: int, steps: int, catalog: Catalog
) -> dict:
    """What both fine-tunes score, as `evaluation.compare.comparison.compare` gives it.

    `train` and `test` are numbers of pictures, and a sixth of `test` further ones are empty; all
    files go into the folder `out`.
    """
    taught = shapes.write(out / "train", train, TRAIN_SEED)
    asked = shapes.write(out / "test", test, TEST_SEED, empty=0.0)
    wanted = []
    for name, negatives in (("without", 0.0), ("with", None)):
        options = Options(
            checkpoint=checkpoint,
            data=str(taught),
            task="detect",
            negatives=negatives,
            max_steps=steps,
            pack=MOST_OF_A_PICTURE,
            out=str(out / name),
        )
        adapter = finetune(options, catalog)
        wanted.append(systems.parse(f"{checkpoint}+{adapter}"))
    every = Source(str(asked), task="detect", negatives=MOST_NEGATIVES)
    found = compare(wanted, every, catalog, MEASURES, out / "answers")
    nothing = Source(str(_empty(out / "empty", math.ceil(test / 6))))
    of_empty = compare(wanted, nothing, catalog, ["absent"], out / "answers")
    for system, other in zip(found["systems"], of_empty["systems"], strict=True):
        system["rows"] += [row | {"measure": IN_EMPTY} for row in other["rows"]]
    return found


def _empty(folder: Path, count: int) -> Path:
    """Questions for every kind about `count` empty pictures, which no COCO file could ask for."""
    shapes.write(folder, count, EMPTY_SEED, empty=1.0)
    file = folder / "nothing.jsonl"
    lines = (
        {"image": f"{number}.png", "prefix": f"detect {kind}", "suffix": NOTHING}
        for number in range(count)
        for kind in shapes.KINDS
    )
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def main(given: Sequence[str] | None = None) -> int:
    """Command line; 2 where something is wrong with the arguments or the checkpoint."""
    given = sys.argv[1:] if given is None else list(given)
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="a folder for pictures, adapters and answers")
    add("--checkpoint", default="nano-224", help="a name of the catalog")
    add("--train", type=int, default=360, help="pictures to learn from")
    add("--test", type=int, default=90, help="pictures to be asked about")
    add("--steps", type=int, default=300, help="of each fine-tune")
    add("--write", type=Path, help=f"a document with the marks of a table: {MARK}")
    options = parser.parse_args(given)
    if options.write and not documents.has_marks(options.write, [MARK]):
        print(
            f"{options.write} has no place for the table. Write <!-- {MARK} -->.", file=sys.stderr
        )
        return 2
    try:
        scores = measure(
            options.out,
            options.checkpoint,
            options.train,
            options.test,
            options.steps,
            Catalog.from_environment(os.environ),
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    record = {"machine": machine.about(NAME, given), **scores}
    print(render(record, markdown=False))
    if options.write:
        documents.write(options.write, {MARK: render(record, markdown=True)})
    return 0
