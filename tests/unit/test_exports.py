"""Every format is read back by what people load it with, and equals what was answered."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coder
from pycocotools.coco import COCO

from data import export as command
from data.exports.formats import FORMATS, export
from data.exports.outlines import joined, trace
from data.run_results import UNNAMED
from data.sources import Source, read
from models.images import open_image
from models.masks import rle
from models.schema import UserError
from tests.runs import (
    CODES,
    LABELS,
    PROMPTS,
    SIZES,
    detections,
    exported,
    make_run,
    save_pictures,
    text_of,
)

ALL_LABELS = (*LABELS, UNNAMED)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    save_pictures(folder / "images")
    return make_run(folder / "run", folder / "images")


def objects(name: str) -> list[tuple[str, tuple[float, ...], np.ndarray | None]]:
    """Label, box and mask of each object that was answered about a picture."""
    return [
        (each.label or UNNAMED, each.box_xyxy_px, each.mask)
        for prompt in PROMPTS
        for each in detections(name, prompt)
    ]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


def test_every_format_takes_the_place_of_its_older_self(run):
    for name in FORMATS:
        folder = exported(run, name)
        files = sorted(each.relative_to(folder) for each in folder.rglob("*"))
        (folder / "older").write_text("")
        assert sorted(each.relative_to(folder) for each in exported(run, name).rglob("*")) == files
    assert sorted(each.name for each in (run / "exports").iterdir()) == sorted(FORMATS)


def test_coco_is_read_by_pycocotools(run):
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(exported(run, "coco") / "annotations.json"))
    assert sorted(found.imgs) == list(range(1, len(SIZES) + 1))
    assert sorted(found.anns) == list(range(1, len(found.anns) + 1))
    assert [each["name"] for each in found.loadCats(found.getCatIds())] == list(ALL_LABELS)
    assert found.getCatIds()[0] == 1
    names = {each["file_name"]: each for each in found.imgs.values()}
    assert {name: (each["width"], each["height"]) for name, each in names.items()} == SIZES
    for name, image in names.items():
        annotations = found.loadAnns(found.getAnnIds(image["id"]))
        assert len(annotations) == len(objects(name))
        for each, (label, box, mask) in zip(annotations, objects(name), strict=True):
            assert found.cats[each["category_id"]]["name"] == label
            x, y, width, height = each["bbox"]
            assert np.allclose((x, y, x + width, y + height), box, atol=0.011)
            assert (each["iscrowd"], each["score"]) == (0, 0.875)
            if mask is None:
                assert each["area"] == pytest.approx(width * height, abs=0.01)
            else:
                assert (found.annToMask(each).astype(bool) == mask).all()
                assert each["area"] == mask.sum()


def read_yolo(folder: Path, masks: bool):
    """What supervision reads, by the names of the label files."""
    import supervision

    found = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(folder / "images" / "train"),
        annotations_directory_path=str(folder / "labels" / "train"),
        data_yaml_path=str(folder / "data.yaml"),
        force_masks=masks,
    )
    return found, {Path(path).stem: found.annotations[path] for path in found.image_paths}


STEMS = {
    "a/1.jpg": "a_1",
    "b/1.jpg": "b_1",
    "turned.jpg": "turned",
    "B/1.JPG": "B_1-2",
    "zürich ;#'.png": "zürich ___",
}


@pytest.mark.parametrize("masks", [False, True])
def test_yolo_is_read_by_supervision(run, masks):
    folder = exported(run, "yolo-segment" if masks else "yolo")
    dataset, found = read_yolo(folder, masks)
    assert tuple(dataset.classes) == ALL_LABELS
    assert set(found) == set(STEMS.values())
    for name, stem in STEMS.items():
        there, wanted = found[stem], objects(name)
        assert [dataset.classes[each] for each in there.class_id] == [each[0] for each in wanted]
        for number, (_, box, mask) in enumerate(wanted):
            if mask is None:
                assert np.allclose(there.xyxy[number], box, atol=0.01)
            elif masks:
                assert iou(there.mask[number].astype(bool), mask) >= 0.99
        (file,) = (folder / "images" / "train").glob(f"{stem}.*")
        with Image.open(file) as image:
            assert image.size == SIZES[name], "as it is stored, so for readers that turn none"


def test_names_of_classes_are_texts_in_data_yaml(run):
    content = yaml.safe_load((exported(run, "yolo") / "data.yaml").read_text("utf-8"))
    assert content["names"] == dict(enumerate(ALL_LABELS))
    assert (content["train"], "path" in content) == ("images/train", False)


def test_cvat_gets_the_archive_that_it_documents(run):
    with zipfile.ZipFile(exported(run, "cvat") / "ultralytics-yolo.zip") as archive:
        content = yaml.safe_load(archive.read("data.yaml"))
        listed = archive.read("train.txt").decode().splitlines()
        labels = {name: archive.read(name).decode() for name in archive.namelist()}
    assert content == {"path": "./", "train": "train.txt", "names": dict(enumerate(ALL_LABELS))}
    assert listed == [f"images/train/{name}" for name in SIZES]
    for name, (width, height) in SIZES.items():
        text = labels[f"labels/train/{name.rpartition('.')[0]}.txt"]
        lines = [line.split() for line in text.splitlines()]
        assert [ALL_LABELS[int(line[0])] for line in lines] == [each[0] for each in objects(name)]
        for line, (_, box, mask) in zip(lines, objects(name), strict=True):
            points = np.array(line[1:], float).reshape(-1, 2) * (width, height)
            if mask is None:
                edges = (*points.min(0), *points.max(0))
                assert np.allclose(edges, box, atol=0.01)
            else:
                assert iou(filled(points, width, height), mask) >= 0.99


def filled(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """A path as Ultralytics draws it: cut to whole pixels and filled, its line included."""
    import supervision

    return supervision.polygon_to_mask(points.astype(np.int32), (width, height)).astype(bool)


def test_pictures_that_differ_in_their_endings_alone_are_refused_for_cvat(tmp_path):
    save_pictures(tmp_path / "images")
    run = make_run(tmp_path / "run", tmp_path / "images")
    lines = (run / "results.jsonl").read_text("utf-8")
    (run / "results.jsonl").write_text(lines.replace('"B/1.JPG"', '"a/1.png"'), "utf-8")
    with pytest.raises(UserError, match=r"a/1\.jpg and a/1\.png .* Export coco"):
        list(export(run, ["cvat", "csv"]))
    assert not (run / "exports" / "cvat").exists()
    assert (run / "exports" / "csv").exists()  # the others are written


def test_label_studio_gets_percents_scores_and_its_interface(run):
    folder = exported(run, "label-studio")
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    interface = ElementTree.fromstring((folder / "interface.xml").read_text("utf-8"))
    kinds = {each.get("name"): each for each in interface if each.get("name") != "image"}
    offered = [each.get("value") for each in kinds["box"]]
    assert offered == [each.get("value") for each in kinds["outline"]] == list(ALL_LABELS)
    assert [unquote(each["data"]["image"]).partition("?d=")[2] for each in tasks] == [*SIZES]
    for task in tasks:
        name = task["data"]["name"]
        width, height = SIZES[name]
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "nano-224"
        *regions, text = prediction["result"]
        assert text["value"]["text"] == ["قطة, a cat\nand more"]
        assert len(regions) == len(objects(name))
        for each, (label, box, mask) in zip(regions, objects(name), strict=True):
            assert each["from_name"] in kinds and each["score"] == 0.875
            assert (each["original_width"], each["original_height"]) == (width, height)
            value = each["value"]
            assert value[each["type"]] == [label]
            if mask is None:
                x, y = value["x"] / 100 * width, value["y"] / 100 * height
                right, bottom = value["width"] / 100 * width, value["height"] / 100 * height
                assert np.allclose((x, y, x + right, y + bottom), box, atol=0.02)
            else:
                points = np.array(value["points"]) / 100 * (width, height)
                coded = coder.frPyObjects([points.ravel().tolist()], height, width)
                assert iou(coder.decode(coder.merge(coded)).astype(bool), mask) >= 0.99


def test_pascal_voc_is_read_by_supervision(run):
    import supervision

    folder = exported(run, "voc")
    found = supervision.DetectionDataset.from_pascal_voc(
        images_directory_path=str(folder / "JPEGImages"),
        annotations_directory_path=str(folder / "Annotations"),
    )
    assert set(found.classes) <= set(ALL_LABELS)
    by_stem = {Path(path).stem: found.annotations[path] for path in found.image_paths}
    assert set(by_stem) == set(STEMS.values())
    listed = (folder / "ImageSets" / "Main" / "train.txt").read_text("utf-8").splitlines()
    assert sorted(listed) == sorted(by_stem)
    for name, stem in STEMS.items():
        there, wanted = by_stem[stem], objects(name)
        assert [found.classes[each] for each in there.class_id] == [each[0] for each in wanted]
        for read_back, (_, box, _) in zip(there.xyxy, wanted, strict=True):
            assert np.allclose(read_back, box, atol=0.51)
        root = ElementTree.parse(folder / "Annotations" / f"{stem}.xml").getroot()
        size = tuple(int(root.findtext(f"size/{each}", "")) for each in ("width", "height"))
        with Image.open(folder / "JPEGImages" / root.findtext("filename", "")) as image:
            assert image.size == size == SIZES[name]


def test_an_imagefolder_is_read_by_datasets(run, tmp_path):
    import datasets

    folder = exported(run, "imagefolder")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path)
    )
    assert {row["path"] for row in rows} == set(SIZES)
    for row in rows:
        width, height = SIZES[row["path"]]
        assert row["image"].size == (width, height)
        assert row["prompts"] == list(PROMPTS) and row["texts"][2] == "قطة, a cat\nand more"
        found, wanted = row["objects"], objects(row["path"])
        assert found["label"] == [each[0] for each in wanted]
        for (x, y, w, h), counts, (_, box, mask) in zip(
            found["bbox"], found["mask"], wanted, strict=True
        ):
            assert np.allclose((x, y, x + w, y + h), box, atol=0.011)
            assert bool(counts) == (mask is not None)
            if mask is not None:
                code = {"size": [height, width], "counts": counts.encode()}
                assert (coder.decode(code).astype(bool) == mask).all()


def test_a_csv_table_has_a_row_for_each_object_and_for_answers_without(run):
    with (exported(run, "csv") / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name, (width, height) in SIZES.items():
        there = [row for row in rows if row["image"] == name]
        assert {(row["width"], row["height"]) for row in there} == {(str(width), str(height))}
        found = [row for row in there if row["label"]]
        assert len(there) == len(found) + sum(not detections(name, prompt) for prompt in PROMPTS)
        for row, (label, box, mask) in zip(found, objects(name), strict=True):
            assert row["label"] == label
            edges = [float(row[each]) for each in ("x_min", "y_min", "x_max", "y_max")]
            assert np.allclose(edges, box, atol=0.006)
            if mask is not None:
                code = {"size": [height, width], "counts": row["mask"]}
                assert (rle.decode(code) == mask).all()


def test_jsonl_has_the_lines_of_the_results(run):
    lines = (exported(run, "jsonl") / "results.jsonl").read_text("utf-8").splitlines()
    wanted = [
        each
        for each in (run / "results.jsonl").read_text("utf-8").splitlines()
        if "error" not in json.loads(each)
    ]
    assert lines == wanted


def test_answers_are_learned_as_they_were_written(run):
    items = read(Source(str(exported(run, "finetune") / "train.jsonl")))
    assert len(items) == len(SIZES) * len(PROMPTS)
    by_key = {(each.picture.resolve().name, each.prefix): each for each in items}
    ring = by_key["turned.jpg", PROMPTS[0]]
    assert ring.suffix == text_of(detections("turned.jpg", PROMPTS[0]))
    assert ring.open().size == SIZES["turned.jpg"]
    assert by_key["1.JPG", PROMPTS[0]].suffix == "none"
    masked = [each for each in items if each.prefix == PROMPTS[1] and "<seg" in each.suffix]
    assert [each.suffix.count("<seg") for each in masked] == [len(CODES)] * 2


def test_pictures_of_an_archive_are_written_where_they_are_needed(tmp_path):
    save_pictures(tmp_path / "images")
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in SIZES:
            packed.write(tmp_path / "images" / name, name)
    run = make_run(tmp_path / "run", archive)
    items = read(Source(str(exported(run, "finetune") / "train.jsonl")))
    sizes = {item.picture.stem: item.open().size for item in items}
    assert sizes == {stem: SIZES[name] for name, stem in STEMS.items()}
    turned = open_image(tmp_path / "images" / "turned.jpg").image
    with Image.open(exported(run, "yolo") / "images" / "train" / "turned.jpg") as image:
        difference = np.abs(np.asarray(image, int) - np.asarray(turned, int))
    assert difference.mean() < 2


def test_outlines_draw_any_mask_again():
    random = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(each) for each in random.integers(1, 40, 2))
        mask = random.random((height, width)) < random.random()
        if mask.any():
            path = joined([each.corners for each in trace(mask)]).ravel().tolist()
            coded = coder.frPyObjects([path], height, width)
            assert (coder.decode(coder.merge(coded)).astype(bool) == mask).all()


def test_a_path_out_of_the_pictures_is_refused(tmp_path):
    save_pictures(tmp_path / "images")
    run = make_run(tmp_path / "run", tmp_path / "images")
    lines = (run / "results.jsonl").read_text("utf-8")
    (run / "results.jsonl").write_text(lines.replace('"a/1.jpg"', '"../secret.jpg"'), "utf-8")
    with pytest.raises(UserError, match="outside"):
        list(export(run, ["yolo"]))


def test_the_command_says_where_it_wrote(run, tmp_path, capsys):
    assert command.main([str(run), "--format", "coco", "csv"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 2 and f"{run / 'exports' / 'coco'} is written." in said
    assert command.main([str(tmp_path), "--format", "coco"]) == command.FAILED
    assert "is no folder of a run" in capsys.readouterr().err
