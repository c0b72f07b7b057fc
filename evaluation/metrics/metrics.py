"""The numbers of the tables, from pairs of a true answer and a given one.

Every function here is pure: it knows no model, no scene and no prompt, only texts, boxes and masks.
What one item scored is kept apart from the average, so that an interval can be drawn around it and
items can be grouped by art style afterwards.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pycocotools.cocoeval import COCOeval

Box = tuple[float, float, float, float]
BOOTSTRAP_ROUNDS = 1000
AP_ROUNDS = 100  # COCO's mean over categories is slow
NUMBER_WORDS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
    "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}  # fmt: skip
# Scripts that put no space between words: a name may begin and end anywhere.
_UNSPACED = frozenset({"ja", "zh", "th"})
_AND = {"ar": "و", "he": "ו"}  # "and" where it is written as one word with what follows


@dataclass(frozen=True)
class Estimate:
    """A mean or rate over `count` items with its 95 % bootstrap interval; NaN where count is 0."""

    value: float
    low: float
    high: float
    count: int


def bootstrap(
    items: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0
) -> Estimate:
    """`statistic` of float[N, …] `items` with the interval that resampling whole items gives.

    Draws that leave nothing to count, where it is NaN, have no part in the interval.
    """
    if len(items) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(items[rng.integers(len(items), size=len(items))]) for _ in range(BOOTSTRAP_ROUNDS)
    ]
    drawn = [each for each in drawn if not np.isnan(each)] or [float("nan")]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(float(statistic(items)), float(low), float(high), len(items))


def mean(values: Iterable[float]) -> Estimate:
    """The mean of one number per item, e.g. an accuracy from 0s and 1s."""
    return bootstrap(np.array(list(values), np.float64), lambda drawn: float(drawn.mean()))


def pooled_f1(hits: Iterable[Hits]) -> Estimate:
    """F1 of all items together: 2·tp / (2·tp + fp + fn); 1 where there was nothing to find."""
    counts = np.array([(h.found, h.extra, h.missed) for h in hits], np.float64).reshape(-1, 3)

    def f1(drawn: np.ndarray) -> float:
        found, extra, missed = drawn.sum(0)
        total = 2 * found + extra + missed
        return float(2 * found / total) if total else 1.0

    return bootstrap(counts, f1)


# Names in captions


@dataclass(frozen=True)
class Hits:
    """How many of the true objects an answer named (`found`, `missed`), and how many others."""

    found: int
    extra: int
    missed: int


class NameFinder:
    """Finds object names with their numbers in a caption.

    `names` are all the forms of each object by a key of its own, e.g. {"cat": ("cat", "cats")}.
    A number is a word ("two cats") or digits with or without a cross ("2 × Katze"); no number is
    one. Where one name is part of another, the longer is taken: a hot dog is not a dog.
    """

    def __init__(self, names: Mapping[str, Sequence[str]], language: str = "en"):
        self._key_of = {form.casefold(): key for key, forms in names.items() for form in forms}
        ordered = sorted(self._key_of, key=len, reverse=True)
        numbers = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
        edge_before, edge_after = ("", "") if language in _UNSPACED else (r"(?<!\w)", r"(?!\w)")
        if language in _AND:
            edge_before = rf"(?:(?<!\w)|(?<=(?<!\w){_AND[language]}))"
        self._pattern = re.compile(
            rf"(?:(?P<word>(?<!\w)(?:{numbers})|(?<!\d)\d{{1,2}})\s*×?\s*)?"
            rf"{edge_before}(?P<name>{'|'.join(map(re.escape, ordered))}){edge_after}"
        )

    def count(self, caption: str) -> Counter[str]:
        """How many of each object the caption names."""
        found: Counter[str] = Counter()
        for match in self._pattern.finditer(caption.casefold()):
            word = match["word"]
            number = 1 if word is None else NUMBER_WORDS.get(word) or int(word)
            found[self._key_of[match["name"]]] += number
        return found


def compare_names(given: Counter[str], true: Counter[str]) -> Hits:
    """Multiset comparison: three cats for two are two found and one extra."""
    found = (given & true).total()
    return Hits(found, given.total() - found, true.total() - found)


# Texts


def normalized(text: str) -> str:
    """The text in lower case, with single spaces and without an end mark."""
    return " ".join(text.casefold().split()).rstrip(".")


def is_exact(given: str, accept: Iterable[str]) -> bool:
    """Whether the answer is one of those that are true, but for case and spaces."""
    return normalized(given) in {normalized(text) for text in accept}


def edit_distance(first: str, second: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def character_error_rate(given: str, true: str) -> float:
    """Edit distance per true character; above 1 where much is made up."""
    return edit_distance(given, true) / max(1, len(true))


# Boxes and masks


@dataclass(frozen=True)
class LabelledBox:
    """A true or a given box; `score` orders the given ones, `box_xyxy_px` is in pixels."""

    label: str
    box_xyxy_px: Box
    score: float = 1.0


def box_iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes (x_min, y_min, x_max, y_max)."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return both / (areas - both) if areas > both else 0.0


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool[H, W] masks; 0 where both are empty."""
    either = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / either) if either else 0.0


def match(overlap: np.ndarray) -> list[int | None]:
    """For each row (a true object) of float[T, G] the column (a given one) it gets, or None.

    The best pairs come first and each object is used once; pairs that do not overlap never match.
    """
    chosen: list[int | None] = [None] * overlap.shape[0]
    if overlap.size == 0:
        return chosen
    taken: set[int] = set()
    for index in np.argsort(-overlap, axis=None, kind="stable"):
        row, column = divmod(int(index), overlap.shape[1])
        if overlap[row, column] > 0 and chosen[row] is None and column not in taken:
            chosen[row] = column
            taken.add(column)
    return chosen


def matched_ious(
    true: Sequence[tuple[str, object]],
    given: Sequence[tuple[str, object]],
    iou: Callable[[object, object], float],
) -> list[float]:
    """The IoU of each true object with the given one of its label that it gets; 0 for a miss."""
    overlap = np.array(
        [[iou(a, b) if la == lb else 0.0 for lb, b in given] for la, a in true], np.float64
    ).reshape(len(true), len(given))
    columns = match(overlap)
    return [0.0 if c is None else float(overlap[r, c]) for r, c in enumerate(columns)]


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
    annotations, results = [], []
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
        found = np.array(scorer.evalImgs, object).reshape(len(ids), len(true))
        rng = np.random.default_rng(0)
        everything = [np.arange(len(true))]
        draws = [rng.integers(len(true), size=len(true)) for _ in range(AP_ROUNDS)]
        values = np.array([_precisions(scorer, found[:, each]) for each in everything + draws])
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


def _xywh(box_xyxy_px: Box) -> list[float]:
    x_min, y_min, x_max, y_max = box_xyxy_px
    return [x_min, y_min, x_max - x_min, y_max - y_min]


def _area(box_xyxy_px: Box) -> float:
    return (box_xyxy_px[2] - box_xyxy_px[0]) * (box_xyxy_px[3] - box_xyxy_px[1])
