"""An item of training or of a test: a picture with a prefix, a suffix and what is true of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.images import open_image
from models.schema import Box


@dataclass(frozen=True)
class Truth:
    """An object that is in a picture. `mask` gives bool[height, width] of the whole picture."""

    label: str
    box: Box
    mask: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True)
class Item:
    """A picture, what is asked about it and what shall come.

    `suffix` is what a model learns to write. `answers` are all that people gave, `truths` all
    objects that the prefix asks for; both are empty where the source has none.
    """

    picture: Path | Callable[[], Any]
    prefix: str
    suffix: str
    answers: tuple[str, ...] = ()
    truths: tuple[Truth, ...] = ()

    def open(self) -> Image.Image:
        """The picture in RGB, upright; UserError where it cannot be read."""
        source = self.picture() if callable(self.picture) else self.picture
        if isinstance(source, Image.Image):
            return source.convert("RGB")
        return open_image(source).image


def by_picture(items: Sequence[Item]) -> list[list[int]]:
    """The items' numbers, those of one file together, in the order of the first of each; an item
    whose picture is no file is alone."""
    found: dict[object, list[int]] = {}
    for number, item in enumerate(items):
        key = item.picture if isinstance(item.picture, Path) else number
        found.setdefault(key, []).append(number)
    return list(found.values())
