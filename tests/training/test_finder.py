"""Names of pictures as label tools write them, and the files that they mean."""

from __future__ import annotations

import json

import pytest

from data.finder import BY_NAME
from models.schema import UserError
from tests.training.coco_files import cat, draw, image, items, write


@pytest.mark.parametrize(
    "name",
    [
        "images\\a b.png",
        "..\\..\\label-studio\\media\\upload\\4\\a b.png",
        "/data/upload/1/942a5a02-a b.png",
        "images/1/942a5a02-a b.png",
        "/data/local-files/?d=photos/a%20b.png",
        "s3://bucket/photos/a%20b.png",
        "https://example.org/photos/a b.png?token=1",
        "C:\\Users\\me\\A B.PNG",
        "/home/somebody/a b.png",
    ],
)
def test_the_one_file_of_a_name_is_taken_and_said(tmp_path, name):
    draw(tmp_path / "pictures" / "deep" / "a b.png")
    file = write(tmp_path / "i.json", [cat()], [image(name=name)])
    (item,), changes = items(file, images=tmp_path / "pictures")
    assert item.picture == tmp_path / "pictures" / "deep" / "a b.png"
    assert str(changes) == f"{BY_NAME}: 1 ({name} is deep/a b.png)"


def test_lvis_names_its_pictures_by_their_addresses(tmp_path):
    draw(tmp_path / "train2017" / "1.png")
    entry = image() | {"coco_url": "http://images.cocodataset.org/train2017/1.png"}
    del entry["file_name"]
    (item,), _ = items(write(tmp_path / "lvis.json", [cat()], [entry]))
    assert item.picture == tmp_path / "train2017" / "1.png"
    del entry["coco_url"]
    with pytest.raises(UserError, match=r"Image 7 of lvis\.json has no file_name"):
        items(write(tmp_path / "lvis.json", [cat()], [entry]))


def test_a_path_that_leads_to_a_file_is_taken_without_a_word(tmp_path):
    for folder in "ab":
        draw(tmp_path / folder / "1.png")
    (item,), changes = items(write(tmp_path / "i.json", [cat()], [image(name="b/1.png")]))
    assert item.picture == tmp_path / "b" / "1.png" and not changes


def test_of_two_files_that_whose_folders_are_alike_is_taken(tmp_path):
    for folder in "ab":
        draw(tmp_path / "all" / folder / "1.png")
    (item,), changes = items(write(tmp_path / "i.json", [cat()], [image(name="old\\b\\1.png")]))
    assert item.picture.parent.name == "b" and changes[BY_NAME] == 1
    with pytest.raises(UserError, match=r"1\.png, named in i\.json, may be all/a/1\.png or all/b"):
        items(write(tmp_path / "i.json", [cat()], [image(name="c/1.png")]))


def test_one_file_is_not_taken_for_two_pictures(tmp_path):
    draw(tmp_path / "1.png")
    images = [image(name="a/1.png"), image(8, "b/1.png")]
    with pytest.raises(UserError, match=r"Images 7 and 8 .* are both 1\.png, .* a/1\.png and b"):
        items(write(tmp_path / "i.json", [cat(), cat(1, image_id=8)], images))


def test_a_jsonl_file_finds_its_pictures_so_too(tmp_path):
    draw(tmp_path / "photos" / "a.png")
    line = {"image": "images\\a.png", "prefix": "cap en", "suffix": "white"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    (item,), changes = items(tmp_path / "mine.jsonl")
    assert item.picture.parent.name == "photos" and changes[BY_NAME] == 1


def test_a_jsonl_file_with_two_answers_about_the_same_objects_is_refused(tmp_path):
    draw(tmp_path / "a.png")
    lines = [
        {"image": "a.png", "prefix": f"detect {name}", "suffix": suffix}
        for name, suffix in (("cat", "none"), ("dog", "none"), ("Cat", "<loc0000>" * 4 + " cat"))
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(UserError, match=r"Lines 1 and 3 .* Write all objects of a prompt in one"):
        items(tmp_path / "mine.jsonl")
    lines[2]["suffix"] = "none"
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert len(items(tmp_path / "mine.jsonl")[0]) == 3
