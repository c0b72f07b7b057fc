"""Which given object stands for which true one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Shape = TypeVar("Shape")  # of an object: a box or a mask


def match(overlap: np.ndarray) -> list[int | None]:
    """For each row (a true object) of float[T, G] the column (a given one) it gets, or None.

    The best pairs come first and each object is used once; pairs that do not overlap never match.
    """
    chosen: list[int | None] = [None] * overlap.shape[0]
    if overlap.size == 0:
        return chosen
    taken: set[int] = set()
    for index in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(index), overlap.shape[1])
        if overlap[row, column] > 0 and chosen[row] is None and column not in taken:
            chosen[row] = column
            taken.add(column)
    return chosen


def matched_ious(
    true: Sequence[tuple[str, Shape]],
    given: Sequence[tuple[str, Shape]],
    iou: Callable[[Shape, Shape], float],
) -> list[float]:
    """The IoU of each true object with the given one of its label that it gets; 0 for a miss."""
    overlap = np.array(
        [[iou(a, b) if la == lb else 0.0 for lb, b in given] for la, a in true], np.float64
    ).reshape(len(true), len(given))
    columns = match(overlap)
    return [0.0 if c is None else float(overlap[r, c]) for r, c in enumerate(columns)]
