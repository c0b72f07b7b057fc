"""Scores of texts agree with the programs and examples that define them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.text_metrics import (
    anls,
    cider,
    plain,
    sentences,
    vqa_accuracy,
    without_punctuation,
    words,
    yes_no,
)


@pytest.mark.parametrize(
    ("agree", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_vqa_accuracy_is_the_mean_over_nine_of_ten_people(agree, score):
    """The published values: 30 % where one of ten said so, 90 % for three, 100 % for four."""
    answers = ["red"] * agree + [f"other {i}" for i in range(10 - agree)]
    assert math.isclose(vqa_accuracy("red", answers), score)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("A dog.", "dog"),
        ("two", "2"),
        ("none", "0"),
        ("the cat, and a dog", "cat and dog"),
        ("1,000 people", "1000 people"),
        ("2.5", "2.5"),
        ("10:30", "10 30"),
        ("dont know", "don't know"),
        ("what's up?", "what s up"),
        ("black/white", "black white"),
        ("theyre", "they're"),
    ],
)
def test_answers_are_normalised_as_the_challenge_does(given, normal):
    assert plain(without_punctuation(given)) == normal


def test_what_everybody_said_is_compared_as_written():
    """The challenge's program strips people's answers only where they differ."""
    assert vqa_accuracy("t-shirt", ["t-shirt"] * 10) == 1
    assert vqa_accuracy("9:30", ["9:30"] * 10) == 0
    assert vqa_accuracy("9:30", ["9:30"] * 9 + ["10"]) == 1


def test_fewer_answers_than_ten_still_give_a_whole_one():
    assert vqa_accuracy("A cat", ["cat"]) == 1
    assert vqa_accuracy("dog", ["cat"]) == 0
    assert vqa_accuracy("cat", ["cat", "cat"]) == 1


def test_anls_is_cut_at_half():
    """The worked example of the ST-VQA paper's measure: 1 − distance / longest, from ½ on 0."""
    assert anls("Coca Cola", ["coca cola"]) == 1
    assert math.isclose(anls("coca col", ["coca cola"]), 1 - 1 / 9)
    assert anls("abcd", ["abxy"]) == 0  # distance ½
    assert math.isclose(anls("abcde", ["abcxy"]), 1 - 2 / 5)
    assert anls("pepsi", ["coca cola", "pepsi"]) == 1
    assert anls("", ["cola"]) == 0


def test_yes_no_rates_are_popes():
    pairs = [("yes", "yes")] * 6 + [("no", "yes")] * 2 + [("yes", "no")] * 1 + [("No.", "no")] * 9
    found = yes_no([*pairs, ("maybe", "no"), ("", "yes")])
    assert math.isclose(found.accuracy, 15 / 20)
    assert math.isclose(found.precision, 6 / 7)
    assert math.isclose(found.recall, 6 / 9)
    assert math.isclose(found.f1, 2 * (6 / 7) * (6 / 9) / (6 / 7 + 6 / 9))
    assert math.isclose(found.yes, 7 / 20)
    assert found.invalid == 2


def test_rates_of_nothing_are_no_numbers():
    assert math.isnan(yes_no([("no", "no")]).precision)
    assert math.isnan(yes_no([]).accuracy)


def test_cider_is_that_of_coco_caption():
    from pycocoevalcap.cider.cider import Cider

    rng = np.random.default_rng(3)
    vocabulary = "a the cat dog sits runs on under red blue table chair tall small and".split()

    def caption() -> str:
        return " ".join(rng.choice(vocabulary, int(rng.integers(4, 14))))

    references = [[caption() for _ in range(int(rng.integers(1, 5)))] for _ in range(25)]
    given = [caption() for _ in references[:-5]] + [each[0] for each in references[-5:]]
    _, theirs = Cider().compute_score(
        dict(enumerate(references)), {i: [each] for i, each in enumerate(given)}
    )
    ours = cider(given, references)
    assert np.allclose(ours, theirs, rtol=1e-9)
    assert max(ours) > 5


def test_words_are_lower_case_without_punctuation():
    assert words("A well-lit room, isn't it? 3 cats_dogs.") == [
        *"a well-lit room isn't it 3 cats dogs".split()
    ]


@pytest.mark.parametrize(
    ("caption", "count"),
    [
        ("", 0),
        ("no end", 1),
        ("One. Two!", 2),
        ('He said "no." Then 2.5 m. Why?', 3),
        ("Hm... so.", 2),
    ],
)
def test_sentences_end_with_a_mark_before_a_space(caption, count):
    assert sentences(caption) == count
