"""The `segmentation` of COCO's format: polygons or run lengths -> its place, and its mask.

Tools write it in more forms than the format has: one polygon without the list around it, points as
pairs, parts of fewer than three corners. https://cocodataset.org/#format-data
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.schema import UserError

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in pixels


@dataclass(frozen=True)
class Outline:
    """`polygons` are flat lists x, y, x, y, … of three corners or more, or `runs` are COCO's run
    lengths of the whole picture. `left_out` counts parts of fewer than three corners."""

    polygons: tuple[tuple[float, ...], ...] = ()
    runs: Any = None
    left_out: int = 0

    def corners(self) -> Corners | None:
        """The box around polygons; None of run lengths, which have to be decoded first."""
        if not self.polygons:
            return None
        x = [each for part in self.polygons for each in part[::2]]
        y = [each for part in self.polygons for each in part[1::2]]
        return min(x), min(y), max(x), max(y)

    def mask(self, height: int, width: int) -> np.ndarray:
        """bool[height, width]; UserError where compressed run lengths are damaged."""
        from pycocotools import mask as coder

        if self.polygons:
            parts = [list(each) for each in self.polygons]
            rle = coder.merge(coder.frPyObjects(parts, height, width))
        elif isinstance(self.runs["counts"], list):
            rle = coder.frPyObjects(self.runs, height, width)
        else:
            rle = self.runs
        try:
            return coder.decode(rle).astype(bool)
        except ValueError as error:  # of compressed ones, which only the library can check
            raise UserError(
                f"A segmentation of {width} × {height} pixels cannot be read: {error}.",
                "Write its run lengths as numbers, or polygons.",
            ) from None


def parse(given: Any, height: int, width: int) -> Outline | None:
    """The outline of an object in a picture of that size; None where there is none.

    ValueError where it cannot be read.
    """
    if given is None or given in ([], {}, "", [[]]):
        return None
    if isinstance(given, dict):
        if not _are_runs(given, height, width):
            raise ValueError("no run lengths of the picture")
        return Outline(runs=given)
    if not isinstance(given, list):
        raise ValueError("neither polygons nor run lengths")
    is_one = all(map(_is_number, given)) or (len(given) > 2 and all(map(_is_pair, given)))
    parts = [given] if is_one else given
    flat = [tuple(_flat(each)) for each in parts if each]
    whole = tuple(each for each in flat if len(each) >= 6)
    if not whole:
        raise ValueError("no polygon of three corners")
    return Outline(polygons=whole, left_out=len(flat) - len(whole))


def _flat(part: Any) -> list[float]:
    """x, y, x, y, … of a polygon, or of one whose points are pairs."""
    if not isinstance(part, list):
        raise ValueError("a polygon is no list")
    numbers = part
    if all(map(_is_pair, part)):
        numbers = [each for pair in part for each in pair]
    if len(numbers) % 2 or not all(map(_is_number, numbers)):
        raise ValueError("a polygon is not x, y, x, y, …")
    return [float(each) for each in numbers]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)


def _are_runs(outline: dict, height: int, width: int) -> bool:
    """Whether these are run lengths, counted or compressed, of a whole picture of this size."""
    if outline.get("size") != [height, width]:
        return False
    counts = outline.get("counts")
    if isinstance(counts, list):
        return all(type(each) is int and each >= 0 for each in counts) and (
            sum(counts) == height * width
        )
    return isinstance(counts, str)
