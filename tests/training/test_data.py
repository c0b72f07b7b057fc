"""Where items come from."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from data.items import checked
from data.sources import Source, read, source
from models.catalog.checkpoints import NANO_CODEC
from models.masks.codec import MaskCodec, paste
from models.prompts.tokens import parse_detections
from models.schema import UserError

PICTURED = '{{"image": "a.png", "prefix": {}, "suffix": {}}}'


def write_coco(folder, annotations, size=(80, 60)):
    """A COCO file of one picture with these annotations of a cat and a dog."""
    Image.new("RGB", size, "white").save(folder / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": size[0], "height": size[1]}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 1, "iscrowd": 0} | each
            for i, each in enumerate(annotations)
        ],
    }
    file = folder / "instances.json"
    file.write_text(json.dumps(content))
    return file


def test_easy_vqa_has_its_questions_of_both_splits():
    train, test = (read(Source("easy-vqa", split)) for split in ("train", "test"))
    assert (len(train), len(test)) == (38575, 9673)
    assert train[0].prefix == "answer en what is the blue shape?"
    assert train[0].suffix == "rectangle"
    assert train[0].open().size == (64, 64)
    assert {item.picture.parent for item in train[:500]}.isdisjoint(
        item.picture.parent for item in test[:500]
    )


def test_a_jsonl_file_names_pictures_beside_it(tmp_path):
    Image.new("RGBA", (9, 5), (255, 0, 0, 0)).save(tmp_path / "a.png")
    line = {"image": "a.png", "prefix": "cap en", "suffix": "nothing"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line) + "\n\n")
    (item,) = read(Source(str(tmp_path / "mine.jsonl")))
    assert (item.prefix, item.suffix, item.answers) == ("cap en", "nothing", ("nothing",))
    assert item.open().mode == "RGB"


def test_names_of_objects_are_learned_in_lower_case_as_they_are_asked_for(tmp_path):
    file = write_coco(tmp_path, [{"bbox": [1, 1, 9, 9]}])
    file.write_text(file.read_text().replace('"cat"', '"Tabby Cat"'))
    (item,) = read(Source(str(file)))
    assert (item.prefix, item.truths[0].label) == ("detect tabby cat", "tabby cat")
    line = {"image": "a.png", "prefix": "detect Tabby Cat", "suffix": "none"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(line))
    (item,) = read(Source(str(tmp_path / "mine.jsonl")))
    assert item.prefix == "detect tabby cat"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "Line 1"),
        ("[" * 100_000, "Line 1"),
        ('{"image": "a.png", "prefix": "ocr"}', "Line 1"),
        ('{"image": "gone.png", "prefix": "ocr", "suffix": "A"}', "gone.png"),
        ("", "no items"),
        (PICTURED.format('"ocr"', '" "'), "Line 1 of .* empty suffix"),
        (PICTURED.format('"ocr"', "null"), "Line 1"),
        (PICTURED.format('"ocr\\n"', '"A"'), "Line 1 of .* line break"),
        (PICTURED.format('"ocr"', '"A", "answers": null'), "Line 1"),
        ('{"image": 5, "prefix": "ocr", "suffix": "A"}', "Line 1"),
        ('{"image": "' + "a" * 300 + '", "prefix": "ocr", "suffix": "A"}', "not there"),
    ],
)
def test_a_broken_jsonl_file_is_refused_with_its_line(tmp_path, text, word):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(UserError, match=word):
        read(Source(str(tmp_path / "mine.jsonl")))


def test_a_jsonl_file_may_have_a_mark_of_its_encoding_which_is_utf_8(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    file = tmp_path / "mine.jsonl"
    line = PICTURED.format('"ocr"', '"one\u2028two"')
    file.write_text(f"{line}\n{line}\n", "utf-8-sig")
    assert [item.suffix for item in read(Source(str(file)))] == ["one\u2028two"] * 2
    file.write_text(line, "utf-16")
    with pytest.raises(UserError, match="UTF-8"):
        read(Source(str(file)))


def test_boxes_of_a_coco_file_become_detect_prompts_from_the_top_down(tmp_path):
    file = write_coco(
        tmp_path,
        [
            {"bbox": [40, 30, 20, 15]},
            {"bbox": [-5, 0, 25, 30]},  # begins beyond the edge
            {"bbox": [0, 0, 80, 60], "category_id": 2},
            {"bbox": [10, 10, 10, 10], "iscrowd": 1},
            {"bbox": [10, 10, 0, 10]},
        ],
    )
    cats, dog = read(Source(str(file)))
    assert (cats.prefix, dog.prefix) == ("detect cat", "detect dog")
    found = parse_detections(cats.suffix)
    assert [each.label for each in found.objects] == ["cat", "cat"]
    corners = [each.box.to_xyxy_px(80, 60) for each in found.objects]
    assert np.allclose(corners, [(0, 0, 20, 30), (40, 30, 60, 45)], atol=0.1)
    assert dog.suffix == "<loc0000><loc0000><loc1023><loc1023> dog"
    assert found.invalid == 0


@pytest.mark.parametrize("kind", ["polygon", "runs"])
def test_masks_of_a_coco_file_become_codes_that_draw_them_again(tmp_path, kind):
    true = np.zeros((60, 80), bool)
    true[10:50, 20:60] = True
    flat = true.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    outline = {
        "polygon": [[20, 10, 60, 10, 60, 50, 20, 50]],
        "runs": {"size": [60, 80], "counts": runs},
    }[kind]
    file = write_coco(tmp_path, [{"bbox": [20, 10, 40, 40], "segmentation": outline}])
    (item,) = read(Source(str(file), task="segment"))
    assert item.prefix == "segment cat"
    assert (item.truths[0].mask() == true).all()
    (found,) = parse_detections(item.suffix).objects
    decoded = MaskCodec.load(NANO_CODEC).decode(np_codes(found.codes))[0]
    drawn = paste(decoded, found.box.to_xyxy_px(80, 60), 80, 60)
    assert (drawn & true).sum() / (drawn | true).sum() > 0.9


def np_codes(codes):
    import torch

    return torch.tensor([codes])


@pytest.mark.parametrize(
    ("annotation", "task", "word"),
    [
        ({"bbox": [1, 1, 9, 9]}, "segment", "no segmentation"),
        ({"bbox": [1, 1, 9, 9], "category_id": 5}, "detect", "does not have"),
        ({}, "detect", "bbox"),
        ({"bbox": [1, 1, 9, 9]}, "caption", "detect, segment"),
        ({"bbox": [1, 1, float("nan"), 9]}, "detect", "no finite bbox"),
        ({"bbox": [1, 1, 9, 9], "segmentation": [[1, 2]]}, "segment", "annotation 0 cannot be"),
        ({"bbox": [1, 1, 9, 9], "segmentation": "abc"}, "segment", "annotation 0 cannot be"),
        (
            {"bbox": [1, 1, 9, 9], "segmentation": {"size": [9, 9], "counts": [81]}},
            "segment",
            "80 × 60 pixels",
        ),
        (
            {"bbox": [1, 1, 9, 9], "segmentation": {"size": [60, 80], "counts": [81]}},
            "segment",
            "annotation 0 cannot be",
        ),
        (
            {"bbox": [1, 1, 9, 9], "segmentation": {"size": [60, 80], "counts": "abc"}},
            "segment",
            "run lengths of 80 × 60 pixels",
        ),
    ],
)
def test_a_coco_file_that_lacks_something_is_refused(tmp_path, annotation, task, word):
    file = write_coco(tmp_path, [annotation])
    with pytest.raises(UserError, match=word):
        read(Source(str(file), task=task))


@pytest.mark.parametrize("name", ["a ; b", "two\nlines", " "])
def test_a_category_that_no_prompt_can_ask_for_is_refused(tmp_path, name):
    file = write_coco(tmp_path, [{"bbox": [1, 1, 9, 9]}])
    content = json.loads(file.read_text())
    content["categories"][0]["name"] = name
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="category"):
        read(Source(str(file)))


def test_a_picture_that_is_missing_is_named(tmp_path):
    file = write_coco(tmp_path, [{"bbox": [1, 1, 9, 9]}])
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png"):
        read(Source(str(file)))


def dataset(folder, **columns):
    """A folder of parquet that `datasets` reads."""
    import datasets

    features = datasets.Dataset.from_dict(columns)
    if "image" in columns:
        features = features.cast_column("image", datasets.Image())
    features.to_parquet(folder / "train.parquet")
    return str(folder)


def test_a_dataset_is_read_by_its_columns(tmp_path):
    Image.new("L", (6, 4)).save(tmp_path / "a.png")
    pictures = tmp_path / "data"
    pictures.mkdir()
    name = dataset(
        pictures,
        image=[str(tmp_path / "a.png")] * 3,
        question=["what?", "who?", "where?"],
        answers=[["a", "b", "b"], ["me", "me"], ["here"]],
    )
    items = read(source(name, answer="answers", template="answer en {question}"))
    assert [item.suffix for item in items] == ["b", "me", "here"]
    assert items[0].answers == ("a", "b", "b")
    assert items[1].prefix == "answer en who?"
    assert items[2].open().mode == "RGB"
    with pytest.raises(UserError, match="It has image, question, answers"):
        read(source(name, answer="label"))


def test_pictures_of_a_dataset_are_opened_as_uploads_are(tmp_path):
    clear, data = tmp_path / "clear.png", tmp_path / "data"
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(clear)
    data.mkdir()
    name = dataset(data, image=[str(clear), None], question=["a", "b"], answer=["c", None])
    items = read(source(name, template="answer en {question}"))
    assert items[0].open().getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(UserError, match=r"Row 2 .* no picture"):
        items[1].open()
    with pytest.raises(UserError, match=r"Item 2: .* empty suffix"):
        checked(items)
    for template, word in (("answer {", "no template"), ("answer {}", "without the name")):
        with pytest.raises(UserError, match=word):
            read(source(name, template=template))


def test_halves_of_a_dataset_share_nothing_and_are_always_the_same():
    halves = [source("easy-vqa", split="test", half=half) for half in ("first", "second")]
    first, second = ([(i.picture, i.prefix) for i in read(each)] for each in halves)
    assert len(first) + len(second) == 9673
    assert first == [(i.picture, i.prefix) for i in read(halves[0])]
    every = [(i.picture, i.prefix) for i in read(source("easy-vqa", split="test"))]
    assert sorted(first + second) == sorted(every)


def test_a_dataset_that_is_not_there_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match="Check its id"):
        read(Source(str(tmp_path / "nothing")))
