"""The fonts of the wide world: one file a family, each with its licence beside it."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

import numpy as np
from PIL import ImageFont

from training.nano.scenes.sprites import HERE

FOLDER = HERE / "fonts"
# Their lower case looks like capitals, so it is not printed.
CAPITALS_ONLY = ("bangers", "bebas-neue", "cinzel", "luckiest-guy", "permanent-marker")
_MARK = "-latin-"
SIZES = (5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 23, 26, 30, 34, 39, 45, 52, 60, 69, 80, 92, 106,
         122, 140, 161, 185, 213)  # fmt: skip


@cache
def families() -> dict[str, str]:
    """The file name of each family."""
    found = sorted(path.name for path in FOLDER.glob("*.woff2"))
    return {name.partition(_MARK)[0]: name for name in found}


def any_of(rng: np.random.Generator) -> str:
    """The name of a family."""
    names = list(families())
    return names[int(rng.integers(len(names)))]


def load(family: str, size: int) -> ImageFont.FreeTypeFont:
    """The font of a family at about `size` pixels: at one of a few sizes, so that it is cached."""
    return _opened(family, SIZES[min(len(SIZES) - 1, bisect_left(SIZES, size))])


@cache
def _opened(family: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FOLDER / families()[family]), size)
