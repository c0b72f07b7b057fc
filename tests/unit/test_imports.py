"""Data flows one way, and importing does no work.

Which package may import which is the contract of import-linter in `pyproject.toml`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "data", "evaluation", "models", "training", "ui")
# What a page or a command line needs before it knows whether anything is to be computed.
LIGHT = (
    "models.limits",
    "models.schema",
    "models.images",
    "models.catalog",
    "models.prompts",
    "models.generate",
    "models.batch",
)


def module_names(*packages: str) -> list[str]:
    files = (file for package in packages for file in (ROOT / package).rglob("*.py"))
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return sorted(name.removesuffix(".__init__") for name in names if not name.endswith("__main__"))


def light_modules() -> list[str]:
    return [name for name in module_names("models") if name.startswith(LIGHT)]


def test_packages_import_only_downwards():
    """In a process of its own: the checker switches off the loggers of the one that it runs in."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_without_torch(module):
    names = [name for name in light_modules() if name.startswith(module)]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.slow
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
for name in {["app", *module_names(*PACKAGES)]!r}:
    importlib.import_module(name)
ours = [each.name for each in threading.enumerate() if each.name.startswith(("owner", "generate"))]
print("opened", opened, "threads", ours)
sys.exit(bool(opened or ours))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
