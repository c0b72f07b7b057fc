"""LoRA adapters as choices: the checkpoint that each is for, and where its files are.

This module opens no adapter and knows neither torch nor the network.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from models.catalog.checkpoints import Checkpoint

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """An adapter of the checkpoint named `checkpoint`: on the Hub (`hub_id`, at `revision` or the
    newest) or in a folder (`path`), never both.

    `is_visitors` says that a visitor named it: it is read as the public reads it, and looked at
    before it is downloaded.
    """

    name: str
    checkpoint: str
    hub_id: str | None = None
    revision: str | None = None
    path: Path | None = None
    is_visitors: bool = False

    def has_files_of(self, other: Adapter) -> bool:
        """Whether two adapters are the same files, whatever they are called."""
        if self.path is None or other.path is None:
            mine, theirs = (self.hub_id, self.revision), (other.hub_id, other.revision)
            return self.path == other.path and mine == theirs
        return self.path.resolve() == other.path.resolve()


# The adapter of the announcement names another base in its own configuration; this one is meant.
ANNOUNCED = Adapter("merve/paligemma2-3b-vqav2", "3b-pt-448", hub_id="merve/paligemma2-3b-vqav2")


def shipped_with(checkpoint: Checkpoint) -> tuple[Adapter, ...]:
    """The adapters in the folder `adapters` of a local checkpoint, by name."""
    root = checkpoint.path / "adapters" if checkpoint.path else None
    folders = sorted(root.iterdir()) if root and root.is_dir() else []
    return tuple(
        Adapter(_composed(each.name), checkpoint.name, path=each)
        for each in folders
        if (each / CONFIG).is_file() and each.name.isprintable()
    )


def _composed(name: str) -> str:
    """A name with each accented letter as one character, as people type it; macOS takes letter and
    accent apart."""
    return unicodedata.normalize("NFC", name)
