"""What the owner of a deployment decides about the tab "Batch", from the environment.

- `PALIGEMMA_BATCH_PICTURES`: how many pictures a run may have; 0 leaves the tab out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.limits import MAX_BATCH_PICTURES
from models.schema import UserError

PICTURES = "PALIGEMMA_BATCH_PICTURES"


@dataclass(frozen=True)
class BatchSettings:
    """`pictures` is how many a run may have, 0 where there is no such tab."""

    pictures: int = MAX_BATCH_PICTURES

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> BatchSettings:
        """As the variables of a process say; UserError naming a bad one."""
        given = variables.get(PICTURES, "").strip() or str(MAX_BATCH_PICTURES)
        if not (given.isascii() and given.isdigit() and len(given) < 8):
            raise UserError(f"{PICTURES} is {given!r}.", "Set it to a number of pictures, or to 0.")
        return cls(int(given))
