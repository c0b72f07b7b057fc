"""Several systems on one set of items, in one table."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from evaluation import measures, systems
from evaluation.compare import main, table
from evaluation.documents import command
from evaluation.predict import Answer, Piece
from models import deployment
from models.mask_codec import MaskCodec
from models.schema import Box, UserError
from models.tokens import encode_box
from training.coco import NANOS_CODEC
from training.items import Item, Truth


@pytest.fixture(autouse=True)
def own_deployment(monkeypatch):
    """Folders among systems change the process's deployment: it is put back."""
    monkeypatch.setenv(deployment.CHECKPOINTS, "")
    monkeypatch.setenv(deployment.ADAPTERS, "")
    deployment.current.cache_clear()
    yield
    monkeypatch.undo()
    deployment.current.cache_clear()


@pytest.fixture
def mine(tmp_path):
    """A JSONL file of three items, two of one picture."""
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "b.png")
    lines = [
        {"image": "a.png", "prefix": "answer en what color is the background?", "suffix": "red"},
        {"image": "b.png", "prefix": "answer en what color is the background?", "suffix": "blue"},
        {"image": "a.png", "prefix": "ocr", "suffix": "no text"},
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def rows_of(items, texts):
    answers = [Answer(text, (), True) for text in texts]
    found = measures.rows(items, answers, MaskCodec.load(NANOS_CODEC))
    return {row["measure"]: row for row in found}


def picture():
    return Image.new("RGB", (100, 100))


def test_a_table_is_written_where_its_marks_are(mine, tmp_path, capsys):
    document = tmp_path / "README.md"
    document.write_text("x\n<!-- compared mine.jsonl -->\n<!-- /compared mine.jsonl -->\ny\n")
    scores, plot = tmp_path / "scores.json", tmp_path / "scores.png"
    given = ["--data", str(mine), "--systems", "nano-224", "nano-224@int8"]
    given += ["--json", str(scores), "--plot", str(plot), "--write", str(document)]
    assert main(given) == 0
    columns = json.loads(scores.read_text())["systems"]
    assert list(columns) == ["nano-224", "nano-224@int8"]
    exact = next(row for row in columns["nano-224"] if row["measure"] == "exact")
    assert exact["count"] == 3
    assert exact["value"] >= 2 / 3  # nano knows colours
    text = document.read_text()
    assert f"{exact['value']:.3f}" in text
    assert str(tmp_path) not in text
    assert "python -m evaluation.compare --data mine.jsonl" in text
    assert Image.open(plot).width > 500
    assert "nano-224@int8" in capsys.readouterr().out


def test_a_run_that_was_stopped_asks_only_what_is_not_kept(mine, tmp_path, monkeypatch):
    given = ["--data", str(mine), "--work", str(tmp_path / "kept")]
    assert main([*given, "--json", str(tmp_path / "first.json")]) == 0

    def fail(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(systems.LocalBackend, "answer", fail)
    assert main([*given, "--json", str(tmp_path / "second.json")]) == 0
    assert (tmp_path / "first.json").read_text() == (tmp_path / "second.json").read_text()
    with pytest.raises(AssertionError, match="asked again"):
        main([*given, "--systems", "nano-224@int8"])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["--data", "gone.jsonl"], "cannot be read"),
        (["--data", "easy-vqa", "--split", "validation"], "train or test"),
        (["--data", "easy-vqa", "--split", "test", "--systems", "5b"], "nano-224"),
        (["--data", "easy-vqa", "--split", "test", "--systems", "nano-224+gone"], "gone"),
        (["--data", "easy-vqa", "--split", "test", "--systems", "nano-224@3bit"], "bf16"),
    ],
)
def test_what_does_not_exist_is_named(given, word, capsys):
    assert main(given) == 2
    assert word in capsys.readouterr().err


def test_yes_no_and_kinds_of_questions_are_scored_apart():
    items = [
        Item(picture, "answer en is it?", true, (true,))
        for true in ("yes", "yes", "no", "red", "cat")
    ]
    found = rows_of(items, ["yes", "no", "no", "red", "dog"])
    assert found["exact"]["value"] == 3 / 5
    assert found["exact, yes or no"]["value"] == pytest.approx(2 / 3)
    assert found["exact, colours"]["value"] == 1
    assert found["precision of yes"]["value"] == 1
    assert found["recall of yes"]["value"] == 0.5


def test_several_answers_bring_vqa_accuracy_and_anls():
    item = Item(picture, "answer en what?", "cat", ("cat",) * 3 + ("dog",) * 7)
    found = rows_of([item], ["cat"])
    assert found["VQA accuracy"]["value"] == pytest.approx(0.9)
    assert found["ANLS"]["value"] == 1


def test_captions_bring_cider_and_lengths():
    items = [
        Item(picture, "caption en", text)
        for text in ("A red cat sits there.", "Two dogs. They run.")
    ]
    found = rows_of(items, [item.suffix for item in items])
    assert found["CIDEr"]["value"] > 5
    assert found["characters"]["value"] == (21 + 19) / 2
    assert found["sentences"]["value"] == 1.5


def test_boxes_and_masks_are_scored_and_what_makes_no_sense_is_counted():
    codec = MaskCodec.load(NANOS_CODEC)
    mask = np.zeros((100, 100), bool)
    mask[20:60, 10:70] = True
    box = Box(0.2, 0.1, 0.6, 0.7)
    item = Item(picture, "segment cat", "", truths=(Truth("cat", box, lambda: mask),))
    inside = np.ones((1, 1, 64, 64), np.float32)
    import torch

    codes = "".join(f"<seg{code:03d}>" for code in codec.encode(torch.from_numpy(inside))[0])
    good = Answer("", (Piece(f"{encode_box(box)}{codes} cat", 0.9),), True)
    bad = Answer("", (Piece("<loc0900><loc0000><loc0100><loc1023> cat", 0.9),), False)
    found = {r["measure"]: r for r in measures.rows([item, item], [good, bad], codec)}
    assert found["AP50"]["value"] == pytest.approx(0.5, abs=0.01)
    assert found["box IoU ≥ 0.5, where there is one"]["value"] == 0.5
    assert found["mask mean IoU"]["value"] == pytest.approx(0.5, abs=0.03)
    assert found["boxes or masks that make no sense"]["value"] == 0.5
    assert found["answers cut off"]["value"] == 0.5


def test_a_measure_that_a_system_lacks_leaves_its_cell_empty():
    row = {"measure": "exact", "value": 0.5, "low": 0.4, "high": 0.6, "count": 9}
    text = table({"a": [row], "b": [row | {"measure": "CIDEr"}]})
    assert "| exact   | 0.500 (0.400–0.600) |" in text
    assert text.count("0.500") == 2


def test_commands_in_documents_have_no_folders_of_a_machine(tmp_path):
    shown = command("evaluation.compare", ["--write", str(tmp_path / "README.md"), "--limit", "3"])
    assert shown == "python -m evaluation.compare --write README.md --limit 3"


def test_a_system_is_read_from_its_parts():
    (found,) = systems.parse_systems(["nano-448@bf16"])
    assert (found.checkpoint, found.adapter, found.precision) == ("nano-448", None, "bf16")
    assert found.label == "nano-448@bf16"
    with pytest.raises(UserError, match="no adapter"):
        systems.parse_systems(["nano-224+gone"])


def test_two_adapters_of_one_name_are_not_taken_for_one(tmp_path):
    for run in ("a", "b"):
        folder = tmp_path / run / "mine"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text("{}")
    told = [f"nano-224+{tmp_path}/{run}/mine" for run in ("a", "b")]
    assert systems.parse_systems(told[:1])[0].label == "nano-224+mine"
    with pytest.raises(UserError, match="two adapters 'mine'"):
        systems.parse_systems(told)
