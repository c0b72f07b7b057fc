"""Files of label tools that say two things: read right, merged with a count, or refused by id."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data import coco_boxes, coco_file, coco_pictures
from models.images import open_image
from models.schema import UserError
from tests.training.coco_files import CAT, DOG, SIZE, boxes, cat, draw, image, items, write

SQUARE = [10, 10, 50, 10, 50, 50, 10, 50]


@pytest.fixture
def file(tmp_path):
    draw(tmp_path / "a.png")
    return tmp_path / "instances.json"


# Categories


def test_two_names_of_one_category_are_refused_by_its_id(file):
    write(file, [cat()], categories=[CAT, {"id": 1, "name": "dog"}])
    with pytest.raises(UserError, match=r"two categories of the id 1: 'cat' and 'dog'\. Give"):
        items(file)


def test_a_category_that_stands_twice_is_one(file):
    (item,), changes = items(write(file, [cat()], categories=[CAT, DOG, dict(CAT)]))
    assert item.prefix == "detect cat" and changes[coco_file.KINDS_TWICE] == 1


def test_two_categories_of_one_name_are_one_question(file):
    twin = {"id": 5, "name": " Cat\n"}
    given = [cat(), cat(1, (50, 30, 20, 20), category_id=5)]
    (item,), changes = items(write(file, given, categories=[CAT, twin]))
    assert item.prefix == "detect cat" and len(item.truths) == 2
    assert changes[coco_file.KINDS_MERGED] == 1


@pytest.mark.parametrize("name", ["screwdriver, cross", "a ; b", "<loc0001>", "two\nlines", ""])
def test_a_name_that_would_be_two_in_a_prompt_is_refused(file, name):
    with pytest.raises(UserError, match="Name it in one line"):
        items(write(file, [cat()], categories=[{"id": 1, "name": name}]))


def test_a_category_without_a_name_is_not_learned_as_none(file):
    with pytest.raises(UserError, match="category 1 without a name"):
        items(write(file, [cat()], categories=[{"id": 1, "name": None}]))


# Objects that stand twice


def test_an_annotation_that_stands_twice_is_one_object(file):
    (item,), changes = items(write(file, [cat(), cat(), cat(9)]))
    assert boxes(item) == [[10, 20, 40, 35]]
    assert changes[coco_file.OBJECTS_TWICE] == 2
    assert str(changes) == "objects that stand twice, merged: 2 (annotation 0)"


def test_what_two_people_drew_of_one_object_is_one_and_two_kinds_are_two(file):
    given = [cat(), cat(1, (10.2, 20, 30, 15.2)), cat(2, category_id=2), cat(3, (14, 20, 30, 15))]
    (cats, dogs), changes = items(write(file, given))
    assert (len(cats.truths), len(dogs.truths), changes[coco_file.OBJECTS_TWICE]) == (2, 1, 1)


def test_two_masks_in_one_box_are_two_objects(file):
    upper = {"bbox": [10, 10, 40, 40], "segmentation": [[10, 10, 50, 10, 10, 50]]}
    lower = {"bbox": [10, 10, 40, 40], "segmentation": [[50, 10, 50, 50, 10, 50]]}
    (item,), changes = items(
        write(file, [cat(**upper), cat(1, **upper), cat(2, **lower)]), task="segment"
    )
    assert (len(item.truths), changes[coco_file.OBJECTS_TWICE]) == (2, 1)


# Pictures


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_and_masks_of_a_stored_frame_are_turned_with_their_picture(tmp_path, orientation):
    stored = Image.new("RGB", SIZE, "white")
    stored.paste("black", (8, 6, 40, 18))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    polygon = [8, 6, 40, 6, 40, 18, 8, 18]
    given = cat(bbox=[8, 6, 32, 12], segmentation=[polygon])
    (item,), changes = items(write(tmp_path / "i.json", [given]), task="segment")
    assert changes[coco_pictures.TURNED] == 1
    dark = np.asarray(open_image(tmp_path / "a.png").image.convert("L")) < 128
    assert dark.shape == (80, 60)
    assert (item.truths[0].mask() == dark).all()
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert boxes(item, (60, 80)) == [pytest.approx(expected, abs=0.1)]


def test_boxes_of_a_turned_picture_are_left_where_its_size_is_the_upright_one(tmp_path):
    draw(tmp_path / "a.png", orientation=6)
    file = write(tmp_path / "i.json", [cat(bbox=[8, 50, 32, 12])], [image(size=(60, 80))])
    (item,), changes = items(file)
    assert boxes(item, (60, 80)) == [[8, 50, 40, 62]] and not changes


@pytest.mark.parametrize(
    ("annotations", "info"),
    [
        ([cat(bbox=[8, 50, 32, 25])], {}),  # beyond the stored frame, 60 pixels high
        ([cat(bbox=[8, 6, 32, 12])], {"contributor": "Label Studio"}),
    ],
)
def test_a_stored_size_with_boxes_as_shown_is_seen_by_the_boxes_or_the_tool(
    tmp_path, annotations, info
):
    draw(tmp_path / "a.png", orientation=6)
    (item,), changes = items(write(tmp_path / "i.json", annotations, info=info))
    x, y, w, h = annotations[0]["bbox"]
    assert boxes(item, (60, 80)) == [[x, y, x + w, y + h]]
    assert not changes[coco_pictures.TURNED]


def test_boxes_in_both_frames_are_refused_by_their_ids(tmp_path):
    draw(tmp_path / "a.png", orientation=6)
    given = [cat(4, [8, 50, 32, 25]), cat(5, [50, 8, 25, 32])]
    with pytest.raises(UserError, match=r"Annotation 5 .* annotation 4 .*Turn the pictures"):
        items(write(tmp_path / "i.json", given))


def test_a_turn_that_no_size_tells_is_counted(tmp_path):
    draw(tmp_path / "a.png", orientation=3)
    (item,), changes = items(write(tmp_path / "i.json", [cat()]))
    assert boxes(item) == [[10, 20, 40, 35]] and changes[coco_pictures.UNTOLD] == 1


def test_another_shape_is_refused_and_another_size_of_the_same_is_read(file):
    with pytest.raises(UserError, match=r"Image 7 .* is 60 × 80 pixels there, and a\.png is 80"):
        items(write(file, [cat()], [image(size=(60, 80))]))
    (item,), changes = items(write(file, [cat(bbox=[20, 40, 60, 30])], [image(size=(160, 120))]))
    assert boxes(item) == [[10, 20, 40, 35]] and changes[coco_pictures.SCALED] == 1


@pytest.mark.parametrize("shape", [{}, {"width": 0, "height": 0}, {"width": None}])
def test_a_missing_size_is_read_from_the_picture(file, shape):
    (item,), changes = items(write(file, [cat()], [image(size=None) | shape]))
    assert boxes(item) == [[10, 20, 40, 35]] and changes[coco_pictures.MEASURED] == 1


def test_a_size_as_text_is_read_and_nonsense_is_refused(file):
    (item,), changes = items(write(file, [cat()], [image() | {"width": "80", "height": "60.0"}]))
    assert boxes(item) == [[10, 20, 40, 35]] and not changes
    with pytest.raises(UserError, match=r"Image 7 has the width 'wide'"):
        items(write(file, [cat()], [image() | {"width": "wide"}]))


def test_two_images_of_one_id_are_one_or_refused(file):
    _, changes = items(write(file, [cat()], [image(), image()]))
    assert changes[coco_file.PICTURES_TWICE] == 1
    with pytest.raises(UserError, match=r"two images of the id 7: a\.png and b\.png"):
        items(write(file, [cat()], [image(), image(name="b.png")]))


def test_a_turned_picture_without_a_size_is_taken_as_it_is_shown(tmp_path):
    draw(tmp_path / "a.png", orientation=6)
    (item,), changes = items(write(tmp_path / "i.json", [cat()], [image(size=None)]))
    assert boxes(item, (60, 80)) == [[10, 20, 40, 35]] and changes[coco_pictures.UNTOLD] == 1


def test_an_entry_without_annotations_of_a_picture_that_has_some_is_no_empty_picture(file):
    given = [image(8), image(), image(9, "./a.png")]
    found, changes = items(write(file, [cat()], given), negatives=1.0)
    assert [each.suffix.count("<loc") for each in found] == [4]
    assert changes[coco_file.PICTURES_TWICE] == 2
    with pytest.raises(UserError, match=r"Images 7 and 8 of .* are both a\.png, in two sizes"):
        items(write(file, [cat()], [image(), image(8, size=(160, 120))]))


def test_a_picture_of_two_ids_is_asked_once(file):
    given = [cat(), cat(1, (50, 30, 20, 20), image_id=8)]
    (item,), changes = items(write(file, given, [image(), image(8)]))
    assert len(item.truths) == 2 and changes[coco_file.PICTURES_TWICE] == 1


# Boxes


def test_a_box_drawn_from_its_far_corner_is_turned_round(file):
    given = [cat(bbox=[40, 35, -30, -15]), cat(1, [70, 30, -10, 20])]
    (item,), changes = items(write(file, given))
    assert boxes(item) == [[10, 20, 40, 35], [60, 30, 70, 50]]
    assert changes[coco_boxes.FLIPPED] == 2


@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0]])
@pytest.mark.parametrize("outline", ["polygon", "runs"])
def test_a_missing_box_is_that_of_the_outline(file, bbox, outline):
    runs = [10 * 60 + 10, *[40, 20] * 39, 40, 80 * 60 - (10 * 60 + 10) - 60 * 39 - 40]
    given = {"polygon": [SQUARE], "runs": {"size": [60, 80], "counts": runs}}[outline]
    (item,), changes = items(write(file, [cat(bbox=bbox, segmentation=given)]))
    assert boxes(item) == [[10, 10, 50, 50]] and changes[coco_boxes.FROM_OUTLINE] == 1


def test_what_is_cut_or_left_out_is_counted(file):
    given = [
        cat(0, [-5, 0, 25, 30]),
        cat(1, [200, 10, 10, 10]),
        cat(2, [30, 30, 0, 10]),
        cat(3, [], segmentation=[]),
        cat(4, [50, 40, 30.3, 20.4]),  # a rounding
        cat(5, iscrowd=1),
    ]
    (item,), changes = items(write(file, given))
    assert boxes(item) == [[0, 0, 20, 30], [50, 40, 80, 60]]
    assert (changes[coco_file.CUT], changes[coco_file.TOO_SMALL]) == (1, 3)
    assert changes[coco_file.CROWDS] == 1


def test_corners_in_place_of_sides_are_refused(file):
    drawn = cat(3, [30, 30, 50, 50], segmentation=[[30, 30, 50, 30, 50, 50]])
    with pytest.raises(UserError, match="annotation 3 has two corners"):
        items(write(file, [drawn]))
    with pytest.raises(UserError, match="annotation 3 has two corners"):
        items(write(file, [cat(3, [30, 30, 50, 50], area=400)]))
    (item,), _ = items(write(file, [cat(3, [20, 10, 50, 40], area=2000)]))
    assert boxes(item) == [[20, 10, 70, 50]]


def test_a_box_away_from_its_outline_is_refused(file):
    with pytest.raises(UserError, match="annotation 3 are in different places"):
        items(write(file, [cat(3, [60, 40, 10, 10], segmentation=[SQUARE])]))


def test_fractions_are_refused(file):
    with pytest.raises(UserError, match=r"annotation 3, and of all others, is in fractions\. Mult"):
        items(write(file, [cat(3, [0.1, 0.1, 0.5, 0.5]), cat(4, [0, 0, 1, 1])]))


def test_turned_rectangles_are_read_as_the_box_around_or_refused(file):
    turned = cat(bbox=[20, 20, 30, 10], attributes={"occluded": False, "rotation": 90.0})
    (item,), changes = items(write(file, [turned]))
    assert boxes(item) == [[30, 10, 40, 40]] and changes[coco_boxes.TURNED] == 1
    with pytest.raises(UserError, match=r"annotation 3 has 5 numbers\. Write"):
        items(write(file, [cat(3, [20, 20, 30, 10, 45])]))


@pytest.mark.parametrize("bbox", ["abc", [1, 2, "x", 4], [1, 2, None, 4], 5])
def test_what_is_no_box_is_refused_by_the_annotation(file, bbox):
    with pytest.raises(UserError, match="Annotation 3 has the bbox"):
        items(write(file, [cat(3, bbox)]))


# Outlines


@pytest.mark.parametrize(
    "outline",
    [
        SQUARE,
        [[10, 10], [50, 10], [50, 50], [10, 50]],
        [[[10, 10], [50, 10], [50, 50], [10, 50]]],
        [SQUARE, [12, 12, 14, 14]],
    ],
)
def test_polygons_are_read_as_tools_write_them(file, outline):
    (item,), changes = items(
        write(file, [cat(bbox=[10, 10, 40, 40], segmentation=outline)]), task="segment"
    )
    assert item.truths[0].mask()[10:50, 10:50].all()
    assert item.truths[0].mask().sum() == 1600
    assert changes[coco_file.PARTS_LEFT_OUT] == (len(outline) == 2)


def test_two_corners_alone_are_no_mask(file):
    given = cat(3, [10, 10, 40, 40], segmentation=[[10, 10, 50, 50]])
    with pytest.raises(UserError, match="annotation 3 cannot be read: no polygon of three corners"):
        items(write(file, [given]), task="segment")


# Ids


def test_ids_may_be_texts_or_numbers(file):
    given = cat(image_id="7", category_id=1.0, iscrowd="0")
    (item,), changes = items(write(file, [given]))
    assert boxes(item) == [[10, 20, 40, 35]] and not changes


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_id": 8}, "Annotation 3 is of the image 8, which"),
        ({"category_id": 9}, "Annotation 3 is of the category 9, which"),
        ({"category_id": None}, "Annotation 3 of instances.json has no category_id"),
        ({"iscrowd": "maybe"}, "Annotation 3 has the iscrowd 'maybe'"),
    ],
)
def test_an_annotation_of_nothing_is_refused_by_its_id(file, wrong, said):
    with pytest.raises(UserError, match=said):
        items(write(file, [cat(3, **wrong)]))


def test_a_file_of_results_is_none_of_annotations(file):
    file.write_text("[]")
    with pytest.raises(UserError, match="no COCO file"):
        items(file)
