"""Whatever a package imports, one of the requirements files that are installed for it names."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"api", "app", "data", "evaluation", "models", "tests", "training", "ui"}
OPTIONAL = {"pillow_heif"}  # asked for where it is installed; else an error names it
APP = ("requirements.txt",)
TRAINING = (*APP, "training/requirements.txt")
NANO = (*TRAINING, "training/nano/requirements.txt")
EVALUATION = (*NANO, "evaluation/requirements.txt")
INSTALLED_FOR = {
    "app.py": APP,
    "api": APP,
    "ui": APP,
    "models": APP,
    "data": TRAINING,
    # What the page's tab Batch takes of it, where that imports anything.
    **dict.fromkeys(("data/exports", "data/items.py", "data/run_results.py"), APP),
    "training": TRAINING,
    "training/nano": NANO,
    "evaluation": EVALUATION,
    "tests": (*EVALUATION, "tests/requirements.txt"),
}


def declared(files: tuple[str, ...]) -> set[str]:
    """The distributions that requirements files name, in lower case with hyphens."""
    lines = [line for file in files for line in (ROOT / file).read_text("utf-8").splitlines()]
    names = [re.match(r"[\w.-]+", line) for line in lines]
    return {normalized(name.group()) for name in names if name}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def sources(part: str) -> list[Path]:
    """The files of a package, without those of a package within it that has its own line."""
    if part.endswith(".py"):
        return [ROOT / part]
    within = [ROOT / other for other in INSTALLED_FOR if other.startswith(f"{part}/")]
    found = sorted((ROOT / part).rglob("*.py"))
    return [file for file in found if not any(file.is_relative_to(each) for each in within)]


def imported(file: Path) -> set[str]:
    """The top-level modules of others that a file imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return tops - OWN - OPTIONAL - set(sys.stdlib_module_names)


@pytest.mark.parametrize("part", INSTALLED_FOR)
def test_imports_are_declared(part: str) -> None:
    files = sources(part)
    assert any(imported(file) for file in files)
    given, by_module = declared(INSTALLED_FOR[part]), packages_distributions()
    missing = {
        f"{file.relative_to(ROOT)}: {module}"
        for file in files
        for module in imported(file)
        if not given & {normalized(name) for name in by_module.get(module, [])}
    }
    assert not missing, sorted(missing)
