"""From items and the answers to them to rows: {"measure", "value", "low", "high", "count"}.

Which measures apply follows from the items; it knows no model and no file. Items of three kinds may
come mixed: those that ask for objects, those that ask for a caption, and all others, which ask for
a text that is right or wrong. Intervals are 95 %, by resampling items.

Boxes and masks are true as the item's source has them, or else as its suffix writes them, whose
masks are as coarse as their codes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from data.items import Item
from evaluation.compare.item_answers import ItemAnswer
from evaluation.metrics.boxes import LabelledBox, average_precision
from evaluation.metrics.estimates import Estimate, mean
from evaluation.metrics.masks import mask_iou
from evaluation.metrics.texts import (
    anls,
    cider,
    is_exact,
    kind_of_answer,
    sentences,
    vqa_accuracy,
    yes_no,
    yes_or_no,
)
from models.masks import detections
from models.masks.codec import MaskCodec
from models.matching import PixelBox, box_iou, matched_ious
from models.prompts import grammar
from models.prompts.grammar import Task
from models.prompts.tokens import parse_detections
from models.schema import Box, UserError

FOUND_AT = 0.5  # the box IoU from which RefCOCO counts an object as found


@dataclass(frozen=True)
class Scored:
    """An item with its answer. Masks are decoded only where they are asked for: they are large."""

    item: Item
    given: ItemAnswer
    codec: MaskCodec

    @property
    def text(self) -> str:
        """The answer."""
        return self.given.answer.text

    @property
    def answers(self) -> tuple[str, ...]:
        """The true answers."""
        return self.item.answers or (self.item.suffix,)

    @cached_property
    def true_boxes(self) -> list[LabelledBox]:
        """The objects that there are."""
        true = self.item.truths or parse_detections(self.item.suffix).objects
        return [LabelledBox(each.label, self._pixels(each.box)) for each in true]

    @cached_property
    def given_boxes(self) -> list[LabelledBox]:
        """The objects of the answer, with their scores."""
        found = self.given.parsed()[0]
        return [LabelledBox(each.label, self._pixels(each.box), score) for each, score in found]

    def true_masks(self) -> list[tuple[str, np.ndarray]]:
        """The masks that there are, in the size of the picture, with their labels."""
        width, height = self.given.width, self.given.height
        if self.item.truths:
            masks = [(each.label, each.mask()) for each in self.item.truths if each.mask]
            return [(label, _sized(mask, width, height)) for label, mask in masks]
        found = detections.detect(self.item.suffix, self.codec, width, height)[0]
        return [(each.label, each.mask) for each in found if each.mask is not None]

    def given_masks(self) -> list[tuple[str, np.ndarray]]:
        """The masks of the answer, with their labels."""
        found = self.given.objects(self.codec)
        return [(each.label, each.mask) for each, _ in found if each.mask is not None]

    def _pixels(self, box: Box) -> PixelBox:
        return box.to_xyxy_px(self.given.width, self.given.height)


def names() -> tuple[str, ...]:
    """What can be asked for."""
    return tuple(_MEASURES)


def rows(
    items: Sequence[Item],
    given: Sequence[ItemAnswer],
    codec: MaskCodec,
    wanted: Sequence[str] | None = None,
) -> list[dict]:
    """The rows of the measures that are `wanted`, of those that suit the items where None.

    UserError where one is unknown or suits no item.
    """
    check(wanted or (), items)
    scored = [Scored(*pair, codec) for pair in zip(items, given, strict=True)]
    found = []
    for name, (suits, is_usual, measure) in _MEASURES.items():
        chosen = [each for each in scored if suits(each.item)]
        if wanted is None:
            chosen = [each for each in chosen if is_usual(each.item)]
        elif name not in wanted:
            continue
        if chosen:
            found += [{"measure": label, **vars(value)} for label, value in measure(chosen)]
    return found


def check(wanted: Sequence[str], items: Sequence[Item]) -> None:
    """UserError where a measure is unknown or suits no item."""
    for name in wanted:
        if name not in _MEASURES:
            raise UserError(f"There is no measure {name!r}.", f"Choose of {', '.join(_MEASURES)}.")
        suits, _, _ = _MEASURES[name]
        if not any(map(suits, items)):
            raise UserError(f"No item suits the measure {name}.", "Leave it out.")


Rows = Iterator[tuple[str, Estimate]]

# What an item asks for


def _asks_for_objects(item: Item) -> bool:
    return bool(item.truths) or grammar.yields_boxes(grammar.parse(item.prefix).task)


def _asks_for_masks(item: Item) -> bool:
    return _asks_for_objects(item) and grammar.yields_masks(grammar.parse(item.prefix).task)


def _asks_for_what_is_not_there(item: Item) -> bool:
    return _asks_for_objects(item) and not (item.truths or parse_detections(item.suffix).objects)


def _asks_for_a_caption(item: Item) -> bool:
    captions = (Task.CAP, Task.CAPTION, Task.DESCRIBE)
    return not item.truths and grammar.parse(item.prefix).task in captions


def _asks_for_a_text(item: Item) -> bool:
    return not _asks_for_objects(item) and not _asks_for_a_caption(item)


def _has_several_answers(item: Item) -> bool:
    return len(item.answers) > 1


def _is_yes_or_no(item: Item) -> bool:
    is_text = _asks_for_a_text(item)
    return is_text and kind_of_answer(item.suffix) == "yes or no"


def _always(item: Item) -> bool:
    return True


# Texts


def _vqa(scored: Sequence[Scored]) -> Rows:
    yield "VQA accuracy", mean(_vqa_accuracy(each) for each in scored)


def _exact(scored: Sequence[Scored]) -> Rows:
    yield "exact match", mean(_is_exact(each) for each in scored)


def _kinds(scored: Sequence[Scored]) -> Rows:
    """By the kind of the true answer, where there are several kinds."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    for each in scored:
        right = _vqa_accuracy if _has_several_answers(each.item) else _is_exact
        by_kind[kind_of_answer(each.item.suffix)].append(right(each))
    if len(by_kind) > 1:
        for kind in sorted(by_kind):
            yield f"right where the answer is: {kind}", mean(by_kind[kind])


def _yes_no(scored: Sequence[Scored]) -> Rows:
    true = [yes_or_no(each.item.suffix) is True for each in scored]
    found = yes_no([each.text for each in scored], true)
    yield "yes or no: accuracy", found.accuracy
    yield "yes or no: precision of yes", found.precision
    yield "yes or no: recall of yes", found.recall
    yield "yes or no: F1 of yes", found.f1
    yield "yes or no: share of yes", found.yes
    yield "yes or no: neither", found.invalid


def _anls(scored: Sequence[Scored]) -> Rows:
    yield "ANLS", mean(anls(each.text, each.answers) for each in scored)


def _vqa_accuracy(each: Scored) -> float:
    return vqa_accuracy(each.text, each.answers)


def _is_exact(each: Scored) -> float:
    return float(is_exact(each.text, each.answers))


# Captions


def _cider(scored: Sequence[Scored]) -> Rows:
    texts, answers = [each.text for each in scored], [each.answers for each in scored]
    yield "CIDEr, 0 to 10", mean(cider(texts, answers))


def _length(scored: Sequence[Scored]) -> Rows:
    """The first columns of the table of fine-tuned captions in arXiv 2412.03555."""
    yield "characters", mean(len(each.text) for each in scored)
    yield "sentences", mean(sentences(each.text) for each in scored)


# Objects


def _precision(scored: Sequence[Scored]) -> Rows:
    """COCO's AP with every item as an image of its own: only what it asks for can be wrong."""
    found = average_precision(
        [each.true_boxes for each in scored], [each.given_boxes for each in scored]
    )
    yield "box AP", found.ap
    yield "box AP50", found.ap50
    yield "box AP75", found.ap75


def _first_box(scored: Sequence[Scored]) -> Rows:
    """RefCOCO's accuracy: of the one object there is, by the first box of the answer."""
    right = []
    for each in scored:
        if len(each.true_boxes) == 1:
            true, first = each.true_boxes[0].box_xyxy_px, each.given_boxes[:1]
            right.append(any(box_iou(true, b.box_xyxy_px) >= FOUND_AT for b in first))
    if right:
        yield f"box of the one object, IoU ≥ {FOUND_AT}", mean(right)


def _absent(scored: Sequence[Scored]) -> Rows:
    """Of the questions about what is not there, those that were answered with a box."""
    yield "absent kinds boxed", mean(bool(each.given_boxes) for each in scored)


def _masks(scored: Sequence[Scored]) -> Rows:
    """The IoU of each true mask with the given one of its label that fits best; 0 for a miss."""
    ious: list[float] = []
    for each in scored:
        ious += matched_ious(each.true_masks(), each.given_masks(), mask_iou)
    if ious:
        yield "mask mIoU", mean(ious)


def _sized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """A mask in the size of the picture; a very large one was opened smaller than it is."""
    if mask.shape == (height, width):
        return mask
    resized = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized, bool)


# What makes no sense


def _senseless(scored: Sequence[Scored]) -> Rows:
    """A box that is none, a mask that is none, or no mask where one is asked for."""
    wrong = []
    for each in scored:
        found, invalid = each.given.parsed()
        lacks_mask = _asks_for_masks(each.item) and any(thing.codes is None for thing, _ in found)
        wrong.append(bool(invalid) or lacks_mask)
    yield "answers with a box or mask that makes no sense", mean(wrong)


def _cut_off(scored: Sequence[Scored]) -> Rows:
    yield "answers cut off", mean(not each.given.answer.finished for each in scored)


def _reads(item: Item) -> bool:
    return _has_several_answers(item) or grammar.parse(item.prefix).task is Task.OCR


def _has_one_answer(item: Item) -> bool:
    return not _has_several_answers(item)


# By name: which items suit it, which of those are usual for it, and its rows.
_Suits = Callable[[Item], bool]
_MEASURES: dict[str, tuple[_Suits, _Suits, Callable[[Sequence[Scored]], Rows]]] = {
    "vqa": (_asks_for_a_text, _has_several_answers, _vqa),
    "exact": (_asks_for_a_text, _has_one_answer, _exact),
    "kinds": (_asks_for_a_text, _always, _kinds),
    "yes-no": (_is_yes_or_no, _always, _yes_no),
    "anls": (_asks_for_a_text, _reads, _anls),
    "cider": (_asks_for_a_caption, _always, _cider),
    "length": (_asks_for_a_caption, _always, _length),
    "ap": (_asks_for_objects, _always, _precision),
    "box": (_asks_for_objects, _always, _first_box),
    "absent": (_asks_for_what_is_not_there, _always, _absent),
    "masks": (_asks_for_masks, _always, _masks),
    "senseless": (_asks_for_objects, _always, _senseless),
    "cut-off": (_always, _always, _cut_off),
}
