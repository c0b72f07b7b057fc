"""From items and answers to the rows of a table: which measures apply, the items say.

A row is {"measure", "value", "low", "high", "count"}: a value with its 95 % interval over `count`
items. This module knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from evaluation import metrics, text_metrics
from evaluation.metrics import Estimate, LabelledBox
from evaluation.predict import Answer
from models.mask_codec import MaskCodec, paste
from models.prompts import Task, parse
from models.tokens import parse_detections
from training.items import Item

FOUND_AT = 0.5  # the box IoU from which RefCOCO counts a box as right
COLOURS = frozenset("black blue brown gray green red teal yellow".split())
_CAPTIONS = frozenset((Task.CAP, Task.CAPTION, Task.DESCRIBE))

Pair = tuple[Item, Answer]


def rows(items: Sequence[Item], answers: Sequence[Answer], codec: MaskCodec) -> list[dict]:
    """All measures that apply to some of the items, with how much was invalid at the end."""
    pairs = list(zip(items, answers, strict=True))
    with_boxes = [pair for pair in pairs if pair[0].truths]
    texts = [pair for pair in pairs if not pair[0].truths]
    captions = [pair for pair in texts if parse(pair[0].prefix).task in _CAPTIONS]
    others = [pair for pair in texts if parse(pair[0].prefix).task not in _CAPTIONS]
    found = [*_answers(others), *_captions(captions), *_boxes(with_boxes, codec)]
    cut = metrics.mean(float(not answer.finished) for answer in answers)
    return [*found, _row("answers cut off", cut)]


def _row(measure: str, estimate: Estimate) -> dict:
    return {"measure": measure, **vars(estimate)}


# Texts


def _answers(pairs: Sequence[Pair]) -> list[dict]:
    if not pairs:
        return []
    true = [item.answers or (item.suffix,) for item, _ in pairs]
    given = [answer.text for _, answer in pairs]
    right = [float(metrics.is_exact(*each)) for each in zip(given, true, strict=True)]
    found = [_row("exact", metrics.mean(right))]
    if max(map(len, true)) > 1:
        for name, measure in _OF_SEVERAL.items():
            found.append(_row(name, metrics.mean(map(measure, given, true))))
    for kind, belongs in _KINDS.items():
        some = [v for (item, _), v in zip(pairs, right, strict=True) if belongs(item.suffix)]
        if some and len(some) < len(pairs):
            found.append(_row(f"exact, {kind}", metrics.mean(some)))
    return [*found, *_yes_no([pair for pair in pairs if pair[0].suffix in ("yes", "no")])]


_OF_SEVERAL = {"VQA accuracy": text_metrics.vqa_accuracy, "ANLS": text_metrics.anls}
_KINDS: dict[str, Callable[[str], bool]] = {
    "yes or no": lambda true: true in ("yes", "no"),
    "colours": COLOURS.__contains__,
    "others": lambda true: true not in COLOURS and true not in ("yes", "no"),
}


def _yes_no(pairs: Sequence[Pair]) -> list[dict]:
    if len({item.suffix for item, _ in pairs}) < 2:
        return []
    texts = np.array([(answer.text, item.suffix) for item, answer in pairs], object)

    def rate(name: str) -> Estimate:
        return metrics.bootstrap(
            texts, lambda drawn: getattr(text_metrics.yes_no([tuple(row) for row in drawn]), name)
        )

    names = {"precision": "precision of yes", "recall": "recall of yes", "f1": "F1 of yes"}
    found = [_row(told, rate(name)) for name, told in names.items()]
    neither = text_metrics.yes_no([tuple(row) for row in texts]).invalid
    share = [1.0] * neither + [0.0] * (len(pairs) - neither)
    return [*found, _row("neither yes nor no", metrics.mean(share))]


def _captions(pairs: Sequence[Pair]) -> list[dict]:
    if not pairs:
        return []
    given = [answer.text for _, answer in pairs]
    true = [item.answers or (item.suffix,) for item, _ in pairs]
    return [
        _row("CIDEr", metrics.mean(text_metrics.cider(given, true))),
        _row("characters", metrics.mean(float(len(text)) for text in given)),
        _row("sentences", metrics.mean(float(text_metrics.sentences(text)) for text in given)),
    ]


# Boxes and masks


def _boxes(pairs: Sequence[Pair], codec: MaskCodec) -> list[dict]:
    if not pairs:
        return []
    true, given, masks, best = [], [], [], []
    invalid, whole = 0, 0
    for item, answer in pairs:
        width, height = item.open().size
        wanted = [LabelledBox(t.label, t.box.to_xyxy_px(width, height)) for t in item.truths]
        boxes, codes, wrong = _given(answer, width, height)
        invalid, whole = invalid + wrong, whole + len(boxes)
        true.append(wanted)
        given.append(boxes)
        if len(wanted) == 1:
            first = boxes[0].box_xyxy_px if boxes else (0.0,) * 4
            best.append(float(metrics.box_iou(wanted[0].box_xyxy_px, first) >= FOUND_AT))
        if item.truths[0].mask is not None:
            drawn = [
                (box.label, _drawn(code, box, width, height, codec))
                for box, code in zip(boxes, codes, strict=True)
                if code is not None
            ]
            there = [(t.label, t.mask()) for t in item.truths]
            masks += metrics.matched_ious(there, drawn, metrics.mask_iou)
    found = metrics.average_precision(true, given)
    result = [
        _row("AP", found.ap),
        _row("AP50", found.ap50),
        _row("AP75", found.ap75),
    ]
    if best:
        result.append(_row("box IoU ≥ 0.5, where there is one", metrics.mean(best)))
    if masks:
        result.append(_row("mask mean IoU", metrics.mean(masks)))
    share = [1.0] * invalid + [0.0] * whole
    return [*result, _row("boxes or masks that make no sense", metrics.mean(share))]


def _given(
    answer: Answer, width: int, height: int
) -> tuple[list[LabelledBox], list[tuple[int, ...] | None], int]:
    """The boxes of an answer in pixels, their mask codes, and how many made no sense."""
    boxes, codes, invalid = [], [], 0
    for piece in answer.pieces:
        parsed = parse_detections(piece.text)
        invalid += parsed.invalid
        for each in parsed.objects:
            boxes.append(LabelledBox(each.label, each.box.to_xyxy_px(width, height), piece.score))
            codes.append(each.codes)
    return boxes, codes, invalid


def _drawn(
    codes: tuple[int, ...], box: LabelledBox, width: int, height: int, codec: MaskCodec
) -> np.ndarray:
    return paste(codec.decode(torch.tensor([codes]))[0], box.box_xyxy_px, width, height)
