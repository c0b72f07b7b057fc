"""The outline of a mask, as polygons that draw it again pixel by pixel.

Two kinds of readers draw polygons. pycocotools, shapely and browsers take coordinates between the
pixels, so that a square of one pixel has four corners; OpenCV's `fillPoly` takes pixels, draws them
and fills what is within. An outline has both forms. A path that runs to another part and back along
the same line encloses nothing between, so parts and holes can be joined to one path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # right, down, left, up, as (x, y)
# By direction of an edge: where the pixel on its right lies from the edge's start.
_PIXELS = ((0, 0), (-1, 0), (-1, -1), (0, -1))


@dataclass(frozen=True)
class Outline:
    """One closed line around a part of a mask, clockwise, or around a hole, counter-clockwise.

    `corners` int[N, 2] are (x, y) of corners between pixels, `pixels` int[M, 2] those of the mask's
    pixels along the line; straight stretches have only their ends.
    """

    corners: np.ndarray
    pixels: np.ndarray
    is_hole: bool


def trace(mask: np.ndarray) -> list[Outline]:
    """The outlines of `mask` bool[H, W]; pixels that touch at a corner alone are apart."""
    starts = _edges(mask)
    found = []
    while starts:
        start = next(iter(starts))
        found.append(_follow(starts, start))
    return found


def joined(paths: Sequence[np.ndarray]) -> np.ndarray:
    """All paths int[N, 2] as one, each joined to the nearest place of those before it."""
    whole, *rest = sorted(paths, key=len, reverse=True)
    while rest:
        distances = [_nearest(whole, path) for path in rest]
        best = min(range(len(rest)), key=lambda number: distances[number][0])
        _, here, there = distances[best]
        path = rest.pop(best)
        around = np.concatenate((path[there:], path[: there + 1]))
        whole = np.concatenate((whole[: here + 1], around, whole[here:]))
    return whole


def _nearest(whole: np.ndarray, path: np.ndarray) -> tuple[int, int, int]:
    """The squared distance of two paths' nearest points, and which they are."""
    best: tuple[int, int, int] | None = None
    for number, point in enumerate(path):
        squares = ((whole - point) ** 2).sum(1)
        place = int(squares.argmin())
        if best is None or squares[place] < best[0]:
            best = int(squares[place]), place, number
    assert best is not None
    return best


def _edges(mask: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """The edges between a pixel of the mask and one outside it, by the corner they start at: their
    directions, with the pixel of the mask on the right."""
    padded = np.pad(mask.astype(bool), 1)
    inside = padded[1:-1, 1:-1]
    beyond = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    from_pixel = ((0, 0), (1, 0), (1, 1), (0, 1))  # where the edge starts, as (x, y)
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for direction, (other, (x, y)) in enumerate(zip(beyond, from_pixel, strict=True)):
        rows, columns = np.nonzero(inside & ~other)
        for corner in zip((columns + x).tolist(), (rows + y).tolist(), strict=True):
            found[corner].append(direction)
    return dict(found)


def _follow(starts: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> Outline:
    """The line that begins at a corner, whose edges are taken out of `starts`."""
    corners: list[tuple[int, int]] = []
    pixels: list[tuple[int, int]] = []
    at, direction = start, starts[start][0]
    first = direction
    while True:
        ways = starts[at]
        # Where two pixels touch at a corner, a turn to the right stays at the same pixel.
        turned = (direction + 1) % 4
        way = ways[0] if len(ways) == 1 or not corners else turned
        ways.remove(way)
        if not ways:
            del starts[at]
        if way != direction or not corners:
            corners.append(at)
        direction = way
        pixel = at[0] + _PIXELS[way][0], at[1] + _PIXELS[way][1]
        if not pixels or pixels[-1] != pixel:
            pixels.append(pixel)
        at = at[0] + _STEPS[way][0], at[1] + _STEPS[way][1]
        if at == start and (at not in starts or (direction + 1) % 4 not in starts[at]):
            break
    if direction == first and len(corners) > 1:
        corners.pop(0)
    points = np.array(corners)
    return Outline(points, _straightened(pixels), _area(points) < 0)


def _straightened(pixels: list[tuple[int, int]]) -> np.ndarray:
    """The closed line without the pixels within its straight stretches."""
    if len(pixels) > 1 and pixels[0] == pixels[-1]:
        pixels = pixels[:-1]
    if len(pixels) < 3:
        return np.array(pixels)
    closed = [pixels[-1], *pixels, pixels[0]]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(closed)]
    return np.array(
        [
            pixel
            for pixel, (before, after) in zip(pixels, pairwise(steps), strict=True)
            if before != after
        ]
    )


def _area(points: np.ndarray) -> int:
    """Twice the signed area, positive clockwise as y grows downwards."""
    x, y = points[:, 0], points[:, 1]
    return int((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
