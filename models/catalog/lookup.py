"""Which checkpoints can be chosen here, and what a choice of size forces on the rest.

The built-in ones and those of the deployment. This module knows neither torch nor the network.
"""

from __future__ import annotations

from models.catalog import deployment
from models.catalog.checkpoints import BUILT_IN, Checkpoint
from models.catalog.memory import PRECISIONS
from models.schema import UserError


def checkpoints() -> tuple[Checkpoint, ...]:
    """Every checkpoint, built-in ones first; UserError where the environment has a bad entry."""
    return (*BUILT_IN, *deployment.current().checkpoints)


def find(name: str) -> Checkpoint:
    """The checkpoint of that name; UserError naming the valid ones where there is none."""
    for checkpoint in checkpoints():
        if checkpoint.name == name:
            return checkpoint
    known = ", ".join(checkpoint.name for checkpoint in checkpoints())
    raise UserError(f"There is no checkpoint {name!r}.", f"Choose one of {known}.")


def default() -> Checkpoint:
    """The checkpoint that is chosen at first."""
    return find(deployment.current().default)


def sizes() -> tuple[str, ...]:
    """The sizes, smallest first."""
    return tuple(dict.fromkeys(checkpoint.size for checkpoint in checkpoints()))


def variants(size: str, resolution: int | None = None) -> tuple[str, ...]:
    """The variants of a size, at one resolution or at any."""
    return tuple(
        dict.fromkeys(
            checkpoint.variant
            for checkpoint in checkpoints()
            if checkpoint.size == size and resolution in (None, checkpoint.resolution)
        )
    )


def resolutions(size: str, variant: str | None = None) -> tuple[int, ...]:
    """The resolutions in pixels of a size, of one variant or of any, smallest first."""
    return tuple(
        sorted(
            {
                checkpoint.resolution
                for checkpoint in checkpoints()
                if checkpoint.size == size and variant in (None, checkpoint.variant)
            }
        )
    )


def check_precision(precision: str) -> None:
    """UserError naming the valid precisions where this is not one; "auto" is one."""
    if precision != "auto" and precision not in PRECISIONS:
        known = ", ".join(("auto", *PRECISIONS))
        raise UserError(f"There is no precision {precision!r}.", f"Choose one of {known}.")
