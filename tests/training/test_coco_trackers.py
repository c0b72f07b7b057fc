"""Files of annotations that people reported to label tools and libraries: read right, counted, or
refused by the annotation's id. Each comment names a public report of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data import coco_file
from models.masks import rle
from models.schema import UserError
from tests.training.coco_files import CAT, boxes, cat, draw, image, items, write

THERE = [10, 20, 40, 35]  # of `cat`, as corners
OUTLINE = [[10, 20, 40, 20, 40, 35, 10, 35]]


def runs(**more):
    """The run lengths of `cat`, compressed."""
    mask = np.zeros((60, 80), bool)
    mask[20:35, 10:40] = True
    return rle.encode(mask) | more


@pytest.fixture
def file(tmp_path):
    draw(tmp_path / "a.png")
    return tmp_path / "instances.json"


@pytest.mark.parametrize(
    "bbox",
    [
        {"cx": 25, "w": 30, "cy": 27.5, "h": 15, "x": 10, "y": 20, "width": 30, "height": 15},
        {"x": 10, "y": 20, "w": 30, "h": 15},
        [[10.0, 20.0, 30.0, 15.0]],
        "[10, 20, 30, 15]",
    ],
)
def test_a_box_in_another_wrapping_is_read(file, bbox):
    # imglab#126, cocostuff10k#4, tables that went through CSV
    (item,), changes = items(write(file, [cat(3, bbox)]))
    assert boxes(item) == [THERE] and not changes


@pytest.mark.parametrize(
    "outline",
    [
        [runs()],  # cocostuff10k#4
        runs(counts=str(runs()["counts"].encode())),  # cocoapi#70: b'…' as a text
        json.dumps(runs()),
        json.dumps(OUTLINE),
        [[20, 20], *OUTLINE],  # coco-annotator#526: a point beside the polygon
        [[10, 20, 40, 20, 10, 20], *OUTLINE],  # a polygon without an area
    ],
)
def test_an_outline_in_another_wrapping_is_read(file, outline):
    (item,), changes = items(write(file, [cat(3, segmentation=outline)]), task="segment")
    mask = item.truths[0].mask()
    assert mask[20:35, 10:40].all() and mask.sum() == 450
    assert changes[coco_file.PARTS_LEFT_OUT] == (isinstance(outline, list) and len(outline) == 2)


@pytest.mark.parametrize(
    ("outline", "why"),
    [
        (runs(size=[80, 60]), r"size \[80, 60\], height first"),  # maskrcnn-benchmark#679
        (runs(counts=runs()["counts"][:-3]), "do not fill"),  # cvat#9460
        ({"size": [60, 80], "counts": [1000, 9000]}, "do not fill"),
        ([[10, 20, 30, 15]], "no polygon of three corners"),  # tensorpack#1041: a bbox
        ([[10, 20, 40, 20, 40]], "not x, y"),  # cvat#6014
        ([[10, 20, float("nan"), 20, 40, 35]], "not x, y"),
    ],
)
def test_a_damaged_outline_is_refused_where_it_is_needed(file, outline, why):
    with pytest.raises(UserError, match=f"segmentation of annotation 3 cannot be read: .*{why}"):
        items(write(file, [cat(3, segmentation=outline)]), task="segment")
    with pytest.raises(UserError, match="segmentation of annotation 3 cannot be read"):
        items(write(file, [cat(3, None, segmentation=outline)]))
    # sleap-io#493: its box is as good as without an outline
    assert boxes(items(write(file, [cat(3, segmentation=outline)]))[0][0]) == [THERE]


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_a_line_is_left_out_with_a_count(file, task):
    # cocoapi#355: annotation 918 of COCO's own training set
    flat = cat(918, [29.6, 38.3, 1.03, 0.0], segmentation=[[29.6, 38.3, 29.6, 38.3, 30.6, 38.3]])
    (item,), changes = items(write(file, [flat, cat(1, segmentation=OUTLINE)]), task=task)
    assert len(item.truths) == 1 and changes[coco_file.TOO_SMALL] == 1


def test_crowds_are_objects_where_all_in_the_file_are_crowds(file):
    # JSON2YOLO#38: masks painted in CVAT
    painted = [cat(3, segmentation=runs(), iscrowd=1), cat(4, (50, 30, 20, 20), iscrowd=True)]
    (item,), changes = items(write(file, painted))
    assert len(item.truths) == 2 and changes[coco_file.NO_CROWDS] == 2
    (item,), changes = items(write(file, [*painted, cat(5, (60, 5, 15, 20))]))
    assert boxes(item) == [[60, 5, 75, 25]] and changes[coco_file.CROWDS] == 2


def test_what_is_to_be_ignored_is_neither_there_nor_absent(file):
    # mmdetection#7225, detectron2#1909
    draw(file.parent / "b.png")
    given = [cat(3), cat(4, image_id=8, ignore=1)]
    found, changes = items(write(file, given, [image(), image(8, "b.png")]), negatives=9.0)
    assert [boxes(each) for each in found] == [[THERE]]
    assert changes[coco_file.IGNORED] == 1


@pytest.mark.parametrize("outline", [None, OUTLINE])
@pytest.mark.parametrize(
    ("bbox", "unit"),
    [([12.5, 100 / 3, 37.5, 25], "percent"), ([0.125, 1 / 3, 0.375, 0.25], "fractions")],
)
def test_percent_beside_boxes_in_pixels_are_refused(file, bbox, unit, outline):
    # label-studio#407
    given = cat(3, bbox, area=450, segmentation=outline)
    with pytest.raises(UserError, match=f"annotation 3 is in {unit} of its picture"):
        items(write(file, [given, cat(4, (50, 30, 20, 20))]))


def test_annotations_of_one_id_are_two_objects(file):
    # cvat#2155, datumaro#56
    (item,), changes = items(write(file, [cat(0), cat(0, (50, 30, 20, 20))]))
    assert len(item.truths) == 2 and not changes


def test_large_ids_and_zeros_are_ids(file):
    # fiftyone#1472, cvat#10682
    large = 7706992903151817196
    given = cat(3, image_id=str(large), category_id=0)
    (item,), _ = items(write(file, [given], [image(large)], [CAT | {"id": 0}]))
    assert boxes(item) == [THERE]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_id": "007"}, "Annotation 3 is of the image 007, which"),  # via#23
        ({"image_id": "a.png"}, r"Annotation 3 is of the image a\.png, which"),
        ({"image_id": 7.5}, "Annotation 3 of instances.json has the image_id 7.5"),
        ({"category_id": float("nan")}, "Annotation 3 of instances.json has the category_id nan"),
        ({"category_id": [1]}, "Annotation 3 of instances.json has no category_id"),
        ({"bbox": [10, 20, float("nan"), 15]}, "Annotation 3 has no finite bbox"),
        ({"bbox": [True, False, 30, 15]}, "Annotation 3 has the bbox"),
        ({"bbox": [10, 20, 10**400, 15]}, "Annotation 3 has the bbox"),
        ({"bbox": None, "keypoints": [10, 20, 2]}, "Annotation 3 has neither a bbox nor a seg"),
    ],
)
def test_what_is_no_annotation_is_refused_by_its_id(file, wrong, said):
    with pytest.raises(UserError, match=said):
        items(write(file, [cat(3, **wrong)]))


def test_two_values_of_one_name_are_refused_by_the_id(file):
    write(file, [cat(3)])
    file.write_text(file.read_text().replace('"bbox":', '"bbox": [1, 2, 3, 4], "bbox":'))
    with pytest.raises(UserError, match="has the id 3 says bbox twice, in two ways"):
        items(file)
    write(file, [cat(3)])
    file.write_text(file.read_text().replace('"iscrowd": 0', '"iscrowd": 0, "iscrowd": 0'))
    assert boxes(items(file)[0][0]) == [THERE]


@pytest.mark.parametrize(
    ("part", "content", "said"),
    [
        ("images", [image(), {"file_name": "b.png"}], "Number 2 of the images .* has no id"),
        ("annotations", [None], "Number 1 of the annotations .* has no id"),
        ("categories", ["cat"], "Number 1 of the categories .* has no id"),
        ("categories", [{"id": 1}], "category 1 without a name"),
        ("annotations", {"3": cat(3)}, "annotations of instances.json is no list"),
    ],
)
def test_what_has_no_id_is_refused_by_its_place(file, part, content, said):
    write(file, [cat(3)])
    file.write_text(json.dumps(json.loads(file.read_text()) | {part: content}))
    with pytest.raises(UserError, match=said):
        items(file)
