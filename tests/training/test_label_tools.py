"""COCO files as CVAT, Label Studio, Roboflow, FiftyOne and supervision lay them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.coco_files import boxes, draw, items, write

BOX = {"bbox": [10.0, 20.0, 30.0, 15.0], "area": 450.0}


def cvat(folder: Path) -> Path:
    """`annotations/instances_default.json` beside `images`; boxes with attributes, no outline."""
    draw(folder / "images" / "a.png")
    return write(
        folder / "annotations" / "instances_default.json",
        [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "iscrowd": 0, **BOX}
            | {"attributes": {"occluded": False, "rotation": 0.0}}
        ],
        [
            {"id": 1, "width": 80, "height": 60, "file_name": "a.png", "license": 0}
            | {"flickr_url": "", "coco_url": "", "date_captured": 0}
        ],
        [{"id": 1, "name": "cat", "supercategory": ""}],
        licenses=[{"name": "", "id": 0, "url": ""}],
        info={"contributor": "", "date_created": "", "version": "", "year": ""},
    )


def label_studio(folder: Path) -> Path:
    """`result.json` beside `images`, ids from 0, names with the folder of an upload."""
    draw(folder / "images" / "942a5a02-a.png")
    return write(
        folder / "result.json",
        [
            {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [], "ignore": 0}
            | {"iscrowd": 0, **BOX}
        ],
        [{"width": 80, "height": 60, "id": 0, "file_name": "images\\1/942a5a02-a.png"}],
        [{"id": 0, "name": "Cat"}],
        info={"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio"},
    )


def roboflow(folder: Path) -> Path:
    """`_annotations.coco.json` among the pictures, with a root category that nothing is of."""
    draw(folder / "train" / "a_png.rf.0f1e2d3c.png")
    return write(
        folder / "train" / "_annotations.coco.json",
        [{"id": 0, "image_id": 0, "category_id": 1, "segmentation": [], "iscrowd": 0, **BOX}],
        [
            {"id": 0, "license": 1, "file_name": "a_png.rf.0f1e2d3c.png", "height": 60}
            | {"width": 80, "date_captured": "2026-01-01T00:00:00+00:00"}
        ],
        [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "pets"},
        ],
    )


def fiftyone(folder: Path) -> Path:
    """`labels.json` beside `data`."""
    draw(folder / "data" / "a.png")
    return write(
        folder / "labels.json",
        [{"id": 1, "image_id": 1, "category_id": 0, "iscrowd": 0, **BOX}],
        [
            {"id": 1, "file_name": "a.png", "height": 60, "width": 80, "license": None}
            | {"coco_url": None}
        ],
        [{"id": 0, "name": "cat", "supercategory": None}],
        info={"year": "", "version": "", "description": "Exported from FiftyOne"},
        licenses=[],
    )


def supervision(folder: Path) -> Path:
    """As its own writer does: annotations of any name, pictures in a folder of any name."""
    import supervision as sv

    picture = str(folder / "drawn" / "a.png")
    draw(Path(picture))
    found = sv.Detections(np.array([[10.0, 20, 40, 35]]), class_id=np.array([0]))
    made = sv.DetectionDataset(["cat", "dog"], [picture], {picture: found})
    made.as_coco(str(folder / "set" / "pictures"), str(folder / "set" / "all.json"))
    return folder / "set" / "all.json"


@pytest.mark.parametrize("layout", [cvat, label_studio, roboflow, fiftyone, supervision])
def test_a_set_as_a_tool_writes_it_is_read(tmp_path, layout):
    found, _ = items(layout(tmp_path), negatives=1.0)
    (item,) = found  # no question about a root category
    assert item.prefix == "detect cat"
    assert boxes(item) == [[10, 20, 40, 35]]
    assert item.open().size == (80, 60)
