"""A table with a row for each object, and one for each answer that has none."""

from __future__ import annotations

import csv
from pathlib import Path

from data.run_results import RunResults

COLUMNS = (
    *("image", "width", "height", "prompt", "text"),
    *("label", "x_min", "y_min", "x_max", "y_max", "confidence", "mask"),
)


def write(results: RunResults, folder: Path) -> list[str]:
    """`results.csv` in UTF-8; edges in pixels, `mask` as COCO's compressed run lengths."""
    with (folder / "results.csv").open(
        "w", encoding="utf-8", errors="backslashreplace", newline=""
    ) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for picture in results:
            for answer in picture.answers:
                start = (picture.name, picture.width, picture.height, answer.prompt, answer.text)
                for each in answer.objects:
                    sure = "" if each.confidence is None else each.confidence
                    mask = "" if each.rle is None else each.rle["counts"]
                    table.writerow((*start, each.label, *each.box_xyxy_px, sure, mask))
                if not answer.objects:
                    table.writerow((*start, *[""] * 7))
    return []
