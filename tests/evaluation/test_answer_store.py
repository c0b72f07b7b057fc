"""Answers that are stored: never asked for twice, and never taken for those to something else."""

from __future__ import annotations

import pytest
from PIL import Image

from evaluation.compare.answer_store import Answer, AnswerPart, AnswerStore, digest_of_files

PICTURE = Image.new("RGB", (4, 4), "red")
GIVEN = [Answer("zwölf", (AnswerPart("<loc0001> cat", 0.5),), True), Answer("", (), False)]


def never() -> list[Answer]:
    raise AssertionError("asked again")


def test_a_second_run_takes_what_the_first_one_was_told(tmp_path):
    store = AnswerStore(tmp_path / "work", "weights")
    assert store.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN) == GIVEN
    assert store.answers([PICTURE], ["cap en", "ocr"], never) == GIVEN
    (file,) = (tmp_path / "work").iterdir()
    file.write_text(file.read_text()[:20])  # as of a machine that lost power
    assert store.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN) == GIVEN


def test_other_pictures_prompts_or_weights_are_asked_anew(tmp_path):
    store, other = AnswerStore(tmp_path, "weights"), Image.new("RGB", (4, 4), "blue")
    store.answers([PICTURE], ["cap en", "ocr"], lambda: GIVEN)
    for images, prompts, of in (
        ([other], ["cap en", "ocr"], "weights"),
        ([PICTURE], ["cap en", "cap de"], "weights"),
        ([PICTURE], ["cap en", "ocr"], "other weights"),
    ):
        with pytest.raises(AssertionError, match="asked again"):
            AnswerStore(tmp_path, of).answers(images, prompts, never)
    assert AnswerStore(None).answers([PICTURE], ["ocr"], lambda: GIVEN) == GIVEN


def test_a_digest_tells_files_apart_but_not_folders(tmp_path):
    def digest(folder: str, **files: str) -> str:
        (tmp_path / folder).mkdir()
        for name, content in files.items():
            (tmp_path / folder / name).write_text(content)
        return digest_of_files((tmp_path / folder).iterdir())

    first = digest("first", weights="ab", config="c")
    assert digest("same", weights="ab", config="c") == first
    assert digest("changed", weights="ac", config="c") != first
    assert digest("moved", weights="a", config="bc") != first
    assert digest("renamed", weight="ab", config="c") != first


def test_a_picture_of_another_shape_is_another_one(tmp_path):
    store = AnswerStore(tmp_path, "weights")
    store.answers([PICTURE], ["ocr"], lambda: GIVEN)
    with pytest.raises(AssertionError, match="asked again"):
        store.answers([Image.new("RGB", (2, 8), "red")], ["ocr"], never)
