"""Which checkpoints can be chosen here, and what a choice of size forces on the rest.

The built-in ones and those of the deployment. This module knows neither torch nor the network.
"""

from __future__ import annotations

from models import deployment
from models.checkpoints import BUILT_IN, Checkpoint
from models.schema import UserError

# Bytes per parameter of the text model's linear layers, and of all others. nf4 keeps a float32 per
# 64 weights, int8 one per row.
BYTES_PER_PARAMETER = {
    "bf16": (2, 2),
    "fp16": (2, 2),
    "fp32": (4, 4),
    "int8": (1, 2),
    "nf4": (0.5 + 4 / 64, 2),
}
PRECISIONS = tuple(BYTES_PER_PARAMETER)

_LONGEST_TEXT = 128  # tokens of prompt and answer that a memory estimate allows for


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


def weight_bytes(checkpoint: Checkpoint, precision: str) -> int:
    """Bytes of the weights in a precision of PRECISIONS."""
    linear, other = BYTES_PER_PARAMETER[precision]
    rest = checkpoint.parameters - checkpoint.linear_parameters
    return round(checkpoint.linear_parameters * linear + rest * other)


def memory_bytes(checkpoint: Checkpoint, precision: str) -> int:
    """Bytes that answering takes: the weights and the largest attention score matrix.

    `precision` is a name from PRECISIONS. Eager attention holds heads × sequence² scores in
    float32 and their softmax.
    """
    check_precision(precision)
    sequence = checkpoint.image_tokens + _LONGEST_TEXT
    scores = checkpoint.attention_heads * sequence**2 * 8
    return weight_bytes(checkpoint, precision) + scores
