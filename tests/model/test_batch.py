"""The same prompts about each of many pictures: what a run writes, and how it goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from data.runs import RESULTS, Run
from data.sources import Source, read
from models.batch import main
from models.generate import FAILED, INTERRUPTED
from models.generate.asking import AT_ONCE
from tests.serving import WatchedBackend

ROOT = Path(__file__).parents[2]
PROMPTS = ("ocr", "caption en")


def draw_pictures(folder: Path, count: int) -> list[str]:
    """Pictures of which no two are alike, in two folders; their names in order."""
    names = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(count)]
    for number, name in enumerate(names):
        image = Image.new("RGB", (60 + number, 40), "white")
        ImageDraw.Draw(image).rectangle((5, 5, 20 + number, 30), fill="crimson")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return sorted(names)


def arguments(images: object, out: Path, *more: str, prompts=PROMPTS) -> list[str]:
    asked = [word for prompt in prompts for word in ("--prompt", prompt)]
    return [
        *("--images", str(images), "--out", str(out), "--max-new-tokens", "2"),
        *asked,
        *more,
    ]


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / RESULTS).read_text("utf-8").splitlines()]


def keys_of(out: Path) -> list[tuple[str, str]]:
    return [(line["image"], line["prompt"]) for line in lines_of(out)]


def untimed(line: dict) -> dict:
    """A line without what differs from one computing of it to another."""
    sure = [{**each, "confidence": None} for each in line.get("detections", ())]
    return {**line, "timings": None, "detections": sure}


def refused(capsys, *words: str, backend=None) -> str:
    capsys.readouterr()  # what came before
    assert main(list(words), backend) == FAILED
    return capsys.readouterr().err


@pytest.fixture
def photos(tmp_path) -> Path:
    draw_pictures(tmp_path / "photos", 6)
    return tmp_path / "photos"


def test_a_run_has_a_line_for_each_picture_and_prompt_in_order(photos, tmp_path, backend, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(photos / "turned.jpg", exif=exif)
    (photos / "broken.jpg").write_text("no picture")
    (photos / "notes.txt").write_text("no picture, and none by its name")
    out = photos / "run"  # within the pictures, where none of it is taken for one
    assert main(arguments(photos, out), backend) == FAILED
    assert "note: 1 file is left out" in capsys.readouterr().err
    names = ["broken.jpg", "turned.jpg", *[f"{f}/{n:02}.png" for f in "ab" for n in range(6)]]
    names = [name for name in names if (photos / name).exists()]
    assert keys_of(out) == [(name, prompt) for name in names for prompt in PROMPTS]
    found = {line["image"]: line for line in lines_of(out)}
    assert (found["turned.jpg"]["width"], found["turned.jpg"]["height"]) == (40, 60)
    assert "is not a picture" in found["broken.jpg"]["error"]
    whole = {"text", "detections", "timings", "notes", "finish_reason", "checkpoint"}
    assert whole <= set(found["a/00.png"]) and "error" not in found["a/00.png"]
    assert main(arguments(photos, out), backend) == FAILED, "nothing is left to be done"
    assert len(keys_of(out)) == 2 * len(names)


def test_a_zip_gives_what_its_folder_gives(photos, tmp_path, backend):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(photos.rglob("*.png")):
            packed.write(file, str(file.relative_to(photos)).replace("/", "\\"))
        packed.writestr("__MACOSX/a/._00.png", b"what a Mac adds")
        packed.writestr("a/torn.png", b"no picture")
    assert main(arguments(photos, tmp_path / "folder"), backend) == 0
    assert main(arguments(archive, tmp_path / "zip"), backend) == FAILED
    whole = [untimed(line) for line in lines_of(tmp_path / "zip") if line["image"] != "a/torn.png"]
    assert whole == [untimed(line) for line in lines_of(tmp_path / "folder")]
    assert len(keys_of(tmp_path / "zip")) == len(whole) + len(PROMPTS)


def test_pictures_are_answered_side_by_side(tmp_path, backend):
    draw_pictures(tmp_path / "photos", AT_ONCE + 2)
    watched = WatchedBackend(backend)
    watched.hold(after_tokens=1)
    words = arguments(tmp_path / "photos", tmp_path / "run", prompts=["caption en"])
    codes: list[int] = []
    command = threading.Thread(target=lambda: codes.append(main(words, watched)), daemon=True)
    command.start()
    assert watched.wait_for_active(AT_ONCE), "so many at once"
    watched.release()
    command.join()
    assert codes == [0]
    assert len(keys_of(tmp_path / "run")) == AT_ONCE + 2


def test_files_are_named_from_their_common_folder_on(photos, tmp_path, backend):
    given = [str(photos / name) for name in ("a/02.png", "b/01.png")]
    more = arguments(given[0], tmp_path / "run")
    assert main([*more[:2], given[1], *more[2:]], backend) == 0
    assert [name for name, _ in keys_of(tmp_path / "run")] == ["a/02.png"] * 2 + ["b/01.png"] * 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--prompt", "describe en"], 'begun with prompts ["ocr", "caption en"], not ["ocr", "cap'),
        (["--precision", "bf16"], 'begun with precision "auto", not "bf16"'),
        (["--max-new-tokens", "3"], "begun with max_new_tokens 2, not 3"),
    ],
)
def test_a_run_goes_on_only_with_what_it_was_begun_with(
    photos, tmp_path, backend, capsys, change, sentence
):
    out = tmp_path / "run"
    assert main(arguments(photos, out), backend) == 0
    before = (out / RESULTS).read_bytes()
    said = refused(capsys, *arguments(photos, out, *change), backend=backend)
    assert sentence in said and said.count("\n") == 1
    assert (out / RESULTS).read_bytes() == before


def test_a_folder_with_other_things_is_no_run(photos, tmp_path, backend, capsys):
    assert "is no folder of a run" in refused(capsys, *arguments(photos, tmp_path), backend=backend)
    assert {each.name for each in tmp_path.iterdir()} == {"photos"}


def test_a_run_that_is_worked_on_is_left_alone(photos, tmp_path, backend, capsys):
    out = tmp_path / "run"
    assert main(arguments(photos, out), backend) == 0
    settings = json.loads((out / "run.json").read_text())
    working = Run(out, {name: settings[name] for name in settings if name != "version"})
    try:
        said = refused(capsys, *arguments(photos, out), backend=backend)
    finally:
        working.close()
    assert "Another process works on" in said


def test_what_keeps_the_model_from_answering_is_no_line_of_a_picture(
    photos, tmp_path, backend, capsys
):
    words = arguments(photos, tmp_path / "run", "--adapter", "none-such")
    assert "none-such" in refused(capsys, *words, backend=backend)
    assert lines_of(tmp_path / "run") == []


def test_new_pictures_are_answered_by_the_same_command(photos, tmp_path, backend):
    out = tmp_path / "run"
    main(arguments(photos, out), backend)
    Image.new("RGB", (30, 30)).save(photos / "a" / "00-first.png")
    assert main(arguments(photos, out), backend) == 0
    assert keys_of(out)[-2:] == [("a/00-first.png", prompt) for prompt in PROMPTS]
    assert len(set(keys_of(out))) == len(keys_of(out)) == 14


def test_results_are_exported_and_learned_from(tmp_path, backend, capsys):
    images, out = tmp_path / "photos", tmp_path / "run"
    images.mkdir()
    for name in ("segment.png", "detect.png", "crowd.png"):
        shutil.copy(ROOT / "examples" / name, images)
    (images / "broken.png").write_text("no picture")
    words = ["--images", str(images), "--out", str(out), "--prompt", "segment lady beetle"]
    assert main([*words, "--export", "coco", "yolo-segment", "finetune"], backend) == FAILED
    assert f"{out / 'exports' / 'coco'} is written" in capsys.readouterr().err
    content = json.loads((out / "exports" / "coco" / "annotations.json").read_text("utf-8"))
    found = [each for line in lines_of(out) for each in line.get("detections", ())]
    assert len(content["annotations"]) == len(found) > 0
    assert len(content["images"]) == 3
    items = read(Source(str(out / "exports" / "finetune" / "train.jsonl")))
    said = {line["image"]: line["text"] for line in lines_of(out) if "text" in line}
    assert {item.picture.name: item.suffix for item in items} == said


def test_a_broken_picture_is_asked_again_once_its_lines_are_taken_out(photos, tmp_path, backend):
    out, broken = tmp_path / "run", photos / "a" / "02.png"
    whole = broken.read_bytes()
    broken.write_bytes(b"no picture")
    assert main(arguments(photos, out), backend) == FAILED
    broken.write_bytes(whole)
    lines = (out / RESULTS).read_text("utf-8").splitlines(keepends=True)
    (out / RESULTS).write_text("".join(line for line in lines if "error" not in line), "utf-8")
    assert main(arguments(photos, out), backend) == 0
    assert len(set(keys_of(out))) == len(keys_of(out)) == 12


# Ends the process within the write of a picture's lines, half of which then stand in the file.
KILLED = """
import io, os, signal, sys
from data import runs
from models.batch import main

add = runs.Run.add
def add_until(run, lines):
    if run.answered == int(sys.argv[1]):
        text = "".join(map(runs.json_line, lines)).encode()
        os.write(run._file.fileno(), text[: int(len(text) * float(sys.argv[2]))])
        os.kill(os.getpid(), signal.SIGKILL)
    add(run, lines)
runs.Run.add = add_until
sys.exit(main(sys.argv[3:]))
"""


def in_a_process(code: str, *words: str) -> int:
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True)
    return done.returncode


def test_a_run_that_was_killed_goes_on_with_nothing_lost_or_twice(tmp_path, backend):
    names = draw_pictures(tmp_path / "photos", 36)
    (tmp_path / "photos" / "a" / "10.png").write_text("broken")
    whole, killed = (arguments(tmp_path / "photos", tmp_path / each) for each in ("whole", "run"))
    # Within the second line of a picture, and within the first.
    for answered, share in ((20, 0.7), (50, 0.2)):
        code = in_a_process(KILLED, str(answered), str(share), *killed)
        assert code == -signal.SIGKILL
        assert answered <= (tmp_path / "run" / RESULTS).read_bytes().count(b"\n") <= answered + 1
    assert main(killed, backend) == FAILED
    assert keys_of(tmp_path / "run") == [(name, prompt) for name in names for prompt in PROMPTS]
    assert main(whole, backend) == FAILED
    assert [*map(untimed, lines_of(tmp_path / "run"))] == [
        *map(untimed, lines_of(tmp_path / "whole"))
    ]


# Interrupts itself as a terminal would, once some lines are written.
INTERRUPTS = """
import os, signal, sys
from data import runs
from models.batch import main

add = runs.Run.add
def add_until(run, lines):
    add(run, lines)
    if run.answered == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGINT)
runs.Run.add = add_until
sys.exit(main(sys.argv[2:]))
"""


def test_an_interrupt_leaves_a_run_that_goes_on(tmp_path, backend):
    names = draw_pictures(tmp_path / "photos", 30)
    words = arguments(tmp_path / "photos", tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS, "10", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == INTERRUPTED
    assert "Stopped at" in done.stderr and "Traceback" not in done.stderr
    assert 10 <= len(keys_of(tmp_path / "run")) < 60
    assert main(words, backend) == 0
    assert keys_of(tmp_path / "run") == [(name, prompt) for name in names for prompt in PROMPTS]


def test_a_folder_that_cannot_be_written_is_said(photos, backend, capsys):
    said = refused(capsys, *arguments(photos, Path("/proc/run")), backend=backend)
    assert "cannot be written" in said
