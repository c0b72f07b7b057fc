"""The command line as a process: pipes, signals, a full disk, and what a bad file costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.generate import FAILED, INTERRUPTED

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 300_000_000


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


def in_a_process(arguments: list[str], output) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "models.generate", *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def with_open_pipe() -> subprocess.Popen:
    """The command line on lines that are still to be written."""
    return subprocess.Popen(
        [sys.executable, "-m", "models.generate", "--jsonl", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_pipe_is_answered_while_it_is_open(png):
    line = json.dumps({"image": png, "prompt": "ocr", "max_new_tokens": 1}) + "\n"
    with with_open_pipe() as process:
        for number in (1, 2):
            process.stdin.write(line)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] == number
        process.stdin.close()
        assert process.wait() == 0


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


@pytest.mark.slow
def test_a_terminal_of_ascii_gets_utf_8(tmp_path):
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
    with with_open_pipe() as process:
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=60), process.stderr.read()) == (INTERRUPTED, "")
