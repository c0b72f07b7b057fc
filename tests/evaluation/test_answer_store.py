"""Answers that are kept: never asked for twice, and never taken for those to something else."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from evaluation.compare.answer_store import Kept, digest
from evaluation.nano.predict import Answer, Piece

PICTURE = Image.new("RGB", (4, 4), "red")
GIVEN = [Answer("zwölf", (Piece("<loc0001> cat", 0.5),), True), Answer("", (), False)]


def never() -> list[Answer]:
    raise AssertionError("asked again")


def test_a_second_run_takes_what_the_first_one_was_told(tmp_path):
    kept = Kept(tmp_path / "work", "weights")
    assert kept.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN) == GIVEN
    assert kept.answers([PICTURE], ["cap en", "ocr"], never) == GIVEN
    (file,) = (tmp_path / "work").iterdir()
    file.write_text(file.read_text()[:20])  # as of a machine that lost power
    assert kept.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN) == GIVEN


def test_other_pictures_prompts_or_weights_are_asked_anew(tmp_path):
    kept, other = Kept(tmp_path, "weights"), Image.new("RGB", (4, 4), "blue")
    kept.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN)
    for images, prompts, of in (
        ([other], ["cap en", "ocr"], "weights"),
        ([PICTURE], ["cap en", "cap de"], "weights"),
        ([PICTURE], ["cap en", "ocr"], "other weights"),
    ):
        with pytest.raises(AssertionError, match="asked again"):
            Kept(tmp_path, of).answers(images, prompts, never)
    assert Kept(None).answers([PICTURE], ["ocr"], lambda: GIVEN) == GIVEN


def test_a_digest_tells_weights_apart():
    layer = torch.nn.Linear(3, 2)
    before = digest(layer)
    assert digest(layer) == before
    assert digest(layer.to(torch.bfloat16)) != before
    with torch.no_grad():
        layer.bias[0] += 1
    assert digest(layer) != before
