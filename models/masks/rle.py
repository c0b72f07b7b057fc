"""COCO's compressed run-length code for masks, without pycocotools.

The format is that of `maskApi.c` in cocoapi: runs in column-major order, the first of zeros; from
the fourth run on the difference to the run two before; each number in groups of 5 bits, lowest
first, as the characters 48 to 111.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def encode(mask: np.ndarray) -> dict[str, Any]:
    """`mask` bool[H, W] -> {"size": [H, W], "counts": str}, ready for JSON."""
    height, width = mask.shape
    return {"size": [height, width], "counts": _compress(_runs(mask))}


def _runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs in column-major order, starting with zeros (perhaps none of them)."""
    flat = np.asfortranarray(mask, dtype=bool).ravel(order="F")
    if not flat.size:
        return []
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges).tolist()
    return [0, *runs] if flat[0] else runs


def _compress(runs: list[int]) -> str:
    characters: list[str] = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            # The sign is in the group's highest bit: stop once the rest is only that sign.
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr((group | 0x20 if more else group) + 48))
    return "".join(characters)
