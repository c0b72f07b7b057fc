"""The drawn shapes that questions about absent kinds are measured on, and the measuring."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data.items import NOTHING
from data.sources import Source, read
from evaluation.absent import shapes
from evaluation.absent.run import MEASURES, main, measure
from models.catalog.catalog import Catalog
from training.nano.scenes import sprites


def test_no_shape_has_a_name_that_nano_knows():
    known = {noun.name for noun in sprites.nouns()}
    assert known and known.isdisjoint(shapes.KINDS)


def test_shapes_are_drawn_where_the_file_says_and_some_pictures_are_empty(tmp_path):
    file = shapes.write(tmp_path / "a", 24, seed=3)
    items = read(Source(str(file), negatives=100.0))
    none = [each for each in items if each.suffix == NOTHING]
    there = [each for each in items if each.truths]
    empty = {each.picture for each in none} - {each.picture for each in there}
    assert len(empty) == 6 and len(items) == 24 * len(shapes.KINDS)
    for each in items[:30]:
        pixels = np.asarray(each.open().convert("L"))
        for truth in each.truths:
            left, top, right, bottom = truth.box.to_xyxy_px(shapes.SIDE, shapes.SIDE)
            inside = pixels[round(top) : round(bottom), round(left) : round(right)]
            dark = inside < 135
            assert dark[0].any() and dark[-1].any() and dark[:, 0].any() and dark[:, -1].any()
    again = shapes.write(tmp_path / "b", 24, seed=3)
    assert again.read_text() == file.read_text()
    one, other = (Image.open(tmp_path / folder / "5.png").tobytes() for folder in "ab")
    assert one == other


def test_a_document_without_a_place_is_told_before_anything_is_drawn(tmp_path, capsys):
    (tmp_path / "a.md").write_text("nothing")
    assert main(["--out", str(tmp_path / "out"), "--write", str(tmp_path / "a.md")]) == 2
    assert "no place for the table" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_both_fine_tunes_are_asked_for_all_kinds_of_all_pictures(tmp_path):
    found = measure(tmp_path, "nano-224", train=8, test=3, steps=1, catalog=Catalog())
    assert found["items"] == 3 * len(shapes.KINDS)
    assert [each["name"].rpartition("/")[0][-4:] for each in found["systems"]] == ["hout", "with"]
    for each in found["systems"]:
        rows = {row["measure"]: row["value"] for row in each["rows"]}
        assert "absent kinds boxed" in rows and "box AP" in rows
    assert MEASURES[1] == "absent"
