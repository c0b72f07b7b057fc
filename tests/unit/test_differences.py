"""What the page marks as different between two answers."""

from __future__ import annotations

import pytest

from models.schema import Box, Detection
from ui.differences import mark_words, match_boxes


def marked(text: str, other: str) -> list[str]:
    return [part for part, differs in mark_words(text, other) if differs]


@pytest.mark.parametrize(
    "text, other, expected",
    [
        ("a red cat", "a red cat", []),
        ("a red cat", "a blue cat", ["red"]),
        ("two red cats, one dog", "one dog", ["two red cats,"]),
        ("a cat", "", ["a cat"]),
        ("", "a cat", []),
        ("a cat.", "a cat", ["."]),
        ("A cat", "a cat", ["A"]),
        ("cat ; dog ; owl", "owl", ["cat", "dog"]),
        ("赤い猫がいる", "青い猫がいる", ["赤"]),
        ("लाल बिल्ली", "नीली बिल्ली", ["लाल"]),
        ("แมวแดง", "แมวดำ", ["แ", "ง"]),
    ],
)
def test_words_that_the_other_answer_lacks_are_marked(text, other, expected):
    assert marked(text, other) == expected


@pytest.mark.parametrize("text", ["", "  a  cat\nand a dog ", "cat ; dog", "猫 and แมว!"])
@pytest.mark.parametrize("other", ["", "a dog", "x"])
def test_the_parts_together_are_the_answer(text, other):
    assert "".join(part for part, _ in mark_words(text, other)) == text
    assert "".join(part for part, _ in mark_words(text, other, "a")) == text


def test_long_answers_are_compared_word_by_word_too():
    """difflib takes frequent words for noise from 200 on, unless it is told not to."""
    words = ["the cat"] * 200
    changed = [*words[:100], "the dog", *words[101:]]
    assert marked(" ".join(changed), " ".join(words)) == ["dog"]


def test_beside_several_answers_a_word_is_marked_that_any_of_them_lacks():
    parts = mark_words("a red cat on grass", "a blue cat on grass", "a red cat on sand")
    assert [part for part, differs in parts if differs] == ["red", "grass"]
    assert mark_words("a cat") == [("a cat", False)]


def found(label: str, left: float, top: float, right: float, bottom: float) -> Detection:
    box = Box(top / 100, left / 100, bottom / 100, right / 100)
    return Detection(label, box, (left, top, right, bottom))


def test_boxes_match_by_label_and_overlap_and_each_once():
    cat, cat_moved = found("cat", 0, 0, 40, 40), found("Cat ", 5, 0, 45, 40)
    dog_there, far = found("dog", 0, 0, 40, 40), found("cat", 60, 60, 90, 90)
    assert match_boxes([cat], [far, dog_there, cat_moved]) == [2]
    assert match_boxes([cat, cat], [cat_moved]) == [0, None]
    assert match_boxes([far], [cat]) == [None]
    assert match_boxes([], [cat]) == []
    assert match_boxes([cat], []) == [None]


def test_half_an_overlap_is_enough_and_less_is_not():
    whole = found("cat", 0, 0, 30, 10)
    assert match_boxes([whole], [found("cat", 10, 0, 40, 10)]) == [0]  # 20 of 40
    assert match_boxes([whole], [found("cat", 11, 0, 41, 10)]) == [None]
