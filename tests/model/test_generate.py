"""The command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from models.generate import FAILED, describe, main
from models.schema import Box, Detection, Result, Timings

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 300_000_000


@pytest.fixture
def run(backend, capsys):
    """Runs the command line; returns (exit code, lines of output, text of the error stream)."""

    def call(*arguments: str) -> tuple[int, list[str], str]:
        try:
            code = main(arguments, backend)
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err

    return call


@pytest.fixture
def png(picture, tmp_path) -> str:
    path = tmp_path / "picture.png"
    picture.save(path)
    return str(path)


def test_the_text_is_printed(png, backend, ask, capsys):
    arguments = ["--image", png, "--prompt", "caption en", "--max-new-tokens", "5"]
    *_, result = backend.answer(ask("caption en", tokens=5))
    capsys.readouterr()  # loading may have written something
    assert main(arguments, backend) == 0
    assert capsys.readouterr() == (f"{result.text}\n", "")


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


def test_masks_are_written_as_coco_rle():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:4] = True
    box = Box(0.25, 1 / 3, 0.75, 2 / 3)
    found = Detection("cat", box, (2.0, 1.0, 4.0, 3.0), mask)
    result = Result("", "segment cat", "nano-224", None, (found,), 0, Timings(0, 0, 0, 0), "eos")
    (written,) = json.loads(json.dumps(describe(result)))["detections"]
    assert (written["label"], written["box_xyxy_px"]) == ("cat", [2.0, 1.0, 4.0, 3.0])
    assert written["mask"]["size"] == [4, 6]
    assert (coco.decode(written["mask"]) == mask).all()


def test_a_file_of_requests_goes_on_after_bad_lines(run, png, tmp_path):
    lines = [
        {"image": png, "prompt": "caption en", "max_new_tokens": 2},
        {"image": "missing.png", "prompt": "caption en"},
        {"image": png},
        {"image": png, "prompt": "ocr", "max_new_tokens": 0},
        {"image": png, "prompt": "ocr", "max_tokens": 3},
        {"image": png, "prompt": "ocr", "max_new_tokens": "3"},
        {"image": png, "prompt": "ocr", "adapter": "none-such"},
        {"image": png, "prompt": "detect cat", "max_new_tokens": 2, "adapter": None},
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([*map(json.dumps, lines), "", "no json"]))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == FAILED
    assert ["error" in each for each in results] == [False, *[True] * 6, False, True]
    assert results[1]["line"] == 2
    assert results[7]["prompt"] == "detect cat"


def test_a_file_of_good_requests_succeeds(run, png, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 2}) + "\n")
    assert run("--jsonl", str(file))[0] == 0


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
    ],
)
def test_errors_are_one_line_and_exit_code_2(run, png, arguments):
    code, lines, error = run(*(png if each == "PNG" else each for each in arguments))
    assert (code, lines) == (FAILED, [])
    assert error.startswith("error: ") and error.count("\n") == 1


def bad_files(folder: Path) -> dict[str, Path]:
    """What people send by mistake or on purpose."""
    files = {name: folder / f"{name}.png" for name in ("text", "truncated", "enormous")}
    files["text"].write_text("This is a text.")
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    files["truncated"].write_bytes(data[: len(data) // 2])
    Image.new("1", (13_000, 13_000)).save(files["enormous"])
    return files


@pytest.mark.parametrize("name", ["text", "truncated", "enormous"])
def test_bad_files_cost_neither_a_load_nor_memory(name, tmp_path):
    path = bad_files(tmp_path)[name]
    # VmHWM is of this process alone; ru_maxrss would start from that of the tests' own.
    code = (
        "import sys; from models.generate import main;"
        f"code = main(['--image', {str(path)!r}, '--prompt', 'caption en']);"
        "assert 'torch' not in sys.modules;"
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'));"
        "print(code, int(peak.split()[1]) * 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    exit_code, peak_bytes = map(int, done.stdout.split())
    assert exit_code == FAILED
    assert peak_bytes < LIMIT_BYTES
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def save_kinds(folder: Path, picture: Image.Image) -> dict[str, Path]:
    """The same picture in every form that has to be read."""
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(picture.convert("L"), np.uint16) << 8)
    frames = {"save_all": True, "append_images": [picture.rotate(90)], "duration": 50}
    forms = {
        "a.png": (picture, {}),
        "a.jpg": (picture, {}),
        "a.webp": (picture, {}),
        "rotated.jpg": (picture, {"exif": exif}),
        "deep.png": (deep, {}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "clear.png": (picture.convert("RGBA"), {}),
        "moving.gif": (picture, frames),
    }
    for name, (image, options) in forms.items():
        image.save(folder / name, **options)
    return {name: folder / name for name in forms}


def test_every_kind_of_picture_is_answered(run, picture, tmp_path):
    file = tmp_path / "requests.jsonl"
    kinds = save_kinds(tmp_path, picture)
    file.write_text(
        "\n".join(
            json.dumps({"image": str(path), "prompt": "caption en", "max_new_tokens": 1})
            for path in kinds.values()
        )
    )
    code, answers, _ = run("--jsonl", str(file))
    assert code == 0, answers
    assert len(answers) == len(kinds)


def in_a_process(arguments: list[str], output) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "models.generate", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_gone_ends_it_quietly(png, options):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as output:
        done = in_a_process(["--image", png, "--prompt", "caption en", *options], output)
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_said(png, options):
    with Path("/dev/full").open("w") as output:
        done = in_a_process(["--image", png, "--prompt", "caption en", *options], output)
    assert done.returncode == 2
    assert done.stderr == "error: The answer could not be written: No space left on device.\n"


def test_a_byte_order_mark_is_no_part_of_a_request(run, png, tmp_path):
    line = json.dumps({"image": png, "prompt": "caption en", "max_new_tokens": 1})
    (tmp_path / "marked.jsonl").write_text(line, "utf-8-sig")
    assert run("--jsonl", str(tmp_path / "marked.jsonl"))[0] == 0
    (tmp_path / "latin.jsonl").write_bytes(line.encode() + b"\xe9")
    code, _, error = run("--jsonl", str(tmp_path / "latin.jsonl"))
    assert code == 2
    assert f"is not UTF-8 text: byte {len(line)} is wrong. Save it as UTF-8." in error
