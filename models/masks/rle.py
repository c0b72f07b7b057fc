"""COCO's compressed run-length code for masks, without pycocotools.

The format is that of `maskApi.c` in cocoapi: runs in column-major order, the first of zeros; from
the fourth run on the difference to the run two before; each number in groups of 5 bits, lowest
first, as the characters 48 to 111.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LONGEST_RUN_BITS = 40  # more than any picture has pixels


def encode(mask: np.ndarray) -> dict[str, Any]:
    """`mask` bool[H, W] -> {"size": [H, W], "counts": str}, ready for JSON."""
    height, width = mask.shape
    return {"size": [height, width], "counts": _compress(_runs(mask))}


def decode(code: Mapping[str, Any]) -> np.ndarray:
    """The inverse of `encode`: bool[H, W]. ValueError where the code is none of a whole mask."""
    height, width = code["size"]
    runs = runs_of(code)
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape((height, width), order="F")


def runs_of(code: Mapping[str, Any]) -> list[int]:
    """Lengths of the runs of a code, zeros first, which fill the mask. ValueError as `decode`."""
    height, width = code["size"]
    runs = _decompress(code["counts"])
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError("the runs do not fill the mask")
    return runs


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


def _decompress(counts: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > LONGEST_RUN_BITS:
            raise ValueError("the runs are not in COCO's characters")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the last run has no end")
    return runs
