"""Puts the objects of a run right as a person would who looks at every picture.

    python -m evaluation.loop.correct runs/shapes --truth build/loop/train/instances.json

An answer stays where its objects are those of the COCO file, by their labels and an IoU of
LOOKS_RIGHT or more; any other gets a line in `RUN/corrections.jsonl`. What it prints is how many.
Each prompt has to ask for one kind, as the file's questions do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.items import Truth
from data.runs import CORRECTIONS, RESULTS, read_lines
from data.sources import Source, read
from models.matching import PixelBox, box_iou, matched_ious
from models.results import json_line
from models.schema import UserError

LOOKS_RIGHT = 0.75  # the IoU from which nobody would move a box


def correct(run: Path, truth: Path) -> tuple[int, int]:
    """Add the corrections of a run to it; (answers, how many of them were put right).

    `truth` is a COCO file of the run's pictures, which are found by their names. UserError where
    either cannot be read.
    """
    true = {
        (each.picture.name, each.prefix): each.truths
        for each in read(Source(str(truth), task="detect"))
        if isinstance(each.picture, Path)
    }
    answers, lines = 0, []
    for line in read_lines(run / RESULTS):
        if "error" in line:
            continue
        answers += 1
        boxes = _boxes(true.get((Path(line["image"]).name, line["prompt"]), ()), line)
        if not _are_right(boxes, line["detections"]):
            lines.append({"image": line["image"], "prompt": line["prompt"], "detections": boxes})
    with (run / CORRECTIONS).open("a", encoding="utf-8") as file:
        file.writelines(map(json_line, lines))
    return answers, len(lines)


def _boxes(true: Sequence[Truth], line: dict[str, Any]) -> list[dict[str, Any]]:
    """The true objects as a result has its detections."""
    found = []
    for each in true:
        edges = each.box.to_xyxy_px(line["width"], line["height"])
        box = [round(edge, 2) for edge in edges]
        found.append({"label": each.label, "box_xyxy_px": box, "confidence": None, "mask": None})
    return found


def _are_right(true: list[dict[str, Any]], given: list[dict[str, Any]]) -> bool:
    if len(true) != len(given):
        return False
    ious = matched_ious(_labelled(true), _labelled(given), box_iou)
    return all(iou >= LOOKS_RIGHT for iou in ious)


def _labelled(objects: list[dict[str, Any]]) -> list[tuple[str, PixelBox]]:
    return [(each["label"], each["box_xyxy_px"]) for each in objects]


def main(given: Sequence[str] | None = None) -> int:
    """Command line; 2 where something cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.loop.correct", description=__doc__.split("\n")[0]
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the --out of models.batch")
    parser.add_argument("--truth", type=Path, required=True, help="a COCO file of its pictures")
    options = parser.parse_args(given)
    try:
        answers, wrong = correct(options.run, options.truth)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{answers} answers, {wrong} of them put right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
