"""The `segmentation` of COCO's format: polygons or run lengths -> its place, and its mask.

Tools write it in more forms than the format has: one polygon without the list around it, points as
pairs, parts that are a point or a line, run lengths in a list, and all of it as a text.
https://cocodataset.org/#format-data
"""

from __future__ import annotations

import ast
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.masks import rle

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max in pixels


@dataclass(frozen=True)
class Outline:
    """`polygons` are flat lists x, y, x, y, … with an area, or `runs` are COCO's run lengths of the
    whole picture. `left_out` counts parts that are a point or a line."""

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
        """bool[height, width]."""
        if not self.polygons and isinstance(self.runs["counts"], str):
            return rle.decode(self.runs)
        from pycocotools import mask as coder

        if self.polygons:
            parts = [list(each) for each in self.polygons]
            return coder.decode(coder.merge(coder.frPyObjects(parts, height, width))).astype(bool)
        return coder.decode(coder.frPyObjects(self.runs, height, width)).astype(bool)


def parse(given: Any, height: int, width: int) -> Outline | None:
    """The outline of an object in a picture of that size; None where there is none.

    ValueError where it cannot be read.
    """
    if isinstance(given, str) and given.strip():
        given = _from_text(given)
    if given is None or given in ([], {}, "", [[]]):
        return None
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], dict):
        given = given[0]
    if isinstance(given, dict):
        return Outline(runs=_runs(given, height, width))
    if not isinstance(given, list):
        raise ValueError("neither polygons nor run lengths")
    is_one = all(map(_is_number, given)) or (len(given) > 2 and all(map(_is_pair, given)))
    parts = [given] if is_one else given
    flat = [tuple(_flat(each)) for each in parts if each]
    whole = tuple(each for each in flat if _has_area(each))
    if not whole:
        raise ValueError("no polygon of three corners with an area")
    return Outline(polygons=whole, left_out=len(flat) - len(whole))


def _from_text(given: str) -> Any:
    """What tables that went through CSV have: the JSON of an outline as a text."""
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError("a text that is no JSON") from None


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


def _has_area(part: tuple[float, ...]) -> bool:
    """Whether a polygon has three corners that are not in one row or column."""
    return len(part) >= 6 and len(set(part[::2])) > 1 and len(set(part[1::2])) > 1


def _runs(outline: dict, height: int, width: int) -> dict[str, Any]:
    """The run lengths, counted or compressed, of a whole picture of this size; else ValueError."""
    size: Any = outline.get("size")
    counts: Any = outline.get("counts")
    if size != [height, width]:
        raise ValueError(f"run lengths of the size {size}, height first")
    if isinstance(counts, str):
        code = {"size": size, "counts": _plain(counts)}
        rle.runs_of(code)
        return code
    are_lengths = isinstance(counts, list) and all(type(each) is int for each in counts)
    if not are_lengths or min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError("run lengths that do not fill the picture")
    return outline


def _plain(counts: str) -> str:
    """Compressed run lengths without the quotes of bytes: Python's `str` adds them to what
    pycocotools gives."""
    if not counts.startswith(("b'", 'b"')):
        return counts
    try:
        return ast.literal_eval(counts).decode("ascii")
    except (SyntaxError, UnicodeDecodeError):
        raise ValueError("run lengths in quotes that do not end") from None
