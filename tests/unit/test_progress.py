"""How far a run is, in words."""

from __future__ import annotations

import pytest

from models.batch.progress import Progress, duration


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_are_those_of_this_session():
    clock = Clock()
    progress = Progress(1000, 400, clock)
    assert progress.line() == "400 of 1,000 pictures"
    for number in range(10):
        clock.now += 0.5
        progress.advance(number == 3)
    assert progress.line() == "410 of 1,000 pictures, 1 failed, 2.0 a second, 4 min 55 s left"
    assert progress.share == 0.41


def test_the_rate_is_that_of_the_last_minute():
    clock = Clock()
    progress = Progress(10_000, 0, clock)
    for seconds in [10.0] * 10 + [1.0] * 200:
        clock.now += seconds
        progress.advance(False)
    assert ", 1.0 a second, " in progress.line()


@pytest.mark.parametrize(
    ("seconds", "words"), [(11.6, "12 s"), (90, "1 min 30 s"), (7500, "2 h 5 min")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
