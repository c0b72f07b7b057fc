"""The `images` of a COCO file -> pictures of known shape, and how their boxes have to be turned.

A picture that EXIF turns is asked about upright. Its `width` and `height` may be those of the
stored file, and then its boxes may be as the file is stored, or, as of Label Studio, as it is
shown. Where no box of the file tells which, they are as stored, like the sizes, or, where there
are no sizes, as shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.changes import Changes
from data.finder import Finder
from models.images import StoredSize, stored_size
from models.schema import Box, UserError

TURNED = "pictures whose boxes were turned upright with them"
UNTOLD = "pictures that EXIF turns, boxes taken as upright as nothing tells"
SCALED = "pictures annotated at another size"
MEASURED = "pictures whose width and height were read from the file"
Boxed = tuple[float, float, float, float]  # x, y, width, height in pixels
_BEYOND = 1.02  # of a side: farther than tools round


@dataclass(frozen=True)
class Picture:
    """A picture and the frame of its annotations: `width` and `height` in their pixels.

    `turn` is the EXIF orientation, 5 to 8, by which boxes and masks are turned upright with the
    picture, or 1.
    """

    path: Path
    width: int
    height: int
    turn: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """(width, height) of the frame when it is turned."""
        return (self.width, self.height) if self.turn == 1 else (self.height, self.width)

    def box(self, x_min: float, y_min: float, x_max: float, y_max: float) -> Box:
        """A box in pixels of the frame as one of the upright picture, cut at its edges."""
        left, right = (min(max(x / self.width, 0), 1) for x in (x_min, x_max))
        top, bottom = (min(max(y / self.height, 0), 1) for y in (y_min, y_max))
        if self.turn in (5, 7):
            left, top, right, bottom = top, left, bottom, right
        elif self.turn in (6, 8):
            left, top, right, bottom = 1 - bottom, left, 1 - top, right
        if self.turn in (7, 8):  # the other way round
            left, top, right, bottom = (1 - right, 1 - bottom, 1 - left, 1 - top)
        return Box(top, left, bottom, right)

    def turned(self, mask: np.ndarray) -> np.ndarray:
        """bool[height, width] of the frame as one of the upright picture."""
        if self.turn == 1:
            return mask
        return {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}[
            self.turn
        ]


class Pictures:
    """The pictures of a COCO file by their ids, each found and measured when it is asked for."""

    def __init__(
        self, file: Path, entries: Mapping[Any, dict], images: Path | None, changes: Changes
    ):
        """`images` is their folder as `data.finder.Finder` has it."""
        self._file, self._entries, self._changes = file, entries, changes
        self._finder = Finder(file, images, changes)
        self._is_stored: bool | None = None  # as no box tells
        self._seen: dict[Any, tuple[Path, StoredSize]] = {}
        self._found: dict[Any, Picture] = {}
        self._ids: dict[Path, Any] = {}

    def settle(self, boxes: Iterable[tuple[Any, Any, Boxed]], are_upright: bool) -> None:
        """See from all boxes, each with the ids of its annotation and of its picture, whether those
        of turned pictures with the stored size are as the file is stored; unless `are_upright`.

        Those that reach beyond one of the frames tell. UserError where boxes say both.
        """
        says: dict[bool, Any] = {}
        for id, image, (x, y, w, h) in boxes:
            stored = self._stored(image)
            if stored.size == stored.upright:
                continue
            if declared(self._entries[image]) not in (None, stored.size):
                continue
            fits = [
                x + w <= width * _BEYOND and y + h <= height * _BEYOND
                for width, height in (stored.size, stored.upright)
            ]
            if fits[0] != fits[1]:
                says.setdefault(fits[0], id)
        if are_upright:
            says = {False: None}
        if len(says) > 1:
            raise UserError(
                f"Annotation {says[True]} is in its picture as the file is stored, and annotation "
                f"{says[False]} as EXIF turns the picture.",
                "Turn the pictures for good, and mend their annotations.",
            )
        self._is_stored = next(iter(says), None)

    def __getitem__(self, id: Any) -> Picture:
        """The picture of an id; UserError where it is not there or of another shape."""
        if id not in self._found:
            self._found[id] = self._find(id)
        return self._found[id]

    def _stored(self, id: Any) -> StoredSize:
        if id not in self._seen:
            path = self._finder.find(name_of(self._entries[id], self._file))
            self._seen[id] = path, stored_size(path)
        return self._seen[id][1]

    def _find(self, id: Any) -> Picture:
        stored = self._stored(id)
        path = self._seen[id][0]
        first = self._ids.setdefault(path, id)
        if first != id:
            names = [name_of(self._entries[each], self._file)[:60] for each in (first, id)]
            raise UserError(
                f"Images {first} and {id} of {self._file.name} are both {path.name}, by the names "
                f"{names[0]} and {names[1]}.",
                "Give the folder that has both, or take one out.",
            )
        size = declared(self._entries[id])
        if size is None:
            self._changes.count(MEASURED, path.name)
            size = stored.size if self._is_stored else stored.upright
            if self._is_stored is None and stored.size != stored.upright:
                self._changes.count(UNTOLD, path.name)
        return self._framed(id, path, size, stored)

    def _framed(self, id: Any, path: Path, size: tuple[int, int], stored: StoredSize) -> Picture:
        is_upright, is_raw = _are_alike(size, stored.upright), _are_alike(size, stored.size)
        if not (is_upright or is_raw):
            raise UserError(
                f"Image {id} of {self._file.name} is {size[0]} × {size[1]} pixels there, and "
                f"{path.name} is {stored.upright[0]} × {stored.upright[1]}.",
                "Take the picture that was annotated, or mend its width and height.",
            )
        if size not in (stored.size, stored.upright):
            self._changes.count(SCALED, path.name)
        if is_upright:
            if stored.orientation in range(2, 9) and is_raw:
                self._changes.count(UNTOLD, path.name)
            return Picture(path, *size)
        if self._is_stored is False:
            return Picture(path, *size[::-1])
        self._changes.count(TURNED, path.name)
        return Picture(path, *size, stored.orientation)


def declared(entry: dict) -> tuple[int, int] | None:
    """The width and height that an entry gives; None where it gives none, or zeros."""
    try:
        width, height = (int(float(entry.get(side) or 0)) for side in ("width", "height"))
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"Image {entry.get('id')} has the width {entry.get('width')!r} and the height "
            f"{entry.get('height')!r}.",
            "Give them in pixels, or leave them out.",
        ) from None
    return (width, height) if width > 0 and height > 0 else None


def name_of(entry: dict, file: Path) -> str:
    """The name of a picture's file; UserError where it has none."""
    name = entry.get("file_name") or entry.get("coco_url")  # LVIS has the address alone
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"Image {entry.get('id')} of {file.name} has no file_name.", "Give it one.")
    return name


def _are_alike(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether a size is another, or the same picture made smaller or larger, within a pixel."""
    (width, height), (other_width, other_height) = size, other
    by_width = abs(height - other_height * width / other_width)
    by_height = abs(width - other_width * height / other_height)
    return min(by_width, by_height) <= 1
