"""Pictures without an object, kinds that are absent from others, and all kinds in one prompt."""

from __future__ import annotations

from collections import Counter

import pytest

from data import coco
from data.items import NOTHING
from data.sources import Source, read
from models.schema import UserError
from tests.training.coco_files import CAT, DOG, cat, draw, image, items, write
from training.finetune.options import Options
from training.nano.tasks import questions

OWL = {"id": 3, "name": "owl"}  # of which there is none


def several(folder, cats=(), dogs=(), count=12):
    """A file of `count` pictures, of which those of these numbers have a cat or a dog."""
    for i in range(count):
        draw(folder / f"{i}.png")
    images = [image(i, f"{i}.png") for i in range(count)]
    annotations = [cat(100 + i, image_id=i) for i in cats]
    annotations += [cat(200 + i, (50, 30, 20, 20), image_id=i, category_id=2) for i in dogs]
    return write(folder / "i.json", annotations, images, [CAT, DOG, OWL])


def asked(found):
    """(number of the picture, prefix) of the questions whose answer is that there is none."""
    return [(int(each.picture.stem), each.prefix) for each in found if each.suffix == NOTHING]


def test_nothing_is_said_as_nano_says_it():
    assert NOTHING == questions.NOTHING


def test_each_kind_is_asked_as_often_where_it_is_not_as_where_it_is(tmp_path):
    file = several(tmp_path, cats=range(4), dogs=range(2, 6))
    found, changes = items(file, negatives=1.0)
    none = asked(found)
    assert (changes[coco.ABSENT], changes[coco.OF_EMPTY]) == (8, 4)
    assert Counter(prefix for _, prefix in none) == {"detect cat": 4, "detect dog": 4}
    assert len(set(none)) == 8 and len(found) == 16
    for number, prefix in none:
        assert number not in (range(4) if prefix == "detect cat" else range(2, 6))
    # Half of them are about pictures with the other kind, as far as there are such.
    assert sum(number < 6 for number, _ in none) == 4
    assert all(not each.truths for each in found if each.suffix == NOTHING)
    assert [each.picture for each in found] == sorted(
        (each.picture for each in found), key=lambda path: int(path.stem)
    )
    assert asked(items(file, negatives=1.0)[0]) == none  # the same at every reading


def test_a_share_is_kept_to_and_none_is_the_default_of_a_source(tmp_path):
    file = several(tmp_path, cats=range(4), dogs=range(2, 6))
    assert len(asked(items(file, negatives=0.5)[0])) == 4
    assert not asked(items(file)[0])
    assert len(asked(items(file, negatives=100.0)[0])) == 8 + 8  # all there are


def test_a_file_whose_pictures_all_have_the_one_kind_gives_none(tmp_path):
    found, _ = items(several(tmp_path, cats=range(12)), negatives=1.0)
    assert not asked(found) and len(found) == 12


def test_pictures_that_may_have_a_kind_are_not_said_to_lack_it(tmp_path):
    file = several(tmp_path, cats=[0], dogs=[0], count=4)
    content = [
        cat(0, image_id=0),
        cat(1, image_id=1, iscrowd=1),
        cat(2, (70, 10, -0.01, 9), image_id=2),  # too small to be shown
    ]
    write(file, content, [image(i, f"{i}.png") for i in range(4)])
    assert asked(items(file, negatives=9.0)[0]) == [(3, "detect cat")]
    assert asked(items(file, negatives=9.0, prompt="all")[0]) == [(3, "detect cat")]


def test_where_a_file_says_what_is_absent_nothing_else_is_taken_to_be(tmp_path):
    assert len(asked(items(several(tmp_path, cats=[0, 1]), negatives=1.0)[0])) == 2
    told = [{"neg_category_ids": [1] if i == 5 else []} for i in range(12)]
    images = [image(i, f"{i}.png") | told[i] for i in range(12)]
    file = write(tmp_path / "lvis.json", [cat(0, image_id=0), cat(1, image_id=1)], images)
    assert asked(items(file, negatives=1.0)[0]) == [(5, "detect cat")]


def test_all_kinds_are_asked_for_in_one_prompt(tmp_path):
    file = several(tmp_path, cats=[0, 1], dogs=[1], count=5)
    found, _ = items(file, prompt="all", negatives=0.5)
    assert {each.prefix for each in found} == {"detect cat ; dog"}
    both = found[1]
    assert [each.label for each in both.truths] == ["cat", "dog"]
    assert both.suffix.count("<loc") == 8 and both.suffix.endswith(" dog")
    assert len(found) == 3 and len(asked(found)) == 1 and asked(found)[0][0] > 1


def test_more_kinds_than_a_prompt_has_room_for_are_refused(tmp_path):
    draw(tmp_path / "a.png")
    kinds = [{"id": i, "name": f"a rather long name of kind {i}"} for i in range(30)]
    given = [cat(i, (i, i, 20, 20), category_id=i) for i in range(30)]
    with pytest.raises(UserError, match=r"all 30 kinds has \d+ characters.* Ask for each"):
        items(write(tmp_path / "i.json", given, categories=kinds), prompt="all")


def test_pictures_that_are_asked_nothing_need_not_be_there(tmp_path):
    file = several(tmp_path, cats=[0], count=2)
    (tmp_path / "1.png").unlink()
    assert len(items(file)[0]) == 1
    with pytest.raises(UserError, match=r"1\.png, named in i\.json, is not there"):
        items(file, negatives=1.0)


def test_masks_have_negatives_too(tmp_path):
    draw(tmp_path / "a.png")
    draw(tmp_path / "b.png")
    outline = [[10, 20, 40, 20, 40, 35, 10, 35]]
    file = write(tmp_path / "i.json", [cat(segmentation=outline)], [image(), image(8, "b.png")])
    seen = read(Source(str(file), task="segment", negatives=1.0))
    assert [each.prefix for each in seen] == ["segment cat"] * 2
    assert "<seg" in seen[0].suffix and seen[1].suffix == NOTHING


def test_a_fine_tune_has_as_many_as_positives_unless_told_otherwise(catalog_checkpoint):
    def of(**given):
        return Options(**given).settled(catalog_checkpoint).source().negatives

    assert (of(data="a.json"), of(data="a.json", negatives=0.0), of(data="a.jsonl")) == (1, 0, 0)


@pytest.fixture
def catalog_checkpoint():
    from models.catalog.catalog import Catalog

    return Catalog().find("nano-224")
