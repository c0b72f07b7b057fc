"""An item of training or of a test: a picture with a prefix, a suffix and what is true of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from models.images import open_image
from models.prompts import grammar
from models.schema import Box, UserError

NOTHING = "none"  # what stands for no object, as nano was trained to answer


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

    picture: Path | Callable[[], Path | bytes]
    prefix: str
    suffix: str
    answers: tuple[str, ...] = ()
    truths: tuple[Truth, ...] = ()

    def open(self) -> Image.Image:
        """The picture in RGB, upright; UserError where it cannot be read."""
        return open_image(self.picture() if callable(self.picture) else self.picture).image


def check(item: Item) -> None:
    """UserError for a prefix that cannot be asked or a suffix that says nothing."""
    grammar.check(item.prefix)
    if not item.suffix.strip():
        raise UserError(f"{item.prefix!r} has an empty suffix.", "Give it a text.")


def checked(items: Sequence[Item]) -> str:
    """A digest of the items' texts and pictures' names; UserError naming an item as `check` does.

    No picture is opened.
    """
    found = hashlib.sha256()
    for number, item in enumerate(items, 1):
        try:
            check(item)
        except UserError as error:
            raise UserError(f"Item {number}: {error.problem}", error.remedy) from None
        name = item.picture.name if isinstance(item.picture, Path) else ""
        found.update(repr((name, item.prefix, item.suffix)).encode())
    return found.hexdigest()[:16]


def by_picture(items: Sequence[Item]) -> list[list[int]]:
    """The items' numbers, those of one file together, in the order of the first of each; an item
    whose picture is no file is alone."""
    found: dict[object, list[int]] = {}
    for number, item in enumerate(items):
        key = item.picture if isinstance(item.picture, Path) else number
        found.setdefault(key, []).append(number)
    return list(found.values())
