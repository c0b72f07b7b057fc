"""The command that compares systems, with nano on a few items of each kind of data."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from data import documents
from evaluation.compare import cli
from evaluation.compare.cli import FAILED, main
from evaluation.report import plot
from models.catalog.checkpoints import NANO
from models.masks.codec import MaskCodec
from models.masks.detections import detect

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "examples"
EXAMPLES = {
    each["image"]: each for each in json.loads((PICTURES / "examples.json").read_text("utf-8"))
}


def values(file: Path, number: int = 0) -> dict[str, float]:
    """The values of a system by measure, from the JSON that was written."""
    rows = json.loads(file.read_text("utf-8"))["systems"][number]["rows"]
    return {row["measure"]: row["value"] for row in rows}


def refuse(catalog) -> None:
    """Opens no backend."""
    raise AssertionError("asked again")


@pytest.fixture
def lines(tmp_path) -> Path:
    """A JSONL file of the page's examples, all of which nano answers right."""
    file = tmp_path / "mine.jsonl"
    names = ("caption.png", "cap.png", "where.png", "is-there.png", "read.png", "detect.png")
    file.write_text(
        "".join(
            json.dumps(
                {
                    "image": str(PICTURES / name),
                    "prefix": EXAMPLES[name]["prompt"],
                    "suffix": EXAMPLES[name]["answer"],
                }
            )
            + "\n"
            for name in names
        ),
        "utf-8",
    )
    return file


def test_systems_stand_side_by_side_everywhere(lines, tmp_path, capsys):
    document = tmp_path / "card.md"
    document.write_text("# Card\n<!-- compared mine.jsonl -->\n<!-- /compared mine.jsonl -->\n")
    arguments = [
        *("--data", str(lines), "--systems", "nano-224", "nano-224@bf16"),
        *("--json", str(tmp_path / "scores.json"), "--plot", str(tmp_path / "scores.png")),
        *("--work", str(tmp_path / "kept"), "--write", str(document)),
    ]
    assert main(arguments) == 0
    record = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert record["items"] == 6
    assert [each["name"] for each in record["systems"]] == ["nano-224", "nano-224@bf16"]
    assert [each["dtype"] for each in record["systems"]][1] == "bfloat16"
    right = values(tmp_path / "scores.json")
    assert right["exact match"] == right["yes or no: accuracy"] == right["ANLS"] == 1
    assert right["CIDEr, 0 to 10"] > 7  # all right, but "rose and mushroom" has no four words
    assert right["box AP75"] == pytest.approx(1)
    table = capsys.readouterr().out
    written = document.read_text("utf-8")
    for text in (table, written):
        assert "1.000 (1.000–1.000)" in text
        assert "nano-224@bf16" in text
        assert "python -m evaluation.compare --data mine.jsonl" in text
        assert str(tmp_path) not in text
    assert written.startswith("# Card\n<!-- compared mine.jsonl -->\n")
    with Image.open(tmp_path / "scores.png") as picture:
        assert picture.format == "PNG"
        assert len(set(picture.convert("RGB").getdata())) > 10


def test_a_second_run_asks_nothing(lines, tmp_path):
    arguments = ["--data", str(lines), "--systems", "nano-224", "--limit", "3"]
    arguments += ["--work", str(tmp_path / "kept"), "--json", str(tmp_path / "scores.json")]
    assert main(arguments) == 0
    first = values(tmp_path / "scores.json")
    kept = {file: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    assert main(arguments, refuse) == 0
    assert values(tmp_path / "scores.json") == first
    assert {file: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == kept
    with pytest.raises(AssertionError, match="asked again"):
        main([*arguments, "--max-new-tokens", "2"], refuse)


def test_easy_vqa_has_its_kinds_of_questions(tmp_path):
    scores = tmp_path / "scores.json"
    arguments = ["--data", "easy-vqa", "--limit", "12", "--systems", "nano-224"]
    assert main([*arguments, "--json", str(scores)]) == 0
    record = json.loads(scores.read_text("utf-8"))
    assert (record["data"], record["split"], record["items"]) == ("easy-vqa", "test", 12)
    found = values(scores)
    kinds = [name for name in found if name.startswith("right where the answer is")]
    assert len(kinds) >= 2
    assert 0 <= found["exact match"] <= 1


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_coco_annotations_are_scored_as_boxes_and_masks(task, tmp_path):
    example = EXAMPLES["segment.png"]
    width, height = Image.open(PICTURES / "segment.png").size
    codec = MaskCodec.load(NANO.codec)
    (thing,), _ = detect(example["answer"], codec, width, height)
    x1, y1, x2, y2 = thing.box_xyxy_px
    outline = coco_mask.encode(np.asfortranarray(thing.mask, np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "segment.png", "width": width, "height": height}],
        "categories": [{"id": 7, "name": thing.label}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 7,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": outline | {"counts": outline["counts"].decode()},
            }
        ],
    }
    file, scores = tmp_path / "coco.json", tmp_path / "scores.json"
    file.write_text(json.dumps(content))
    arguments = ["--data", str(file), "--task", task, "--images", str(PICTURES)]
    assert main([*arguments, "--systems", "nano-224", "--json", str(scores)]) == 0
    found = values(scores)
    assert found["box of the one object, IoU ≥ 0.5"] == 1
    assert found["box AP50"] == pytest.approx(1)
    assert ("mask mIoU" in found) == (task == "segment")
    if task == "segment":
        assert found["mask mIoU"] > 0.95


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--systems", "nano-1000"], "no checkpoint 'nano-1000'"),
        (["--systems", "nano-224", "nano-224+dog"], "no adapter 'dog'"),
        (["--systems", "nano-224@int3"], "no precision 'int3'"),
        (["--systems", "nano-224", "--measures", "bleu"], "no measure 'bleu'"),
        (["--systems", "nano-224", "--measures", "masks"], "No item suits"),
        (["--systems", "nano-224", "--write", "none.md"], "none.md has no place for the table"),
        (["--systems", "nano-224", "--json", "gone/a.json"], "no folder gone"),
        (["--systems", "nano-224", "--plot", "a.txt"], "no .png"),
        (["--systems", "nano-224", "--work", "README.md"], "cannot be made"),
        (["--systems", "nano-224", "--task", "detect"], "--task belongs to a COCO file"),
        (["--systems", "nano-224", "--image-column", "x"], "--image_column belongs to datasets"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_asked(arguments, words, lines, capsys):
    assert main(["--data", str(lines), *arguments], refuse) == FAILED
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_data_that_are_none_are_told(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    for data, words in ((empty, "has no items"), (tmp_path / "none.jsonl", "cannot be read")):
        assert main(["--data", str(data), "--systems", "nano-224"]) == FAILED
        assert words in capsys.readouterr().err
    assert main(["--data", "easy-vqa", "--split", "dev", "--systems", "nano-224"]) == FAILED
    assert "no split 'dev'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("module", ["evaluation.compare.cli", "evaluation.nano.evaluate"])
def test_both_commands_end_with_2_where_something_is_wrong(module):
    command = [sys.executable, "-m", module, "--data", "easy-vqa", "--systems", "nano-224+dog"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == FAILED
    assert done.stdout == ""
    assert done.stderr == "error: " + done.stderr.removeprefix("error: ").splitlines()[0] + "\n"
    assert "no adapter 'dog'" in done.stderr


@pytest.mark.parametrize(
    ("told", "mark"),
    [
        (("easy-vqa",), "compared easy-vqa"),
        (("easy-vqa", None, 1000), "compared easy-vqa, first 1000"),
        (("folder/boxes.json",), "compared boxes.json detect"),
        (("boxes.json", "segment", 20), "compared boxes.json segment, first 20"),
    ],
)
def test_tables_of_tasks_and_of_parts_stand_apart(told, mark):
    assert documents.scores_mark(*told) == mark


@pytest.mark.parametrize("arguments", [[], ["--data", "easy-vqa"], ["--limit", "0"]])
def test_arguments_that_are_missing_or_wrong_end_it_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == FAILED
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("easy-vqa", "easy-vqa"),
        ("build/kept", "build/kept"),
        ("/data/build/kept", "kept"),
        ("/data/kept/", "kept"),
        ("~/kept", "kept"),
        ("/data/full=nano-224", "full=nano-224"),
        ("nano-224+/data/easy/adapter@nf4", "nano-224+adapter@nf4"),
        ("/a/full=nano-224+/b/adapter@nf4", "full=nano-224+adapter@nf4"),
        ("--json=/tmp/scores.json", "--json=scores.json"),
        ("merve/vqav2-small", "merve/vqav2-small"),
    ],
)
def test_documents_show_no_folder_of_this_machine(argument, shown):
    assert documents.shown(argument) == shown
    assert documents.command("a.b", [argument]) == shlex.join(["python", "-m", "a.b", shown])


def test_adapters_of_one_name_are_told_apart():
    apart = documents.shown_apart(["nano-224+/data/a/adapter@nf4", "nano-224+/data/b/adapter@nf4"])
    assert apart == ["nano-224+a/adapter@nf4", "nano-224+b/adapter@nf4"]
    different = ["nano-224+/data/a/first", "nano-224+/data/a/second"]
    assert documents.shown_apart(different) == ["nano-224+first", "nano-224+second"]
    deep = ["x=/1/run/adapter", "x=/2/run/adapter"]
    assert documents.shown_apart(deep) == ["x=1/run/adapter", "x=2/run/adapter"]
    assert documents.shown_apart(["nano-224", "nano-224"]) == ["nano-224", "nano-224"]


def test_two_adapters_of_one_name_are_compared(lines, tmp_path):
    """Both are `…/run/adapter`, so only the folder above tells them apart."""
    shipped = NANO.path / "adapters" / "easy-vqa"
    for name in ("first", "second"):
        shutil.copytree(shipped, tmp_path / name / "run" / "adapter")
    systems = [f"nano-224+{tmp_path / name / 'run' / 'adapter'}" for name in ("first", "second")]
    scores, picture = tmp_path / "scores.json", tmp_path / "scores.png"
    arguments = ["--data", str(lines), "--limit", "1", "--json", str(scores)]
    assert main([*arguments, "--plot", str(picture), "--systems", *systems]) == 0
    names = [each["name"] for each in json.loads(scores.read_text("utf-8"))["systems"]]
    assert names == ["nano-224+first/run/adapter", "nano-224+second/run/adapter"]


def test_marks_are_found_by_the_whole_name(tmp_path):
    document = tmp_path / "a.md"
    document.write_text("<!-- compared a+b.json -->\n<!-- /compared a+b.json -->\n")
    assert documents.has_marks(document, ["compared a+b.json"])
    assert not documents.has_marks(document, ["compared aab.json"])
    assert not documents.has_marks(tmp_path / "none.md", ["compared a+b.json"])
    documents.write(document, {"compared a+b.json": "| table |"})
    assert "\n| table |\n" in document.read_text("utf-8")


def test_data_are_called_by_the_name_of_their_file():
    names = [documents.data_name(each) for each in ("/a/b/mine.jsonl", "b/mine.jsonl")]
    assert names == ["mine.jsonl", "mine.jsonl"]
    assert documents.data_name("merve/vqav2-small") == "merve/vqav2-small"


def test_a_measure_without_a_number_is_a_dash_and_has_no_bar(tmp_path):
    nan = float("nan")
    right = {"measure": "exact", "value": 0.5, "low": 0.25, "high": 0.75, "count": 4}
    none = {"measure": "precision", "value": nan, "low": nan, "high": nan, "count": 4}
    long = {"measure": "characters", "value": 520.25, "low": 500.0, "high": 540.0, "count": 4}
    found = [
        {"name": name, "precision": "bf16", "dtype": "bfloat16", "device": "cpu", "rows": rows}
        for name, rows in (("a", [right, none, long]), ("b", [right]))
    ]
    about = {"cpu": "CPU", "gpu": "none", "versions": "v", "command": "python"}
    record = {"data": "d", "split": "", "items": 4, "limit": 0, "machine": about, "systems": found}
    text = cli.render(record, markdown=True)
    cells = {row.split("|")[1].strip(): row.split("|")[2:5] for row in text.splitlines()[2:]}
    assert [each.strip() for each in cells["exact"]] == ["4", *["0.500 (0.250–0.750)"] * 2]
    assert [each.strip() for each in cells["precision"]] == ["4", "–", "–"]
    assert [each.strip() for each in cells["characters"]] == ["4", "520.2 (500.0–540.0)", "–"]
    file = tmp_path / "plot.png"
    plot.bars({each["name"]: each["rows"] for each in found}, "d", file)
    with Image.open(file) as picture:
        two_panels = picture.width
    plot.bars({"a": [right]}, "d", file)
    with Image.open(file) as picture:
        assert picture.width == pytest.approx(two_panels / 2, abs=2)
