"""The command line beside plain `generate` in batches."""

from __future__ import annotations

from evaluation.speed import lines
from evaluation.speed.implementations import plain
from models.catalog.checkpoints import NANO


def test_both_write_the_same_captions(backend):
    other = plain(NANO, "fp32", 64)
    found = lines.compare_lines(backend, other, NANO, 4)
    assert (found["captions"], found["same"]) == (4, 4)
    assert found["ours_s"] > 0 and found["plain_s"] > 0
    assert "same text in 4" in lines.note(found)
