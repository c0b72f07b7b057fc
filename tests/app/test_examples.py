"""The examples that the page offers."""

from __future__ import annotations

import json

import pytest

from evaluation.nano.examples import same_answer
from models.catalog.catalog import Catalog
from models.images import open_image
from models.prompts.grammar import Task, build
from models.schema import Request, UserError
from ui.examples import FOLDER, read_examples

CATALOG = Catalog()


def test_nano_has_at_least_eight_examples_that_cover_every_task():
    embedded = [example for example in read_examples(CATALOG) if example.checkpoint.is_local]
    assert len(embedded) >= 8
    assert {example.parsed.task for example in embedded} >= set(Task) - {Task.FREE}


def test_every_example_opens_and_its_fields_make_its_prompt():
    for example in read_examples(CATALOG):
        assert open_image(example.image).image.width > 0
        assert example.expect
        parsed = example.parsed
        again = build(
            parsed.task,
            language=parsed.language or "en",
            question=parsed.question,
            answer=parsed.answer,
            objects=parsed.objects,
            box=parsed.box,
            text=parsed.text,
        )
        assert again == example.prompt


def test_nano_answers_its_examples_as_they_say(backend):
    entries = json.loads((FOLDER / "examples.json").read_text("utf-8"))
    asked = [entry for entry in entries if entry["checkpoint"].startswith("nano")]
    assert len(asked) >= 10
    for entry in asked:
        image = open_image(FOLDER / entry["image"]).image
        *_, result = backend.answer(
            Request(image, entry["prompt"], entry["checkpoint"], adapter=entry.get("adapter"))
        )
        assert same_answer(result.text, entry["answer"], least_iou=0.9), entry["image"]
        assert bool(result.detections) == ("<loc" in entry["answer"])
        if entry["task"] == "segment":
            assert all(found.mask.any() for found in result.detections)


def test_a_folder_without_examples_offers_none(tmp_path):
    assert read_examples(CATALOG, tmp_path) == ()


def test_a_broken_example_does_not_reach_the_page(tmp_path):
    index = tmp_path / "examples.json"
    index.write_text(json.dumps([{"image": "gone.png", "prompt": "ocr"}]))
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_examples(CATALOG, tmp_path)
    (tmp_path / "gone.png").touch()
    entry = {"image": "gone.png", "prompt": "ocr", "checkpoint": "5b"}
    index.write_text(json.dumps([entry]))
    with pytest.raises(UserError, match="nano-224"):
        read_examples(CATALOG, tmp_path)


def test_an_example_may_name_an_adapter_that_exists(tmp_path):
    (tmp_path / "a.png").write_bytes((FOLDER / "caption.png").read_bytes())
    entry = {"image": "a.png", "prompt": "ocr", "checkpoint": "nano-224", "adapter": "gone"}
    (tmp_path / "examples.json").write_text(json.dumps([entry]))
    with pytest.raises(UserError, match="gone"):
        read_examples(CATALOG, tmp_path)
