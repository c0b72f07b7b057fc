"""The numbers of the tables on cases small enough to work out by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from evaluation.metrics.boxes import LabelledBox, average_precision
from evaluation.metrics.estimates import Estimate, mean
from evaluation.metrics.masks import mask_iou
from evaluation.metrics.names import Hits, NameFinder, compare_names, pooled_f1
from evaluation.metrics.texts import character_error_rate, edit_distance, is_exact
from models.matching import box_iou, match, matched_ious

ENGLISH = NameFinder(
    {
        "cat": ["cat", "cats"],
        "dog": ["dog", "dogs"],
        "hot dog": ["hot dog", "hot dogs"],
        "owl": ["owl", "owls"],
        "mouse": ["mouse", "mice"],
    }
)


@pytest.mark.parametrize(
    ("caption", "counts"),
    [
        ("a cat on a red background", {"cat": 1}),
        ("two cats, an owl, and three mice on a blue background", {"cat": 2, "owl": 1, "mouse": 3}),
        ("a hot dog and a dog", {"hot dog": 1, "dog": 1}),
        ("A cat at the top. A cat in the center.", {"cat": 2}),
        ("cat, owl", {"cat": 1, "owl": 1}),
        ("concatenated dogma", {}),
        ("", {}),
    ],
)
def test_names_and_numbers_are_read_from_captions(caption, counts):
    assert ENGLISH.count(caption) == counts


def test_names_of_other_languages_follow_a_cross():
    german = NameFinder({"Katze": ["Katze"], "Eule": ["Eule"]}, "de")
    assert german.count("2 × Katze und Eule") == {"Katze": 2, "Eule": 1}
    chinese = NameFinder({"猫": ["猫"], "马": ["马"]}, "zh")
    assert chinese.count("3 × 猫和马") == {"猫": 3, "马": 1}


def test_a_number_too_many_is_an_extra_object():
    hits = compare_names(Counter(cat=3, dog=1), Counter(cat=2, owl=1))
    assert hits == Hits(found=2, extra=2, missed=1)


def test_f1_pools_all_items():
    estimate = pooled_f1([Hits(2, 0, 0), Hits(0, 1, 1)])
    assert estimate.value == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert estimate.count == 2


def test_the_interval_holds_the_mean_and_narrows_with_more_items():
    few, many = mean([0, 1] * 10), mean([0, 1] * 1000)
    for estimate in (few, many):
        assert estimate.low < estimate.value == 0.5 < estimate.high
    assert many.high - many.low < (few.high - few.low) / 4
    # A rate of 1/2 over n items has a standard error of 1/(2√n).
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(2000), rel=0.15)


def test_no_items_give_no_number():
    estimate = mean([])
    assert math.isnan(estimate.value)
    assert estimate.count == 0


def test_case_spaces_and_an_end_mark_do_not_make_an_answer_wrong():
    assert is_exact(" Top  Left. ", ["center", "top left"])
    assert not is_exact("top", ["top left"])


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("AB", "BA", 2)],
)
def test_edit_distance(first, second, distance):
    assert edit_distance(first, second) == distance


def test_character_errors_are_per_true_character():
    assert character_error_rate("OPEM", "OPEN") == 0.25
    assert character_error_rate("ABCDEF", "AB") == 2.0


def test_box_iou():
    assert box_iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert box_iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_iou((0, 0, 10, 10), (10, 10, 20, 20)) == 0


def test_mask_iou():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert mask_iou(first, second) == 0
    first[:2], second[1:3] = True, True
    assert mask_iou(first, second) == pytest.approx(1 / 3)


def test_boxes_and_masks_overlap_as_much_as_pycocotools_says():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (12, 2))
    sides = rng.uniform(5, 60, (12, 2))
    boxes = [tuple(each) for each in np.concatenate([corners, corners + sides], 1)]
    expected = coco_mask.iou(*[np.concatenate([corners, sides], 1)] * 2, [0] * 12)
    given = [[box_iou(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(given, expected, atol=1e-9)
    masks = rng.random((6, 20, 30)) < rng.uniform(0.1, 0.9, (6, 1, 1))
    codes = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    expected = coco_mask.iou(codes, codes, [0] * 6)
    given = [[mask_iou(a, b) for b in masks] for a in masks]
    np.testing.assert_allclose(given, expected, atol=1e-9)


def test_each_object_is_matched_once_and_the_best_pairs_first():
    overlap = np.array([[0.6, 0.9], [0.0, 0.8]])
    assert match(overlap) == [1, None]
    assert match(np.array([[0.6, 0.9], [0.1, 0.8]])) == [1, 0]
    assert match(np.zeros((2, 0))) == [None, None]


def test_a_missing_object_and_a_wrong_label_score_zero():
    true = [("cat", (0, 0, 10, 10)), ("dog", (20, 0, 30, 10)), ("owl", (40, 0, 50, 10))]
    given = [("cat", (0, 0, 10, 10)), ("mouse", (20, 0, 30, 10))]
    assert matched_ious(true, given, box_iou) == [1.0, 0.0, 0.0]


def box(label: str, x: float, score: float = 1.0, side: float = 40) -> LabelledBox:
    return LabelledBox(label, (x, 10, x + side, 10 + side), score)


def test_perfect_boxes_have_an_average_precision_of_one():
    true = [[box("cat", 0), box("cat", 100)], [box("dog", 50)], []]
    found = average_precision(true, true)
    for each in (found.ap, found.ap50, found.ap75):
        assert (each.value, each.low, each.high) == pytest.approx((1, 1, 1))
        assert each.count == 3


def test_a_sloppy_box_counts_at_the_lower_threshold_only():
    found = average_precision([[box("cat", 0)]], [[box("cat", 10)]])  # IoU 0.6
    assert found.ap50.value == pytest.approx(1)
    assert found.ap75.value == 0
    assert 0.2 < found.ap.value < 0.4


def test_a_surer_false_box_costs_more_than_an_unsure_one():
    true = [[box("cat", 0)], []]
    unsure = average_precision(true, [[box("cat", 0, 0.9)], [box("cat", 0, 0.1)]])
    surer = average_precision(true, [[box("cat", 0, 0.5)], [box("cat", 0, 0.9)]])
    assert unsure.ap50.value == pytest.approx(1)
    assert surer.ap50.value == pytest.approx(0.5, abs=0.01)


def test_no_boxes_given_is_zero_and_none_wanted_is_no_number():
    assert average_precision([[box("cat", 0)]], [[]]).ap50.value == 0
    assert math.isnan(average_precision([[]], [[]]).ap50.value)


def test_a_box_of_an_unknown_label_does_not_hit():
    assert average_precision([[box("cat", 0)]], [[box("unicorn", 0)]]).ap50.value == 0


def test_the_interval_of_average_precision_holds_its_value_and_narrows_with_more_prompts():
    right, wrong = [box("cat", 0)], [box("cat", 100)]

    def interval(prompts: int) -> Estimate:
        true = [right] * prompts
        return average_precision(true, [right, wrong] * (prompts // 2)).ap50

    few, many = interval(10), interval(80)
    assert few.low < few.value < few.high
    assert many.low < many.value < many.high
    assert many.high - many.low < 0.6 * (few.high - few.low)
