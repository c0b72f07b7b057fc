"""Texts against true ones: worked out by hand, or what the reference implementations give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.metrics import texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # What processDigitArticle(processPunctuation(text)) of VQA's vqaEval.py gives.
        ("The two dogs.", "2 dogs"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("t-shirt", "t shirt"),
        ("red, blue", "red blue"),
        ("1,000-2,000", "10002000"),
        ("3.5 m.", "3.5 m"),
        ("dont know!", "don't know"),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("ows'at", "ows'at"),
        ("None", "0"),
        ("", ""),
    ],
)
def test_an_answer_is_processed_as_in_the_vqa_challenge(text, words):
    assert texts.vqa_words(text) == words


@pytest.mark.parametrize(
    ("matching", "accuracy"),
    # k of ten match: leaving one out, (k·min(1, (k−1)/3) + (10−k)·min(1, k/3)) / 10.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)],
)
def test_vqa_accuracy_is_the_mean_over_leaving_one_person_out(matching, accuracy):
    answers = ["Red."] * matching + [f"other {i}" for i in range(10 - matching)]
    assert texts.vqa_accuracy("red", answers) == pytest.approx(accuracy)


def test_nothing_is_processed_where_all_people_agree():
    assert texts.vqa_accuracy("yes\n", ["yes"] * 10) == 1
    assert texts.vqa_accuracy("Yes.", ["yes"] * 10) == 0
    assert texts.vqa_accuracy("Yes.", ["yes"] * 9 + ["no"]) == 1


def test_of_fewer_answers_one_has_to_match():
    assert texts.vqa_accuracy("The Two!", ["2"]) == 1
    assert texts.vqa_accuracy("blue", ["red", "blue", "green"]) == 1
    assert texts.vqa_accuracy("blue", ["red"]) == 0


@pytest.mark.parametrize(
    ("given", "answers", "similarity"),
    [
        ("OPEN", ["open"], 1.0),
        ("open  now", ["Open now"], 1.0),
        ("opem", ["open"], 0.75),
        ("opem", ["exit", "open"], 0.75),
        ("kitten", ["sitting"], 1 - 3 / 7),
        ("ab", ["ad"], 0.0),  # 1/2 is at the threshold
        ("", ["open"], 0.0),
        ("open", [], 0.0),
    ],
)
def test_anls(given, answers, similarity):
    assert texts.anls(given, answers) == pytest.approx(similarity)


@pytest.mark.parametrize(
    ("text", "said"),
    [("yes", True), (" No.", False), ("Yes, there is.", True), ("not sure", None), ("", None)],
)
def test_yes_or_no_is_the_first_word(text, said):
    assert texts.yes_or_no(text) is said


def test_yes_no_counts_an_answer_that_is_neither_as_wrong():
    given = ["yes", "yes", "no", "no", "yes", "blue"]
    found = texts.yes_no(given, [True, False, False, True, True, True])
    assert found.accuracy.value == pytest.approx(3 / 6)
    assert found.precision.value == pytest.approx(2 / 3)
    assert found.recall.value == pytest.approx(2 / 4)
    assert found.f1.value == pytest.approx(4 / 7)
    assert found.yes.value == pytest.approx(3 / 6)
    assert found.invalid.value == pytest.approx(1 / 6)
    assert found.f1.low <= found.f1.value <= found.f1.high
    assert found.f1.count == 6


def test_there_is_no_precision_without_a_yes():
    found = texts.yes_no(["no", "no"], [True, False])
    assert math.isnan(found.precision.value)
    assert found.recall.value == 0


REFERENCES = [
    ["a cat on a red mat", "a cat sits on a mat"],
    ["two dogs run over the grass", "dogs on the grass"],
    ["an owl in a tree"],
]


@pytest.mark.parametrize(
    ("captions", "scores"),
    [
        # The scores of pycocoevalcap 1.2's Cider for these captions.
        (
            ["a cat on a mat", "two owls run over the grass", "a house"],
            [5.32893388, 3.6838132, 0.1386245],
        ),
        (
            ["A cat on a red mat.", "dogs", ", ".join(["an owl in a tree"] * 3)],
            [6.41042429, 0.98351296, 0.74838702],
        ),
    ],
)
def test_cider_is_that_of_pycocoevalcap(captions, scores):
    np.testing.assert_allclose(texts.cider(captions, REFERENCES), scores, rtol=1e-6)


def test_cider_of_nothing():
    assert texts.cider([], []) == []
    assert texts.cider([""], [["a cat"]]) == [0.0]


def test_captions_are_cut_into_words_as_by_the_penn_treebank_tokenizer():
    text = "Two men, 3.5 m tall, at 10:30 – they’re happy. A cat's t-shirt doesn't fit!"
    assert " ".join(texts.caption_words(text)) == (
        "two men 3.5 m tall at 10:30 they 're happy a cat 's t-shirt does n't fit"
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a cat", 1),
        ("A cat. A dog!", 2),
        ('It says "Stop." It is 3.5 m wide', 2),
        ("Really?! Yes...", 2),
    ],
)
def test_sentences(text, count):
    assert texts.sentences(text) == count


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Yes", "yes or no"),
        ("three", "number"),
        ("teal", "colour"),
        ("circle", "shape"),
        ("a dog", "other"),
    ],
)
def test_kind_of_answer(text, kind):
    assert texts.kind_of_answer(text) == kind
