"""Which weights in which form: what a loaded model is known by."""

from __future__ import annotations

from dataclasses import dataclass

from models.catalog.checkpoints import Checkpoint


@dataclass(frozen=True)
class ModelKey:
    """A checkpoint in a precision of PRECISIONS; "auto" has been resolved by then."""

    checkpoint: Checkpoint
    precision: str

    def __str__(self) -> str:
        return f"{self.checkpoint.name} in {self.precision}"
