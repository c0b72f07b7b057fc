"""How well given boxes are the true ones: COCO's average precision."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.metrics.estimates import Estimate
from models.matching import PixelBox

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

AP_ROUNDS = 100  # COCO's mean over categories is slow


@dataclass(frozen=True)
class LabelledBox:
    """A true or a given box; `score` orders the given ones, `box_xyxy_px` is in pixels."""

    label: str
    box_xyxy_px: PixelBox
    score: float = 1.0


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's AP (mean over IoU 0.50–0.95) and at two thresholds; each counts true boxes."""

    ap: Estimate
    ap50: Estimate
    ap75: Estimate


def average_precision(
    true: Sequence[Sequence[LabelledBox]], given: Sequence[Sequence[LabelledBox]]
) -> AveragePrecision:
    """pycocotools' AP, one entry of each list per prompt.

    A prompt counts as an image of its own, since it says which kinds to look for. The categories
    are the true labels; COCO's mean over categories has no place for a box of any other label.
    Intervals come from resampling whole prompts, AP_ROUNDS times.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    boxes = sum(map(len, true))
    if not boxes:
        return AveragePrecision(*[Estimate(float("nan"), float("nan"), float("nan"), 0)] * 3)
    ids = {label: i for i, label in enumerate(sorted({b.label for bs in true for b in bs}), 1)}
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (wanted, found) in enumerate(zip(true, given, strict=True), 1):
        for box in wanted:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": ids[box.label],
                    "bbox": _xywh(box.box_xyxy_px),
                    "area": _area(box.box_xyxy_px),
                    "iscrowd": 0,
                }
            )
        results += [
            {
                "image_id": image,
                "category_id": ids[box.label],
                "bbox": _xywh(box.box_xyxy_px),
                "score": box.score,
            }
            for box in found
            if box.label in ids
        ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports every step
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(1, len(true) + 1)],
            "annotations": annotations,
            "categories": [{"id": i, "name": label} for label, i in ids.items()],
        }
        truth.createIndex()
        if not results:
            return AveragePrecision(*[Estimate(0.0, 0.0, 0.0, boxes)] * 3)
        scorer = COCOeval(truth, truth.loadRes(results), "bbox")
        # All sizes together and up to 100 boxes, as in COCO's first three numbers.
        scorer.params.areaRng, scorer.params.areaRngLbl = scorer.params.areaRng[:1], ["all"]
        scorer.params.maxDets = [100]
        scorer.evaluate()
        matches = np.array(scorer.evalImgs, object).reshape(len(ids), len(true))
        rng = np.random.default_rng(0)
        everything = [np.arange(len(true))]
        draws = [rng.integers(len(true), size=len(true)) for _ in range(AP_ROUNDS)]
        values = np.array([_precisions(scorer, matches[:, each]) for each in everything + draws])
    lows, highs = np.nanpercentile(values[1:], (2.5, 97.5), axis=0)
    return AveragePrecision(
        *(
            Estimate(float(value), float(low), float(high), boxes)
            for value, low, high in zip(values[0], lows, highs, strict=True)
        )
    )


def _precisions(scorer: COCOeval, found: np.ndarray) -> tuple[float, float, float]:
    """AP, AP50 and AP75 of the matches object[categories, prompts] of some prompts.

    A category that none of them has does not count; NaN where that is all.
    """
    scorer.evalImgs = found.ravel().tolist()
    scorer.accumulate()
    precision = scorer.eval["precision"][:, :, :, 0, 0]  # (10 thresholds, recalls, categories)
    known = precision[:, :, (precision > -1).any((0, 1))]
    if not known.size:
        return (np.nan,) * 3
    return float(known.mean()), float(known[0].mean()), float(known[5].mean())


def _xywh(box_xyxy_px: PixelBox) -> list[float]:
    x_min, y_min, x_max, y_max = box_xyxy_px
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def _area(box_xyxy_px: PixelBox) -> float:
    return (box_xyxy_px[2] - box_xyxy_px[0]) * (box_xyxy_px[3] - box_xyxy_px[1])
