"""Pictures of shapes that nano has no word for, some of them empty, as a COCO file.

python -m evaluation.absent.shapes --pictures 120 --seed 11 --out build/loop/train
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIDE = 224  # pixels
SMALLEST, LARGEST = 36, 80  # pixels of a shape's side
MOST = 3  # shapes in a picture
EMPTY = 0.25  # share of the pictures without a shape, where such are drawn
_TRIES = 40

Box = tuple[int, int, int, int]  # left, top, right, bottom
Corners = list[tuple[float, float]]


def hexagon(box: Box) -> Corners:
    """Six corners, two of them at the sides."""
    left, top, right, bottom = box
    quarter, middle = (right - left) / 4, (top + bottom) / 2
    return [
        (left, middle), (left + quarter, top), (right - quarter, top),
        (right, middle), (right - quarter, bottom), (left + quarter, bottom),
    ]  # fmt: skip


def zigzag(box: Box) -> Corners:
    """A band that goes up and down twice."""
    left, top, right, bottom = box
    steps = [left + (right - left) * i / 4 for i in range(5)]
    band = (bottom - top) / 3
    upper = [(x, top if i % 2 else bottom - band) for i, x in enumerate(steps)]
    return upper + [(x, y + band) for x, y in reversed(upper)]


def bracket(box: Box) -> Corners:
    """Three sides of a square, open to the right."""
    left, top, right, bottom = box
    band = (right - left) / 4
    return [
        (left, top), (right, top), (right, top + band), (left + band, top + band),
        (left + band, bottom - band), (right, bottom - band), (right, bottom), (left, bottom),
    ]  # fmt: skip


KINDS: dict[str, Callable[[Box], Corners]] = {
    "hexagon": hexagon,
    "zigzag": zigzag,
    "bracket": bracket,
}


def write(folder: Path, count: int, seed: int, empty: float = EMPTY) -> Path:
    """Draw `count` pictures into a folder; the file of their annotations.

    A share `empty` of them has no shape, the others one to MOST of one or two kinds. The same
    `seed` draws the same pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        picture = _ground(rng)
        has_none = math.floor((number + 1) * empty) > math.floor(number * empty)
        for kind, box in () if has_none else _places(rng):
            name = list(KINDS)[kind]
            colour = tuple(int(each) for each in rng.integers(0, 130, 3))
            ImageDraw.Draw(picture).polygon(KINDS[name](box), fill=colour)
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": kind + 1,
                    "bbox": [left, top, right - left + 1, bottom - top + 1],
                    "iscrowd": 0,
                }
            )
        picture.save(folder / f"{number}.png")
        entry = {"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE}
        images.append(entry)
    file = folder / "instances.json"
    categories = [{"id": i, "name": name} for i, name in enumerate(KINDS, 1)]
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return file


def _ground(rng: np.random.Generator) -> Image.Image:
    """A light plain colour, brighter or darker towards the bottom."""
    top, bottom = rng.integers(170, 256, (2, 3))
    share = np.linspace(0, 1, SIDE)[:, None, None]
    pixels = np.broadcast_to(top * (1 - share) + bottom * share, (SIDE, SIDE, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def _places(rng: np.random.Generator) -> list[tuple[int, Box]]:
    """Numbers of kinds, at most two of them, and boxes that do not touch; at least one."""
    kinds = rng.permutation(len(KINDS))[: int(rng.integers(1, 3))]
    wanted = int(rng.integers(len(kinds), MOST + 1))
    found: list[tuple[int, Box]] = []
    for _ in range(_TRIES):
        side = int(rng.integers(SMALLEST, LARGEST + 1))
        left, top = (int(each) for each in rng.integers(0, SIDE - side, 2))
        box = (left, top, left + side, top + side)
        if not any(_touch(box, other) for _, other in found):
            found.append((int(kinds[len(found) % len(kinds)]), box))
        if len(found) == wanted:
            break
    return found


def _touch(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def main(given: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1, help="the same draws the same pictures")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(given)
    print(write(options.out, options.pictures, options.seed))


if __name__ == "__main__":
    main()
