"""COCO's annotations of objects: boxes, and masks as polygons that draw them pixel by pixel.

Every object is one annotation with `iscrowd` 0, also where its mask has several parts: run lengths
would be read as a crowd by some. `area` is that of the mask, of the box where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from data.exports.outlines import joined, trace
from data.run_results import Found, RunResults
from models.masks import rle


def write(results: RunResults, folder: Path) -> list[str]:
    """`annotations.json`; `file_name` is the path within the pictures. All ids begin at 1."""
    ids = {label: number for number, label in enumerate(results.labels, 1)}
    with (folder / "annotations.json").open(
        "w", encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write('{"info": {"description": "Answers of PaliGemma 2"}, "licenses": [],\n')
        _write_list(file, "images", _images(results))
        _write_list(file, "annotations", _annotations(results, ids))
        categories = [{"id": number, "name": label} for label, number in ids.items()]
        file.write(f'"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')
    return []


def _write_list(file: IO[str], name: str, entries: Iterable[dict[str, Any]]) -> None:
    file.write(f'"{name}": [')
    for number, each in enumerate(entries):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(each, ensure_ascii=False))
    file.write("],\n")


def _images(results: RunResults) -> Iterator[dict[str, Any]]:
    for number, picture in enumerate(results, 1):
        yield {
            "id": number,
            "file_name": picture.name,
            "width": picture.width,
            "height": picture.height,
        }


def _annotations(results: RunResults, ids: dict[str, int]) -> Iterator[dict[str, Any]]:
    count = 0
    for number, picture in enumerate(results, 1):
        for each in picture.objects:
            count += 1
            yield {
                "id": count,
                "image_id": number,
                "category_id": ids[each.label],
                "bbox": list(each.box_xywh_px),
                "iscrowd": 0,
                **_shape(each),
                **({} if each.confidence is None else {"score": each.confidence}),
            }


def _shape(found: Found) -> dict[str, Any]:
    """Area in pixels and segmentation; a mask with holes is one path, as polygons know no holes."""
    if found.rle is None:
        _, _, width, height = found.box_xywh_px
        return {"area": round(width * height, 2), "segmentation": []}
    mask = rle.decode(found.rle)
    outlines = trace(mask)
    paths = [each.corners for each in outlines]
    if any(each.is_hole for each in outlines):
        paths = [joined(paths)]
    return {
        "area": int(mask.sum()),
        "segmentation": [path.ravel().tolist() for path in paths],
    }
