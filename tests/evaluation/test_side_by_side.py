"""The figure of what a second side takes."""

from __future__ import annotations

from evaluation.speed.side_by_side import PROMPTS, measure, render


def test_both_sides_are_measured_alone_and_at_once(backend):
    runs = {PROMPTS[0]: measure(backend, "nano-224", PROMPTS[0], pictures=2)}
    assert len(runs[PROMPTS[0]]) == 2
    for one, in_turn, both in runs[PROMPTS[0]]:
        assert 0 < one < in_turn <= 2 * one and both > 0
    text = render("nano-224", runs)
    assert "medians of 2 pictures" in text and "load average" in text
    assert text.count(PROMPTS[0]) == 1
