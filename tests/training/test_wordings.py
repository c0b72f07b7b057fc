"""Questions are put in many ways, one of which is never trained on."""

from __future__ import annotations

import string

import numpy as np
import pytest

from training.nano.tasks.wordings import WORDINGS, Asker, Stranger

PARTS = {
    "place": "on the left", "things": "cats", "thing": "cat", "a thing": "a cat",
    "first": "cat", "second": "dog", "side": "above",
}  # fmt: skip


def asked(asker: Asker, form: str) -> str:
    return asker(form, **PARTS)


@pytest.mark.parametrize("form", WORDINGS)
def test_each_form_has_six_ways_to_train_and_one_to_test(form):
    ways = WORDINGS[form]
    assert len(set(ways)) == len(ways) >= 7
    fields = [{name for _, name, _, _ in string.Formatter().parse(way) if name} for way in ways]
    assert all(each == fields[0] for each in fields)


@pytest.mark.parametrize("form", WORDINGS)
def test_training_meets_all_ways_but_the_last(form):
    asker = Asker(np.random.default_rng(0))
    seen = {asked(asker, form).lower().rstrip("?") for _ in range(300)}
    ways = [way.format_map(PARTS).rstrip("?") for way in WORDINGS[form]]
    assert seen == set(ways[:-1])
    assert asked(Stranger(), form).rstrip("?") == ways[-1]


def test_the_usual_way_is_always_the_same():
    assert {asked(Asker(), "this") for _ in range(20)} == {"what is this?"}


def test_some_questions_are_typed_carelessly():
    asker = Asker(np.random.default_rng(0))
    found = [asked(asker, "where") for _ in range(400)]
    assert 20 < sum(each[0].isupper() for each in found) < 80
    assert any(each.endswith("?") for each in found)
    assert any("find" not in each and not each.endswith("?") for each in found)
