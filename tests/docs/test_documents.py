"""What the documents say can be done: commands run or parse, code runs, links lead somewhere.

A command that takes hours, a GPU or gated weights is not run; that its module has every option that
is written is checked for all.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.settings import ApiSettings
from models.catalog.catalog import Catalog
from ui.embedding import Embedding

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)  # within lists, too
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")
RUN = ("models.generate",)  # seconds each on nano


def documents() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split()]


@dataclass(frozen=True)
class Block:
    """A fenced block; `number` counts from 1 in its document."""

    document: Path
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.number}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(document, number, language, textwrap.dedent(text))
        for document in documents()
        for number, (_, language, text) in enumerate(FENCE.findall(document.read_text("utf-8")), 1)
        if language in languages
    ]


def commands(text: str) -> list[str]:
    """The commands of a block, one a line, continued lines joined and comments left out."""
    lines = (re.sub(r"\s+#.*", "", line) for line in text.replace("\\\n", " ").splitlines())
    return [line.strip() for line in lines if line.strip()]


def modules(text: str) -> list[tuple[str, list[str]]]:
    """Each `python -m MODULE` of a text with the words after it, up to a pipe or a redirection."""
    found = []
    for command in commands(text):
        for part in re.split(r"[|>&;]", command):
            match = re.search(r"(?:^|\s)-m ([a-z][\w.]+)(.*)", part)
            if match and match[1].split(".")[0] in ("data", "models", "training", "evaluation"):
                found.append((match[1], shlex.split(match[2])))
    return found


@functools.cache
def help_of(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def workplace(tmp_path) -> Path:
    """A folder in which the commands of a document find what they name."""
    for name in ("examples", "checkpoints"):
        (tmp_path / name).symlink_to(ROOT / name)
    line = {"image": "examples/caption.png", "prompt": "caption en"}
    (tmp_path / "requests.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    return tmp_path


SHELL = blocks("sh")
WITH_MODULES = [block for block in SHELL if modules(block.text)]
# Those of clients.md are run with what they print compared, in tests/app/test_clients.py.
PYTHON = [block for block in blocks("python") if block.document.name != "clients.md"]


def test_there_is_something_to_check():
    assert len(WITH_MODULES) >= 10
    assert len(PYTHON) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("block", WITH_MODULES, ids=str)
def test_commands_have_the_options_that_are_written(block):
    for module, words in modules(block.text):
        known = set(re.findall(r"--[a-z][\w-]*", help_of(module)))
        written = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert written <= known, (module, written - known)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [b for b in WITH_MODULES if any(m in RUN for m, _ in modules(b.text))], ids=str
)
def test_short_commands_run(block, workplace):
    for command in commands(block.text):
        if not any(module in RUN for module, _ in modules(command)):
            continue
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=workplace,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, (command, done.stderr)
        written = done.stdout + "".join(p.read_text("utf-8") for p in workplace.glob("answers*"))
        assert written.strip(), command


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_code_runs(block, workplace, request, monkeypatch):
    code = block.text
    if "http://127.0.0.1:7860" in code:
        url = request.getfixturevalue("served").url
        code = code.replace("http://127.0.0.1:7860", url.rstrip("/"))
    code = re.sub(r"^client\.close.*$", "", code, flags=re.M)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_targets_and_files_that_commands_name_exist(block):
    for command in commands(block.text):
        words = [word.removeprefix("image=@") for word in shlex.split(command)]
        if words[0] == "make":
            asked = ["make", "-n", *(word for word in words[1:] if "=" not in word)]
            done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        for word in words:
            if word.endswith((".py", ".txt")) or word.startswith("examples/"):
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document):
    text = FENCE.sub("", document.read_text("utf-8"))
    for target in LINK.findall(text):
        assert (document.parent / target).exists(), target


def test_variables_that_are_named_are_read_and_the_reverse():
    deployment = r"PALIGEMMA_[A-Z]+(?:_[A-Z]+)*"
    named = {
        each for path in documents() for each in re.findall(deployment, path.read_text("utf-8"))
    }
    sources = [
        *ROOT.glob("app.py"),
        *(s for n in ("api", "models", "ui") for s in (ROOT / n).rglob("*.py")),
    ]
    read = {
        each
        for path in sources
        for each in re.findall(f'"({deployment})"', path.read_text("utf-8"))
    }
    assert named == read
    table = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    assert set(re.findall(rf"^\| `({deployment})`", table, re.M)) == read


VARIABLES = blocks("dotenv")


@pytest.mark.parametrize("block", VARIABLES, ids=str)
def test_variables_can_be_set_as_they_are_written(block):
    set_to = dict(line.split("=", 1) for line in block.text.splitlines())
    catalog = Catalog.from_environment(set_to)
    ApiSettings.from_environment(set_to)
    Embedding.from_environment(set_to)
    assert catalog != Catalog()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
