"""YOLO's labels as Ultralytics reads them: a text file for each picture, and `data.yaml`.

For segments a line is one object, so the parts and holes of a mask are joined to one path. Readers
draw it as OpenCV's `fillPoly` does, after Ultralytics cut its coordinates to whole pixels and
supervision rounded them; so points lie in the mask's outermost pixels where both find these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from data.exports.copies import copy_picture
from data.exports.names import flat_stems
from data.exports.outlines import joined, trace
from data.run_results import Found, Labelled, RunResults

FEWEST_POINTS = 3
WITHIN_PIXEL = 0.25  # 0 after cutting and after rounding


def write_boxes(results: RunResults, folder: Path) -> list[str]:
    """`images/train`, `labels/train` with boxes, and `data.yaml`."""
    return _write(results, folder, with_masks=False)


def write_segments(results: RunResults, folder: Path) -> list[str]:
    """As `write_boxes`, with the outlines of masks; of an object without one the box's."""
    return _write(results, folder, with_masks=True)


def _write(results: RunResults, folder: Path, with_masks: bool) -> list[str]:
    pictures, stems = results.pictures(), flat_stems(results.names())
    ids = {label: number for number, label in enumerate(results.labels)}
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True)
    for picture in results:
        stem = stems[picture.name]
        copy_picture(pictures.open(picture.name), folder / "images" / "train", stem)
        lines = label_lines(picture, ids, with_masks)
        (labels / f"{stem}.txt").write_text("".join(lines), "utf-8")
    # Without `path`, which would be looked for where the training is started.
    text = data_yaml({"train": "images/train", "val": "images/train"}, results.labels)
    (folder / "data.yaml").write_text(text, "utf-8")
    return ["`val` of data.yaml names the pictures of `train`; set some aside before you train."]


def data_yaml(paths: dict[str, str], labels: Sequence[str]) -> str:
    """The names of the classes, quoted where YAML would read something else."""
    content = {**paths, "names": dict(enumerate(labels))}
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)


def label_lines(picture: Labelled, ids: dict[str, int], with_masks: bool) -> list[str]:
    """A line for each object: its class, and shares of the picture's width and height."""
    size = np.array((picture.width, picture.height))
    lines = []
    for each in picture.objects:
        if with_masks:
            numbers = (_outline(each) / size).ravel()
        else:
            x_min, y_min, x_max, y_max = each.box_xyxy_px
            middle = np.array(((x_min + x_max) / 2, (y_min + y_max) / 2))
            numbers = np.concatenate((middle, (x_max - x_min, y_max - y_min))) / np.tile(size, 2)
        lines.append(" ".join((str(ids[each.label]), *(f"{n:.6f}" for n in numbers))) + "\n")
    return lines


def _outline(found: Found) -> np.ndarray:
    """float[N, 2] of (x, y) in pixels, of the mask or of the box where that is none or empty."""
    paths = [] if found.rle is None else [each.pixels for each in trace(found.mask())]
    if not paths:
        x_min, y_min, x_max, y_max = found.box_xyxy_px
        return np.array(((x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)))
    path = joined(paths)
    if len(path) < FEWEST_POINTS:
        path = np.concatenate((path, np.repeat(path[-1:], FEWEST_POINTS - len(path), axis=0)))
    return path + WITHIN_PIXEL
