"""COCO files of a few pictures, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from data.changes import Changes
from data.items import Item
from data.sources import Source, read

SIZE = (80, 60)  # width, height of the pictures
CAT, DOG = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}
ORIENTATION = 0x0112


def image(id: Any = 7, name: str = "a.png", size: tuple[int, int] | None = SIZE) -> dict:
    """An entry of `images`."""
    shape = {"width": size[0], "height": size[1]} if size else {}
    return {"id": id, "file_name": name, **shape}


def cat(id: Any = 0, bbox: Any = (10, 20, 30, 15), **more: Any) -> dict:
    """An annotation of a cat in image 7."""
    return {"id": id, "image_id": 7, "category_id": 1, "bbox": bbox, "iscrowd": 0} | more


def write(
    file: Path,
    annotations: list[dict],
    images: list[dict] | None = None,
    categories: list[dict] | None = None,
    **more: Any,
) -> Path:
    """A COCO file; the one picture and both categories unless others are given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [image()] if images is None else images,
        "categories": [CAT, DOG] if categories is None else categories,
        "annotations": annotations,
    }
    file.write_text(json.dumps(content | more))
    return file


def draw(path: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> None:
    """A white picture; `size` is as it is stored, `orientation` EXIF's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    Image.new("RGB", size, "white").save(path, exif=exif)


def items(file: Path, **given: Any) -> tuple[list[Item], Changes]:
    """The items of a file and what was changed."""
    changes = Changes()
    return list(read(Source(str(file), **given), changes)), changes


def boxes(item: Item, size: tuple[int, int] = SIZE) -> list[list[float]]:
    """The true boxes of an item as x_min, y_min, x_max, y_max in pixels."""
    return [[round(edge, 1) for edge in each.box.to_xyxy_px(*size)] for each in item.truths]
