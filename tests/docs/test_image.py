"""The container's image, as far as that can be seen without Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT, app_process

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
LET_IN = {
    line.removeprefix("!")
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    if line.startswith("!")
}


def copied() -> set[str]:
    """Whatever the image is made of."""
    lines = (line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY"))
    return {name for names in lines for name in names}


def test_what_is_copied_is_let_in_and_nothing_else():
    assert copied() == LET_IN
    assert all((ROOT / name).exists() for name in copied())


@pytest.mark.slow
def test_the_app_runs_on_what_is_copied_and_its_health_check_says_so(tmp_path: Path):
    image = tmp_path / "image"
    image.mkdir()
    packed = subprocess.run(
        ["git", "ls-files", "-z", *copied()], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, packed.decode().split("\0")):
        target = image / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".safetensors":
            target.symlink_to(ROOT / name)
        else:  # Python would look for modules where a linked program lies
            shutil.copy(ROOT / name, target)
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.M | re.S)
    program, *words = json.loads(found[1])
    assert program == "python"
    with app_process(tmp_path, cwd=image) as app:
        for port, is_healthy in ((app.url.rpartition(":")[2], True), ("9", False)):
            done = subprocess.run(
                [sys.executable, *words], env={"GRADIO_SERVER_PORT": port}, capture_output=True
            )
            assert (done.returncode == 0) is is_healthy, done.stderr
