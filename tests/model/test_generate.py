"""The command line with one picture."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.generate import FAILED, main
from models.images import open_image
from models.results import result_to_json
from models.schema import Box, Detection, Result, Timings
from models.serving.backend import Backend
from tests.picture_files import save_kinds

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_text_is_printed(png, backend, ask, capsys):
    arguments = ["--image", png, "--prompt", "caption en", "--max-new-tokens", "5"]
    *_, result = backend.answer(ask("caption en", tokens=5))
    capsys.readouterr()  # loading may have written something
    assert main(arguments, backend) == 0
    said = "note: The answer was cut off at 5 tokens; see --max-new-tokens.\n"
    assert capsys.readouterr() == (f"{result.text}\n", said)


@pytest.mark.parametrize("task, words", [("segment", "boxes and masks"), ("detect", "boxes")])
def test_what_tokens_of_an_answer_mean_is_said(run, task, words):
    asked = json.loads((EXAMPLES / "examples.json").read_text("utf-8"))
    example = next(each for each in asked if each["task"] == task)
    options = ("--image", str(EXAMPLES / example["image"]), "--prompt", example["prompt"])
    code, (line,), error = run(*options)
    assert code == 0 and line.startswith("<loc")
    assert error == f"note: The tokens are {words}; --json gives them in pixels of the picture.\n"
    assert run(*options, "--json")[2] == ""


def test_the_result_as_json(run, png):
    code, lines, _ = run(
        "--checkpoint", "nano-224", "--image", png, "--prompt", "detect cat", "--json",
        "--precision", "bf16", "--max-new-tokens", "3",
    )  # fmt: skip
    result = json.loads(lines[0])
    assert (code, len(lines)) == (0, 1)
    assert result["prompt"] == "detect cat"
    assert {"text", "detections", "timings"} <= set(result)
    assert result["timings"]["first_token_s"] > 0


def test_what_was_changed_about_the_picture_is_told(run, picture, tmp_path):
    path = save_kinds(tmp_path, picture)["moving.gif"]
    arguments = ["--image", str(path), "--prompt", "ocr", "--max-new-tokens", "1"]
    code, lines, error = run(*arguments, "--json")
    assert code == 0
    assert json.loads(lines[0])["notes"] == ["The file has several frames; only the first is used."]
    assert error == "note: The file has several frames; only the first is used.\n"


def test_with_several_pictures_its_number_is_told(run, png, picture, tmp_path):
    path = save_kinds(tmp_path, picture)["moving.gif"]
    arguments = ["--image", png, "--image", str(path), "--prompt", "ocr", "--max-new-tokens", "1"]
    code, lines, error = run(*arguments, "--json")
    said = "Picture 2: The file has several frames; only the first is used."
    assert code == 0 and json.loads(lines[0])["notes"] == [said] and error == f"note: {said}\n"


def test_masks_are_written_as_coco_rle():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:4] = True
    box = Box(0.25, 1 / 3, 0.75, 2 / 3)
    found = Detection("cat", box, (2.0, 1.0, 4.0, 3.0), mask)
    result = Result("", "segment cat", "nano-224", None, (found,), 0, Timings(0, 0, 0, 0), "eos")
    (written,) = json.loads(json.dumps(result_to_json(result)))["detections"]
    assert (written["label"], written["box_xyxy_px"]) == ("cat", [2.0, 1.0, 4.0, 3.0])
    assert written["mask"]["size"] == [4, 6]
    assert (coco.decode(written["mask"]) == mask).all()


def test_names_of_objects_are_sent_in_lower_case_and_shown_so(run, png):
    arguments = ["--image", png, "--prompt", "detect Airplane ; CAT", "--max-new-tokens", "1"]
    _, lines, _ = run(*arguments, "--json")
    assert json.loads(lines[0])["prompt"] == "detect airplane ; cat"


def test_boxes_of_a_picture_that_was_read_smaller_are_in_its_own_pixels(run, tmp_path):
    original = EXAMPLES / "detect.png"
    picture = open_image(original).image
    factor = 4200 / picture.width
    large = tmp_path / "large.jpg"
    picture.resize((4200, round(picture.height * factor))).save(large, quality=95)
    found = []
    for path in (original, large):
        _, lines, _ = run("--image", str(path), "--prompt", "detect taco ; cookie", "--json")
        found.append(json.loads(lines[0]))
    assert "was read at 2100" in found[1]["notes"][0]
    for one, other in zip(*(each["detections"] for each in found), strict=True):
        box = np.multiply(one["box_xyxy_px"], factor)
        assert np.allclose(box, other["box_xyxy_px"], atol=0.02 * 4200)


def test_a_deadline_that_ends_an_answer_is_said(run, png, tmp_path):
    late = ("--deadline-s", "0.000001")
    code, _, error = run("--image", png, "--prompt", "describe en", *late)
    assert code == 0
    assert error == "note: The time limit ended the answer before its end; see --deadline-s.\n"
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"image": png, "prompt": "describe en"}))
    code, answers, error = run("--jsonl", str(file), *late)
    assert json.loads(answers[0])["finish_reason"] == "deadline"
    assert error.startswith("note: 1 answers were ended by the time limit")


def test_a_status_leaves_the_line_before_the_answer(run, png, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, error = run("--image", png, "--prompt", "caption en")
    *_, shown, left = error.split("\r\x1b[2K")
    assert shown and not left.strip("\r")


def test_the_help_names_checkpoints_units_exit_codes_and_an_example(run):
    code, lines, _ = run("--help")
    text = "\n".join(lines)
    assert code == 0
    for word in ("nano-448", "28b-pt-224", "SECONDS", "TOKENS", "exit codes", "--jsonl -"):
        assert word in text
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--image", "missing.png", "--prompt", "caption en"),
        ("--image", "PNG"),
        ("--image", "PNG", "--prompt", ""),
        ("--image", "PNG", "--prompt", "caption en", "--checkpoint", "4b"),
        ("--image", "PNG", "--prompt", "caption en", "--adapter", "none-such"),
        ("--image", "PNG", "--prompt", "caption en", "--precision", "int3"),
        ("--image", "PNG", "--prompt", "caption en", "--max-new-tokens", "many"),
        ("--jsonl", "missing.jsonl"),
        ("--jsonl", "missing.jsonl", "--image", "PNG"),
        ("--jsonl", "missing.jsonl", "--prompt", "caption en"),
        ("--jsonl", "."),
        ("--jsonl", ""),
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, png, arguments):
    code, lines, error = run(*(png if each == "PNG" else each for each in arguments))
    assert (code, lines) == (FAILED, [])
    assert error.startswith("error: ") and error.count("\n") == 1


@pytest.fixture
def adapter_folder(tmp_path, monkeypatch) -> Path:
    """The shipped adapter as a run of fine-tuning leaves one, below the working directory."""
    folder = tmp_path / "runs" / "mine" / "adapter"
    shutil.copytree(NANO.path / "adapters" / "easy-vqa", folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("written", ["runs/mine/adapter", "./runs/mine/adapter", "{whole}"])
def test_an_adapter_may_be_a_folder(written, adapter_folder, run, png, capsys):
    asked = ["--image", png, "--prompt", "answer en what color is the shape?", "--json"]
    (shipped,) = run(*asked, "--adapter", "easy-vqa")[1]
    code = main([*asked, "--adapter", written.format(whole=adapter_folder)])
    own = json.loads(capsys.readouterr().out)
    assert (code, own["adapter"]) == (0, "mine")
    assert own["text"] == json.loads(shipped)["text"]


@pytest.mark.parametrize(
    "written, words",
    [("./none", "there is no folder ./none"), (".", "has no adapter_config.json")],
)
def test_a_folder_that_is_no_adapter_is_said(written, words, adapter_folder, png, capsys):
    arguments = ["--image", png, "--prompt", "caption en", "--adapter", written]
    assert main(arguments) == FAILED
    out, error = capsys.readouterr()
    assert out == "" and words in error and error.count("\n") == 1


class _Answers(Backend):
    """Answers every request with one result."""

    catalog = Catalog()

    def __init__(self, result: Result):
        self._result = result

    def answer(self, request):
        yield self._result


@pytest.mark.parametrize("options", [[], ["--json"], "jsonl"])
def test_what_an_answer_lacks_is_told(options, png, tmp_path, capsys):
    told = "The masks are missing."
    result = Result("", "ocr", "nano-224", None, (), 0, Timings(0, 0, 0, 1), "eos", (told,))
    arguments = ["--image", png, "--prompt", "ocr", *options]
    if options == "jsonl":
        file = tmp_path / "lines.jsonl"
        file.write_text(json.dumps({"image": png, "prompt": "ocr"}))
        arguments = ["--jsonl", str(file)]
    assert main(arguments, _Answers(result)) == 0
    out, error = capsys.readouterr()
    if options:
        assert json.loads(out)["notes"] == [told]
    else:
        assert error == f"note: {told}\n"


def test_a_failure_that_is_not_of_writing_is_not_called_so(png, capsys):
    class Fails(Backend):
        catalog = Catalog()

        def answer(self, request):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        main(["--image", png, "--prompt", "ocr"], Fails())
