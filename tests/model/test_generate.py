"""The command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.engine.engine import Engine
from models.generate import FAILED, INTERRUPTED, main
from models.generate.cli import AT_ONCE
from models.images import open_image
from models.results import result_to_json
from models.schema import Box, Detection, Result, Timings
from models.serving.backend import Backend
from tests.serving import WatchedBackend

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
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
    assert [each["line"] for each in results] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert results[7]["prompt"] == "detect cat"


@pytest.mark.parametrize(
    "field, sentence",
    [
        ('"max_new_tokens": true', '"max_new_tokens" is true. Use a whole number.'),
        ('"adapter": [null, false]', '"adapter" is [null, false]. Use a text.'),
        ('"id": {"é": 1.5}', '"id" is {"é": 1.5}. Use a text or a whole number.'),
        ('"größe": 3', 'The line has an unknown field "größe".'),
        ('"prompt": "detect ;;;"', "There is no object to look for yet."),
    ],
)
def test_what_is_wrong_with_a_line_is_quoted_as_it_was_written(run, png, tmp_path, field, sentence):
    file = tmp_path / "requests.jsonl"
    file.write_text(f'{{"image": {json.dumps(png)}, "prompt": "ocr", {field}}}', "utf-8")
    code, (answer,), _ = run("--jsonl", str(file))
    assert code == FAILED
    assert json.loads(answer)["error"].startswith(sentence)


def test_answers_come_in_the_order_of_their_lines_with_their_ids(run, png, tmp_path):
    tokens = [40, 1, 12, 2, 30, 1] * 5
    lines = [
        {"image": png, "prompt": "describe en", "max_new_tokens": each, "id": f"n{number}"}
        for number, each in enumerate(tokens)
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == 0
    assert [each["id"] for each in results] == [each["id"] for each in lines]
    assert [each["line"] for each in results] == list(range(1, 31))
    longest = results[0]["text"]
    assert all(longest.startswith(each["text"]) for each in results)


def test_lines_are_answered_side_by_side(png, backend, tmp_path, capsys):
    watched = WatchedBackend(backend)
    watched.hold(after_tokens=1)
    line = json.dumps({"image": png, "prompt": "describe en", "max_new_tokens": 3})
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([line] * (AT_ONCE + 5)))
    codes: list[int] = []
    command = threading.Thread(
        target=lambda: codes.append(main(["--jsonl", str(file)], watched)), daemon=True
    )
    command.start()
    assert watched.wait_for_active(AT_ONCE), "so many at once"
    watched.release()
    command.join()
    assert codes == [0]
    assert len(capsys.readouterr().out.splitlines()) == AT_ONCE + 5


def test_sequences_of_a_file_share_their_steps_on_a_slow_machine(run, png, tmp_path, monkeypatch):
    steps = []
    step = Engine.step
    monkeypatch.setattr("models.engine.engine.MAX_PAUSE_S", 0.0)  # all takes longer than it
    monkeypatch.setattr(Engine, "step", lambda engine: (steps.append(1), step(engine)))
    line = json.dumps({"image": png, "prompt": "describe en", "max_new_tokens": 12})
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join([line] * 8))
    _, answers, _ = run("--jsonl", str(file))
    tokens = sum(json.loads(each)["timings"]["tokens"] for each in answers)
    assert len(steps) < tokens / 2


def test_a_pipe_is_answered_while_it_is_open(png):
    line = json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 1}) + "\n"
    with subprocess.Popen(
        [sys.executable, "-m", "models.generate", "--jsonl", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        for number in (1, 2):
            process.stdin.write(line)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == number
        process.stdin.close()
        assert process.wait() == 0


def test_lines_that_no_program_should_write_get_an_error_and_the_rest_goes_on(run, png, tmp_path):
    good = json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 1}).encode()
    lines = [
        b"[" * 100_000,
        b'{"id": ' + b"[" * 100_000,
        json.dumps({"image": png, "prompt": "caption \ud800 en"}).encode(),
        json.dumps({"image": "\udcff.png", "prompt": "ocr", "id": "\ud800"}).encode(),
        json.dumps({"image": "a\0b.png", "prompt": "ocr"}).encode(),
        b'{"image": "' + b"a" * 2_000_000 + b'"}',
        good[:-1] + b', "id": NaN}',
        good[:-1] + b', "id": [1]}',
        good[:-1] + b', "\xff": 1}',
        good[:-1] + b', "max_new_tokens": ' + b"9" * 5000 + b"}",
        json.dumps({"image": png, "prompt": None, "id": 5}).encode(),
        good,
    ]
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"\n".join(lines))
    code, answers, _ = run("--jsonl", str(file))
    results = [json.loads(line) for line in answers]
    assert code == FAILED
    assert ["error" in each for each in results] == [True] * (len(lines) - 1) + [False]
    assert [each["line"] for each in results] == list(range(1, len(lines) + 1))
    assert (results[3]["id"], results[10]["id"]) == ("\ud800", 5)
    assert all("." in each["error"] and len(each["error"]) < 400 for each in results[:-1])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(run, png, tmp_path, separator):
    line = json.dumps(
        {"image": png, "prompt": "ocr", "max_new_tokens": 1, "id": f"a{separator}b"},
        ensure_ascii=False,
    )
    file = tmp_path / "requests.jsonl"
    escaped = line if separator > "\x1f" else line.replace(separator, f"\\u{ord(separator):04x}")
    file.write_bytes(f"{escaped}\r\n{escaped}\n".encode())
    code, answers, _ = run("--jsonl", str(file))
    assert code == 0, answers
    assert [json.loads(each)["id"] for each in answers] == [f"a{separator}b"] * 2


def test_null_leaves_a_field_to_the_options(run, png, tmp_path):
    fields = {"image": png, "prompt": "describe en", "id": None, "adapter": None}
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps(fields | {"max_new_tokens": None}))
    code, answers, _ = run("--jsonl", str(file), "--max-new-tokens", "2", "--adapter", "easy-vqa")
    (result,) = map(json.loads, answers)
    assert code == 0, answers
    assert (result["adapter"], result["timings"]["tokens"]) == ("easy-vqa", 2)
    assert "id" not in result


def test_what_is_wrong_with_the_options_is_said_once_for_all_lines(run, png, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text((json.dumps({"image": png, "prompt": "ocr"}) + "\n") * 3)
    for options in (("--checkpoint", "4b"), ("--precision", "int3")):
        code, lines, error = run("--jsonl", str(file), *options)
        assert (code, lines, error.count("\n")) == (FAILED, [], 1)


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
        ("--jsonl", "missing.jsonl", "--prompt", "caption en"),
        ("--jsonl", "."),
        ("--jsonl", ""),
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
    (tmp_path / "latin.jsonl").write_bytes(line.encode() + b"\xe9\n" + line.encode())
    code, answers, _ = run("--jsonl", str(tmp_path / "latin.jsonl"))
    wrong, right = map(json.loads, answers)
    assert code == FAILED
    assert (
        f"is not UTF-8 text: byte {len(line)} is wrong. Save the file as UTF-8." in wrong["error"]
    )
    assert "text" in right


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_terminal_of_ascii_gets_utf_8(options, tmp_path):
    path = tmp_path / "pictüre.png"
    Image.new("RGB", (9, 9)).save(path)
    line = json.dumps({"image": "missing-\u00fc.png", "prompt": "ocr"}) + "\n"
    environment = os.environ | {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "models.generate", "--jsonl", "-"],
        input=line,
        capture_output=True,
        cwd=ROOT,
        env=environment,
        encoding="utf-8",
    )
    assert "missing-ü.png does not exist" in json.loads(done.stdout)["error"]
    assert (done.returncode, done.stderr) == (FAILED, "")


@pytest.mark.slow
def test_an_interrupt_ends_it_cleanly_while_the_pipe_is_open(png):
    line = json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 1}) + "\n"
    with subprocess.Popen(
        [sys.executable, "-m", "models.generate", "--jsonl", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.stderr.read()) == (INTERRUPTED, "")
