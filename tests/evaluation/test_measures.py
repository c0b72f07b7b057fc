"""Which measures suit which items, and rows of answers whose worth is known."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from data.items import Item, Truth
from evaluation.compare import measures
from evaluation.compare.answer_store import Answer, AnswerPart
from evaluation.compare.item_answers import ItemAnswer
from models.catalog.checkpoints import NANO
from models.masks.codec import MaskCodec
from models.prompts.tokens import encode_box, encode_codes
from models.schema import Box, UserError

WIDTH, HEIGHT = 200, 100
NOWHERE = Path("never opened")
LEFT, RIGHT = Box(0.2, 0.1, 0.8, 0.4), Box(0.2, 0.6, 0.8, 0.9)
NARROW = Box(0.2, 0.1, 0.8, 0.28)  # IoU 0.6 with LEFT


@pytest.fixture(scope="module")
def codec() -> MaskCodec:
    return MaskCodec.load(NANO.codec)


def text(prefix: str, *answers: str) -> Item:
    return Item(NOWHERE, prefix, answers[0], answers)


def said(text: str, *scores: float, finished: bool = True) -> ItemAnswer:
    texts = [each for each in text.split(" ; ") if each.startswith("<loc")]
    scores = scores or (0.9,) * len(texts)
    found = tuple(AnswerPart(*pair) for pair in zip(texts, scores, strict=True))
    return ItemAnswer(Answer(text, found, finished), WIDTH, HEIGHT)


def values(items, given, codec, wanted=None) -> dict[str, float]:
    found = measures.rows(items, given, codec, wanted)
    for row in found:
        assert set(row) == {"measure", "value", "low", "high", "count"}
        assert row["low"] <= row["value"] <= row["high"] or math.isnan(row["value"])
    return {row["measure"]: row["value"] for row in found}


def test_one_answer_is_compared_exactly_and_by_kind(codec):
    items = [
        text("answer en what color is it?", "red"),
        text("answer en is there a dog?", "yes"),
        text("answer en is it red?", "no"),
        text("answer en what shape is it?", "circle"),
    ]
    found = values(items, [said("Red."), said("yes"), said("yes"), said("square")], codec)
    assert found["exact match"] == 0.5
    assert found["right where the answer is: colour"] == 1
    assert found["right where the answer is: shape"] == 0
    assert found["right where the answer is: yes or no"] == 0.5
    assert found["yes or no: precision of yes"] == 0.5
    assert found["yes or no: share of yes"] == 1
    assert found["answers cut off"] == 0
    assert not {"VQA accuracy", "ANLS", "CIDEr, 0 to 10", "box AP"} & set(found)


def test_several_answers_are_scored_as_in_vqa(codec):
    items = [text("answer en who?", *(["a man"] * 2 + ["woman"] * 8))]
    found = values(items, [said("man")], codec)
    assert found["VQA accuracy"] == pytest.approx(0.6)
    assert found["ANLS"] == pytest.approx(0.6)  # "man" to "a man": 2 edits of 5
    assert "exact match" not in found


def test_what_is_asked_for_is_given_and_nothing_else(codec):
    items, given = [text("answer en what?", "sitting")], [said("kitten")]
    found = values(items, given, codec, ["anls"])
    assert found == {"ANLS": pytest.approx(4 / 7)}
    with pytest.raises(UserError, match="No item suits the measure masks"):
        measures.rows(items, given, codec, ["masks"])
    with pytest.raises(UserError, match="no measure 'bleu'"):
        measures.rows(items, given, codec, ["bleu"])


def test_captions_have_cider_and_lengths(codec):
    items = [text("caption en", "a cat on a mat"), text("describe en", "two dogs. A red owl.")]
    right = values(items, [said(each.suffix) for each in items], codec)
    assert right["CIDEr, 0 to 10"] == pytest.approx(10)
    assert right["characters"] == 17
    assert right["sentences"] == 1.5
    wrong = values(items, [said("x", finished=False), said("two dogs")], codec)
    assert 0 < wrong["CIDEr, 0 to 10"] < 5
    assert wrong["answers cut off"] == 0.5
    assert "exact match" not in right


def test_a_caption_of_a_box_is_a_text(codec):
    items = [text("caption <loc0100><loc0100><loc0500><loc0500>", "star")]
    assert values(items, [said("star")], codec)["exact match"] == 1


def test_boxes_are_scored_by_coco_and_by_the_first_one(codec):
    truths = (Truth("cat", LEFT), Truth("cat", RIGHT))
    items = [
        Item(NOWHERE, "detect cat", "", truths=truths),
        Item(NOWHERE, "detect dog", "", truths=(Truth("dog", LEFT),)),
        Item(NOWHERE, "detect owl", "", truths=(Truth("owl", LEFT),)),
    ]
    given = [
        said(f"{encode_box(LEFT)} cat ; {encode_box(RIGHT)} cat"),
        said(f"{encode_box(NARROW)} dog"),
        said(f"<loc0900><loc0000><loc0100><loc0100> owl ; {encode_box(RIGHT)} owl"),
    ]
    found = values(items, given, codec)
    # The mean over kinds: cats are right, the dog is at IoU 0.6, the owl is elsewhere.
    assert found["box AP50"] == pytest.approx(2 / 3, abs=1e-3)
    assert found["box AP75"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["box of the one object, IoU ≥ 0.5"] == 0.5
    assert found["answers with a box or mask that makes no sense"] == pytest.approx(1 / 3)
    assert "mask mIoU" not in found
    assert "exact match" not in found


def test_a_surer_false_box_costs_more(codec):
    items = [Item(NOWHERE, "detect cat", "", truths=(Truth("cat", LEFT),))]
    text = f"{encode_box(RIGHT)} cat ; {encode_box(LEFT)} cat"
    unsure = values(items, [said(text, 0.1, 0.9)], codec)["box AP50"]
    surer = values(items, [said(text, 0.9, 0.1)], codec)["box AP50"]
    assert (unsure, surer) == (pytest.approx(1), pytest.approx(0.5))


def test_a_box_that_is_said_again_is_a_false_one(codec):
    items = [Item(NOWHERE, "detect cat", "", truths=(Truth("cat", LEFT), Truth("cat", RIGHT)))]
    left, right = (f"{encode_box(each)} cat" for each in (LEFT, RIGHT))
    once = values(items, [said(f"{left} ; {right}", 0.9, 0.5)], codec)
    again = values(items, [said(f"{left} ; {left} ; {right}", 0.9, 0.8, 0.5)], codec)
    assert once["box AP50"] == pytest.approx(1)
    # Of three boxes two are right; the second one found is the third in order.
    assert again["box AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_questions_about_what_is_absent_have_a_measure_of_their_own(codec):
    items = [
        Item(NOWHERE, "detect cat", "none"),
        Item(NOWHERE, "detect dog", "none"),
        Item(NOWHERE, "detect owl", "", truths=(Truth("owl", LEFT),)),
    ]
    given = [said("none"), said(f"{encode_box(LEFT)} dog"), said(f"{encode_box(LEFT)} owl")]
    found = values(items, given, codec)
    assert found["absent kinds boxed"] == 0.5
    assert "absent kinds boxed" not in values(items[2:], given[2:], codec)


def test_masks_are_compared_in_the_size_of_the_picture(codec):
    codes = encode_codes([3] * 16)
    answer = f"{encode_box(LEFT)}{codes} cat"
    [(decoded, _)] = said(answer).objects(codec)
    empty = np.zeros((HEIGHT, WIDTH), bool)

    def score(mask: np.ndarray, given: str = answer) -> dict[str, float]:
        truth = Truth("cat", LEFT, partial(np.copy, mask))
        return values([Item(NOWHERE, "segment cat", "", truths=(truth,))], [said(given)], codec)

    assert decoded.mask.any()
    assert score(decoded.mask)["mask mIoU"] == 1
    assert score(np.kron(decoded.mask, np.ones((2, 2), bool)))["mask mIoU"] == 1
    assert score(empty)["mask mIoU"] == 0
    without = score(decoded.mask, f"{encode_box(LEFT)} cat")
    assert without["mask mIoU"] == 0
    assert without["answers with a box or mask that makes no sense"] == 1


def test_a_suffix_that_writes_objects_is_the_truth_where_there_is_no_other(codec):
    suffix = f"{encode_box(LEFT)}{encode_codes([3] * 16)} cat"
    items = [Item(NOWHERE, "segment cat", suffix, (suffix,))]
    found = values(items, [said(suffix)], codec)
    assert found["mask mIoU"] == 1
    assert found["box AP75"] == pytest.approx(1)
    assert values(items, [said("")], codec)["mask mIoU"] == 0
