"""Many tokens, some at a time, where they do not see each other.

What a layer's MLP holds is several times its input: some at a time it stays in a processor's
caches, where products are a fifth faster, and takes no memory that grows with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

MAX_TOKENS = 1024


def chunks(*states: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Tensors of (tokens, width) in step: on a CPU in chunks of about the same size, else whole."""
    tokens = len(states[0])
    size = tokens
    if states[0].device.type == "cpu":
        size = math.ceil(tokens / math.ceil(tokens / MAX_TOKENS))
    return zip(*(each.split(size) for each in states), strict=True)


def concatenate(parts: Sequence[torch.Tensor], dim: int) -> torch.Tensor:
    """The parts one after another along `dim`; a single one is returned as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(tuple(parts), dim=dim)
