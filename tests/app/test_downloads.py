"""What is saved of an answer: its files and its program."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request

from models.images import OpenedImage
from models.masks import rle
from models.results import result_from_json, result_to_json
from models.schema import Box, Detection, Result, Timings
from ui import downloads
from ui.choices import DEFAULT_DECODING
from ui.save_handlers import SaveHandlers

SIZE = (320, 200)


def masked(label: str, left: int, top: int) -> Detection:
    """An object of 80 × 50 pixels whose mask lacks its lower half."""
    mask = np.zeros(SIZE[::-1], bool)
    mask[top : top + 25, left : left + 80] = True
    width, height = SIZE
    box = Box(top / height, left / width, (top + 50) / height, (left + 80) / width)
    return Detection(label, box, (left, top, left + 80, top + 50), mask, 0.75)


def result(*detections: Detection) -> Result:
    timings = Timings(0.0, 0.25, 0.5, 6)
    return Result(
        "<loc0001> …", "segment cat", "nano-224", None, detections, 0, timings, "eos", ("A note.",),
        (4, 5, 6),
    )  # fmt: skip


@pytest.fixture
def image() -> Image.Image:
    return Image.new("RGB", SIZE, "steelblue")


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_result_comes_back_from_its_json_as_it_was():
    before = result(masked("cat", 10, 20), masked("dog", 150, 100))
    written = json.loads(json.dumps(result_to_json(before)))
    after = result_from_json(written, SIZE)
    assert result_to_json(after) == written
    for one, other in zip(before.detections, after.detections, strict=True):
        assert (one.mask == other.mask).all() and one.box_yxyx_norm == other.box_yxyx_norm


def test_objects_that_repeat_are_saved_once(image):
    answer = result(masked("cat", 10, 20), masked("cat", 11, 20), masked("cat", 150, 100))
    with zipfile.ZipFile(io.BytesIO(downloads.masks(image, answer, {}).content)) as files:
        assert files.namelist() == ["mask-1-cat-1.png", "mask-2-cat-2.png"]


@pytest.mark.parametrize(
    "change",
    [
        {"text": 3},
        {"finish_reason": None},
        {"detections": 7},
        {"detections": [{"label": "cat"}]},
        {"timings": None},
        {"token_ids": [-1]},
        {"token_ids": [1] * 100_000},
    ],
)
def test_what_is_no_result_is_refused(change):
    written = result_to_json(result(masked("cat", 10, 20))) | change
    with pytest.raises(ValueError):
        result_from_json(written, SIZE)


@pytest.mark.parametrize(
    "change",
    [
        {"box_xyxy_px": [0, 0, 321, 10]},
        {"box_xyxy_px": [50, 0, 40, 10]},
        {"box_xyxy_px": [0, 0, float("nan"), 10]},
        {"box_xyxy_px": [True, 0, 40, 10]},
        {"mask": rle.encode(np.zeros((10, 10), bool))},
        {"mask": {"size": [200, 320], "counts": "00"}},
        {"mask": {"size": [200, 320], "counts": 5}},
        {"label": None},
    ],
)
def test_objects_of_another_picture_are_refused(change):
    written = result_to_json(result(masked("cat", 10, 20)))
    written["detections"][0] |= change
    with pytest.raises(ValueError):
        result_from_json(written, SIZE)


def test_the_drawn_picture_has_boxes_masks_and_labels(image):
    found = result(masked("cat", 100, 60))
    made = downloads.picture(image, found, {})
    drawn = np.asarray(opened(made.content).convert("RGB")).astype(int)
    assert made.name == "annotated.png" and drawn.shape == (400, 640, 3)
    ground = np.array([70, 130, 180])
    assert (drawn[10, 10] == ground).all() and (drawn[390, 630] == ground).all()
    assert (drawn[120:220, 200:202] != ground).any(axis=2).all(), "the box's left edge"
    assert (drawn[145, 280] != ground).any(), "the mask"
    assert (drawn[95:118, 205:230] == 255).all(axis=2).any(), "letters above the box"


@pytest.mark.parametrize("label", ["猫", "x" * 200, ""])
@pytest.mark.parametrize("place", [(0, 0), (239, 149)])
def test_any_label_is_drawn_anywhere(image, label, place):
    found = result(masked(label, *place))
    assert opened(downloads.picture(image, found, {}).content).size == (640, 400)


def test_one_mask_is_a_picture_and_several_are_a_zip(image):
    cat, dog = masked("cat", 10, 20), masked("lady beetle/../x", 150, 100)
    one = downloads.masks(image, result(cat), {})
    assert one.name == "mask-1-cat.png"
    assert (np.asarray(opened(one.content)) == cat.mask * 255).all()
    both = downloads.masks(image, result(cat, dog), {})
    archive = zipfile.ZipFile(io.BytesIO(both.content))
    assert both.name == "masks.zip"
    assert archive.namelist() == ["mask-1-cat.png", "mask-2-lady-beetle-x.png"]
    assert (np.asarray(opened(archive.read(archive.namelist()[1]))) == dog.mask * 255).all()
    assert both == downloads.masks(image, result(cat, dog), {})


def test_cut_outs_are_clear_around_their_masks(image):
    made = downloads.cut_outs(image, result(masked("cat", 10, 20)), {})
    cut = opened(made.content)
    assert (cut.mode, cut.size) == ("RGBA", (80, 25))
    boxed = Detection("cat", Box(0.1, 0.1, 0.5, 0.5), (32.4, 20.2, 160, 100))
    cut = opened(downloads.cut_outs(image, result(boxed), {}).content)
    assert (cut.mode, cut.size) == ("RGB", (128, 80))


class Pressed:
    def __init__(self, elem_id: str):
        self.target = type("Button", (), {"elem_id": elem_id})()


def test_half_of_a_surrogate_pair_is_saved_as_json_writes_it(image):
    found = result(masked("cat \ud83d", 10, 20))
    saved = downloads.result_json(image, found, result_to_json(found)).content
    assert rb"cat \ud83d" in saved
    assert json.loads(saved)["detections"][0]["label"] == "cat \ud83d"


def test_a_file_is_made_of_what_the_page_sends_back(handlers, image, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    saving = handlers.saving
    details = result_to_json(result(masked("cat", 10, 20)))
    given = OpenedImage(image, image.size, ())
    saved = saving.save(Pressed("save-json"), given, details)
    assert saved.file.path.startswith(str(tmp_path))
    assert json.loads(Path(saved.file.path).read_text("utf-8")) == details
    assert saved.file.orig_name == "result.json"
    other = OpenedImage(image.resize((100, 100)), (100, 100), ())
    for picture, answer in ((None, details), (other, details), (given, None), (given, {})):
        refused = saving.save(Pressed("save-picture"), picture, answer)
        assert refused.file is None and "Press Run first" in refused.problem
    unmasked = details | {"detections": []}
    assert "No objects" in saving.save(Pressed("save-masks"), given, unmasked).problem


def program(saving: SaveHandlers, language: str, *values: object) -> str:
    scope = {
        "type": "http", "headers": [(b"host", b"demo.example")], "scheme": "https",
        "server": ("demo.example", 443), "path": "/", "root_path": "", "query_string": b"",
    }  # fmt: skip
    session = gr.Request(request=Request(scope))
    return saving.program(session, Pressed(f"copy-{language}"), *values)[0]["value"]


def test_a_program_names_what_is_asked_and_what_differs_from_the_start(handlers):
    fields = ("detect", "de", "unused", "", "cat ; it's", 25, 25, 75, 75, "unused")
    start = ("nano", "mix", "224", "auto", "")
    written = program(handlers.saving, "python", *fields, *start, *DEFAULT_DECODING, ())
    assert 'Client("https://demo.example")' in written
    assert 'task="detect",\n    objects="cat ; it\'s",\n    api_name' in written
    changed = ("nano", "mix", "448", "fp32", "vqa", 20, 0.5, 0, 1, 1, 7)
    written = program(handlers.saving, "javascript", *fields, *changed, ())
    for line in ('resolution: "448"', 'precision: "fp32"', 'adapter: "vqa"', "temperature: 0.5"):
        assert line in written
    written = program(handlers.saving, "bash", *fields, *changed, ())
    assert '"objects": "cat ; it\'\\\'\'s"' in written


def test_an_answer_is_shown_again_from_its_json(handlers, image):
    details = result_to_json(result(masked("cat", 10, 20)))
    given = OpenedImage(image, image.size, ())
    status, text, annotated, table, figures, again, expected = handlers.history.recall(
        given, details
    )
    assert "Done." in status and again == details and expected == ""
    assert annotated["value"].annotations[0].label == "cat" and "75%" in table["value"]
    assert "segment cat" in figures and "nano-224" in figures
    changes = [{"checkpoint": "none"}, {"finish_reason": "?"}, {"prompt": "cat " * 25_000}]
    for changed in ({}, *(details | change for change in changes)):
        status, text, *_ = handlers.history.recall(given, changed)
        assert "notice-error" in status and text == ""
