"""Which answers of a visitor are being written, and how many at most."""

from __future__ import annotations

import pytest

from models.schema import UserError
from ui.runs import Runs


def test_stopping_reaches_all_answers_of_one_visitor_only():
    runs = Runs()
    with runs.open("a") as first, runs.open("a") as second, runs.open("b") as other:
        assert runs.stop("a") == 2
        assert first.is_set()
        assert second.is_set()
        assert not other.is_set()
        assert not runs.is_running("a")
        assert runs.is_running("b")
    assert runs.stop("a") == 0


def test_on_a_page_the_last_answer_that_was_begun_wins():
    runs = Runs()
    runs.begin("page")
    runs.begin("page")  # a second click before the first answer has arrived
    runs.arrive("page")
    with runs.open("page") as first:
        runs.arrive("page")
        with runs.open("page") as second:
            assert first.is_set() and not second.is_set()
            assert runs.is_running("page")
        assert not runs.is_running("page")


def test_a_page_runs_from_the_click_until_its_answer_ends_or_is_refused():
    runs = Runs()
    runs.begin("page")
    assert runs.is_running("page")
    runs.forget("page")
    assert not runs.is_running("page")
    runs.arrive("page")
    assert not runs.is_running("page")
    runs.forget("page", is_gone=True)
    with runs.open("page") as first, runs.open("page") as second:
        assert not first.is_set() and not second.is_set(), "a program may ask for many at once"


def test_an_answer_too_many_is_refused_until_one_ends():
    runs = Runs(at_most=2)
    with runs.open("a"):
        with runs.open("b"), pytest.raises(UserError, match="in a minute"), runs.open("c"):
            pass
        with runs.open("c"):
            assert runs.is_running("c")
