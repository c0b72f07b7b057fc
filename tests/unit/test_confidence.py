"""How sure the model was of an object."""

from __future__ import annotations

import math

import pytest

from models.prompts.confidence import confidence
from models.prompts.tokens import parse_detections
from models.schema import TokenScore

LOCS = ("<loc0100>", "<loc0200>", "<loc0300>", "<loc0400>")


def scores(*pieces: tuple[str, float, float | None, float | None]) -> tuple[str, list[TokenScore]]:
    text, found = "", []
    for piece, logprob, mass, spread in pieces:
        text += piece
        found.append(TokenScore(len(text), logprob, mass, spread))
    return text, found


def box(spread: float = 0.0, mass: float = 1.0):
    return [(piece, -3.0, mass, spread) for piece in LOCS]


def confidences(text: str, found: list[TokenScore]) -> list[float | None]:
    return [confidence(text, found, each) for each in parse_detections(text).objects]


def test_a_sure_box_is_as_sure_as_its_label():
    text, found = scores(*box(), (" red", math.log(0.5), None, None), (" car", 0.0, None, None))
    assert confidences(text, found) == [pytest.approx(0.5)]


def test_coordinates_that_are_hardly_coordinates_count():
    text, found = scores(*box(mass=0.9), (" cat", 0.0, None, None))
    assert confidences(text, found) == [pytest.approx(0.9**4)]


def test_the_spread_of_an_edge_counts_by_the_side_it_moves():
    """The box is 200 bins high and wide: each edge is off by a tenth of it."""
    text, found = scores(*box(spread=20), (" cat", 0.0, None, None))
    assert confidences(text, found) == [pytest.approx(math.exp(-0.2), rel=1e-3)]


def test_each_object_has_its_own_tokens_and_separators_have_none():
    text, found = scores(
        *box(), (" cat", math.log(0.8), None, None), (" ;", math.log(0.01), None, None),
        (" ", math.log(0.01), None, None), *box(), (" dog", math.log(0.3), None, None),
    )  # fmt: skip
    assert confidences(text, found) == [pytest.approx(0.8), pytest.approx(0.3)]


def test_mask_codes_do_not_count():
    codes = [(f"<seg{code:03d}>", -5.0, None, None) for code in range(16)]
    text, found = scores(*box(), *codes, (" cat", math.log(0.7), None, None))
    assert confidences(text, found) == [pytest.approx(0.7)]


def test_boxes_in_a_row_share_no_label():
    text, found = scores(*box(), *box(spread=20), (" cat", math.log(0.5), None, None))
    assert confidences(text, found) == [
        pytest.approx(1.0), pytest.approx(0.5 * math.exp(-0.2), rel=1e-3)
    ]  # fmt: skip


def test_without_scores_there_is_none():
    text, _ = scores(*box(), (" cat", 0.0, None, None))
    assert confidences(text, []) == [None]
