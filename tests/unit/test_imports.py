"""Data flows one way, and importing does no work."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = (
    "schema",
    "shapes",
    "checkpoints",
    "memory",
    "deployment",
    "catalog",
    "metrics",
    "rle",
    "tokens",
    "prompts",
    "images",
    "mask_codec",
    "objects",
    "device",
    "backend",
    "hub",
    "lora",
    "adapters",
    "checks",
    "linear",
    "four_bit",
    "head",
    "loader",
    "blocks",
    "attention",
    "vision",
    "decoder",
    "replay",
    "detokenizer",
    "features",
    "sampling",
    "beams",
    "inputs",
    "engine",
    "scheduler",
    "residents",
    "zero",
    "service",
    "generate",
)
# All others must be importable without torch.
NEED_TORCH = frozenset(
    "mask_codec objects device linear four_bit head loader blocks attention vision decoder replay "
    "features sampling beams inputs engine scheduler residents zero service".split()
)
LIGHT = tuple(module for module in ORDER if module not in NEED_TORCH)
PAGE_ONLY = {"gradio", "gradio_client"}


def imported(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, as dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def used_models(path: Path) -> set[str]:
    """The modules of `models` that a file imports."""
    parts = (name.split(".") for name in imported(path))
    return {name[1] for name in parts if name[0] == "models" and len(name) > 1}


def files(folder: str) -> list[Path]:
    return sorted(
        path
        for path in (ROOT / folder).rglob("*.py")
        if not any(part.startswith(".") for part in path.parts)
    )


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def module_names() -> list[str]:
    """Every module of the project but the tests."""
    paths = [
        path for folder in ("models", "ui", "training", "evaluation") for path in files(folder)
    ]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in (*names, "app"))


def test_every_module_has_its_place_in_the_order():
    assert {path.stem for path in files("models")} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_its_left(module):
    allowed = set(ORDER[: ORDER.index(module)])
    assert used_models(ROOT / "models" / f"{module}.py") & set(ORDER) <= allowed


@pytest.mark.parametrize("path", files("models"), ids=lambda path: path.stem)
def test_models_know_nothing_above_them(path):
    assert not tops(path) & {"ui", "app", "training", "evaluation", *PAGE_ONLY}


@pytest.mark.parametrize(
    "path", [*files("training"), *files("evaluation")], ids=lambda path: path.stem
)
def test_training_and_evaluation_know_no_page(path):
    allowed = {"gradio_client"} if path.stem == "visitor" else set()  # it visits the page
    assert not tops(path) & {"ui", "app", *PAGE_ONLY} - allowed


def test_training_uses_models_up_to_the_loader():
    used = set().union(*(used_models(path) for path in files("training")))
    assert used & set(ORDER) <= set(ORDER[: ORDER.index("loader") + 1])


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_without_torch(module):
    code = f"import sys, models.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_importing_every_module_does_no_work():
    """Nothing of the project but code is opened, and no thread of ours is left running."""
    code = f"""
import sys, threading, importlib
root, opened = {str(ROOT)!r}, []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).startswith(root):
        path = str(arguments[0])
        if "/." not in path[len(root):] and not path.endswith((".py", ".pyc", ".pyi")) \\
                and "__pycache__" not in path:
            opened.append(path)
sys.addaudithook(watch)
for name in {module_names()!r}:
    importlib.import_module(name)
ours = [each.name for each in threading.enumerate() if each.name.startswith(("owner", "generate"))]
print("opened", opened, "threads", ours)
sys.exit(bool(opened or ours))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
