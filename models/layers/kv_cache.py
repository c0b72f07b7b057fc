"""The decoder's keys and values, allocated once.

This module does not know who occupies which slot.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch


class KeyValueCache:
    """Keys and values by layer, in `slots` slots of at most `length` tokens.

    A sequence keeps its slot, so others join and leave without a copy. On Linux and a CPU, memory
    is only taken where something was written. The last column belongs to no sequence, as its newest
    token is never in the cache: what has to be written somewhere and is not to be read goes there.
    """

    def __init__(
        self,
        devices: Sequence[torch.device],
        slots: int,
        heads: int,
        length: int,
        head_dim: int,
        dtype: torch.dtype,
    ):
        """`devices` has one for every layer; `heads` are those of keys."""
        self.slots, self.length = slots, length
        shape = (2, slots, heads, length, head_dim)
        is_lazy = devices[0].type == "cpu" and hasattr(mmap, "MADV_NOHUGEPAGE")
        self._layers = [
            _lazy_zeros(shape, dtype) if is_lazy else torch.zeros(shape, dtype=dtype, device=device)
            for device in devices
        ]

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer, each (slots, heads, length, head_dim)."""
        keys, values = self._layers[index]
        return keys, values


def _lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros that take memory page by page as they are written.

    Small pages are asked for: a large one would span several heads, and a few tokens of each would
    take all of the cache.
    """
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, flags=private)
    pages.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)
