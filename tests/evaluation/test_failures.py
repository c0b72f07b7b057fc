"""What went wrong is counted and shown as it was."""

from __future__ import annotations

import numpy as np

from evaluation.nano import failures
from training.nano.scenes.scene import HELD_OUT, draw


def miss(seed: int, prefix: str, true: str, given: str) -> dict:
    return {"seed": HELD_OUT + seed, "prefix": prefix, "true": true, "given": given}


SCORES = {
    "checkpoint": "nano-224",
    "resolution": 224,
    "wrong": {
        "region": [
            miss(1, "caption <loc0001>", "wolf", "fox"),
            miss(2, "caption <loc0002>", "wolf", "fox"),
            miss(2, "caption <loc0003>", "cat", "dog"),
        ],
        "answer: how many": [miss(2, "answer en how many cats are there?", "3", "2")],
        "ocr, letters 14–20 px": [miss(3, "ocr", "OPEN", "0PEN"), miss(4, "ocr", "SUN", "SUNS")],
        "caption": [miss(2, "caption en", "a cat", ""), miss(5, "caption de", "Katze", "Hund")],
    },
}


def test_confusions_are_counted_the_commonest_first():
    lines = failures.tables(SCORES).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["object in a box", "number of objects", "printed letter"]
    assert cells[2] == ["wolf → fox (2)", "3 → 2 (1)", "O → 0 (1)"]
    assert cells[3] == ["cat → dog (1)", "", ""]


def test_the_scenes_with_the_most_wrong_answers_come_first():
    chosen = failures.worst(SCORES)
    assert [seed - HELD_OUT for seed, _ in chosen] == [2, 1, 3, 4]
    assert len(chosen[0][1]) == 4


def test_the_picture_shows_the_scenes():
    sheet = np.asarray(failures.picture(failures.worst(SCORES), 224))
    side, margin = failures.SHOWN, failures.MARGIN
    shown = sheet[margin : margin + side, margin : margin + side]
    assert np.array_equal(shown, np.asarray(draw(HELD_OUT + 2).image))
    beside = sheet[margin : margin + side, 2 * margin + side : 2 * margin + side + 200]
    greens = (beside[..., 1].astype(int) - beside[..., 0]) > 40
    reds = (beside[..., 0].astype(int) - beside[..., 1]) > 80
    assert greens.any()
    assert reds.any()
