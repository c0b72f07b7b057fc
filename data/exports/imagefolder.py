"""A folder that `datasets.load_dataset("imagefolder", …)` reads: pictures and `metadata.jsonl`.

A row has the picture, its `path`, `prompts` with their `texts`, and `objects`: `bbox` as left, top,
width, height in pixels, `label`, `confidence`, or -1 where it is not known, and `mask` as COCO's
compressed run lengths over the whole picture, or "". No list has a null: `datasets` 5 loses the
place of those.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.exports.copies import copy_picture
from data.exports.names import flat_stems
from data.run_results import Labelled, RunResults
from models.results import json_line

UNKNOWN = -1.0


def write(results: RunResults, folder: Path) -> list[str]:
    """`train/` with the pictures and their `metadata.jsonl`."""
    pictures, stems = results.pictures(), flat_stems(results.names())
    train = folder / "train"
    train.mkdir()
    with (train / "metadata.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as file:
        for picture in results:
            source = pictures.open(picture.name)
            name = copy_picture(source, train, stems[picture.name])
            file.write(json_line({"file_name": name, **_row(picture)}))
    return []


def _row(picture: Labelled) -> dict[str, Any]:
    objects = picture.objects
    sure = [each.confidence for each in objects]
    return {
        "path": picture.name,
        "prompts": [each.prompt for each in picture.answers],
        "texts": [each.text for each in picture.answers],
        "objects": {
            "bbox": [list(each.box_xywh_px) for each in objects],
            "label": [each.label for each in objects],
            "confidence": [UNKNOWN if each is None else each for each in sure],
            "mask": ["" if each.rle is None else each.rle["counts"] for each in objects],
        },
    }
