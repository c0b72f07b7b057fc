"""Which object of one answer stands for which of another: boxes by their overlap.

It knows nothing of models; the page compares answers with it, the evaluation judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Shape = TypeVar("Shape")  # of an object: a box or a mask
PixelBox = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max

SAME_FROM = 0.95  # box IoU of two objects of a label that are one said twice


def box_iou(first: PixelBox, second: PixelBox) -> float:
    """Intersection over union of two boxes (x_min, y_min, x_max, y_max)."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (areas - both) if areas > both else 0.0


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


def overlaps(
    true: Sequence[tuple[str, Shape]],
    given: Sequence[tuple[str, Shape]],
    iou: Callable[[Shape, Shape], float],
) -> np.ndarray:
    """The IoU of every pair as float64[T, G]; 0 where the labels differ."""
    return np.array(
        [[iou(a, b) if la == lb else 0.0 for lb, b in given] for la, a in true], np.float64
    ).reshape(len(true), len(given))


def matched_ious(
    true: Sequence[tuple[str, Shape]],
    given: Sequence[tuple[str, Shape]],
    iou: Callable[[Shape, Shape], float],
) -> list[float]:
    """The IoU of each true object with the given one of its label that it gets; 0 for a miss."""
    overlap = overlaps(true, given, iou)
    columns = match(overlap)
    return [0.0 if c is None else float(overlap[r, c]) for r, c in enumerate(columns)]
