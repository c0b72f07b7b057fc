"""The run over many pictures that is killed, in small: real processes on nano."""

from __future__ import annotations

import pytest

from evaluation.speed import many_pictures
from evaluation.speed.many_pictures import draw_pictures, link, main, measure, render
from models.images import open_image


def test_no_two_pictures_have_the_same_pixels(tmp_path):
    draw_pictures(tmp_path, 5, scenes=2)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    assert len({open_image(each).image.tobytes() for each in files}) == 5


def test_a_document_without_a_place_is_told_first(tmp_path, capsys):
    (tmp_path / "a.md").write_text("nothing")
    assert main(["--out", str(tmp_path / "out"), "--write", str(tmp_path / "a.md")]) == 2
    assert "no place for the table" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_that_is_killed_and_begun_again_has_each_picture_once(tmp_path, monkeypatch):
    monkeypatch.setattr(many_pictures, "_LOOK_EVERY_S", 0.01)
    draw_pictures(tmp_path / "pictures", 24, scenes=2)
    link(tmp_path / "few", tmp_path / "pictures", 3)
    few = measure(tmp_path / "few", tmp_path / "run-few", "nano-224", "ocr")
    many = measure(tmp_path / "pictures", tmp_path / "run", "nano-224", "ocr", killed_at=(0.1,))
    assert (few.pictures, few.lines, len(few.peaks_mb)) == (3, 3, 1)
    assert (many.pictures, many.lines, many.twice, many.lost, many.failed) == (24, 24, 0, 0, 0)
    assert len(many.peaks_mb) == 2 and min(*many.peaks_mb, *few.peaks_mb) > 100
    assert "| 24 " in render(few, many, "nano-224", "ocr")
