"""What the commands of this package have in common: their options, and where a table goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data import documents
from evaluation.report.machine import about
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.catalog.model_key import ModelKey
from models.loading.device import best_device
from models.loading.loader import LoadedModel, Loader
from training.nano.scenes.scene import Scene, draw


@dataclass(frozen=True)
class Given:
    """A nano in float32, how many scenes it is to be asked about, and documents for the table."""

    checkpoint: Checkpoint
    loaded: LoadedModel
    scenes: int
    documents: tuple[Path, ...]
    command: str

    def draw(self, first_seed: int) -> Iterator[Scene]:
        """The scenes, in the checkpoint's resolution."""
        for number in range(self.scenes):
            yield draw(first_seed + number, self.checkpoint.resolution)

    def write(self, what: str, asked: str, tables: str) -> None:
        """Print tables after a line that says of what they are, and put both between the marks of
        the documents."""
        text = f"{self.checkpoint.name}, {asked}, fp32; `{self.command}`:\n\n{tables}"
        print(text)
        for document in self.documents:
            documents.write(document, {f"{what} {self.checkpoint.name}": text})


def read(name: str, doc: str, arguments: Sequence[str] | None, scenes: int) -> Given:
    """The options of the module `name`, with its checkpoint loaded; `scenes` is the default."""
    parser = argparse.ArgumentParser(prog=name, description=doc.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224")
    parser.add_argument("--scenes", type=int, default=scenes)
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args(arguments)
    checkpoint = Catalog().find(options.checkpoint)
    given = sys.argv[1:] if arguments is None else arguments
    return Given(
        checkpoint,
        Loader(best_device()).load(ModelKey(checkpoint, "fp32")),
        options.scenes,
        tuple(options.write),
        about(name, given)["command"],
    )
