"""The states of a run that was stopped: which is the newest whole one, and is it damaged?"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

from models.schema import UserError

STATE = "trainer_state.json"  # the last file of a state that the first process writes
_SAVED_BY_TORCH = ("optimizer.pt", "scheduler.pt")


def last_state(folder: Path) -> str | None:
    """The newest whole state of a run; one that was being written when it was stopped is removed.

    None where there is none yet.
    """
    whole = []
    for each in (folder / "states").glob("checkpoint-*"):
        if (each / STATE).is_file():
            whole.append(each)
        else:
            shutil.rmtree(each, ignore_errors=True)  # another process may be at it too
    return max(map(str, whole), key=step_of) if whole else None


def step_of(state: str) -> int:
    """After which step a state was written."""
    return int(Path(state).name.split("-")[1])


def check_state(state: str) -> None:
    """UserError naming a file of a state that is missing or damaged.

    Without its optimizer a run would end with other weights than one that was not stopped, so
    nothing is made anew in silence.
    """
    folder = Path(state)
    damaged = [name for name in _SAVED_BY_TORCH if not _is_whole_archive(folder / name)]
    damaged += [each.name for each in folder.glob("*.pth") if not _is_whole_archive(each)]
    weights = list(folder.glob("*.safetensors"))
    damaged += [each.name for each in weights if not _is_whole_tensors(each)]
    if not weights:
        damaged.append("the weights")
    try:
        json.loads((folder / STATE).read_text("utf-8"))
    except ValueError:
        damaged.append(STATE)
    if damaged:
        raise UserError(
            f"The state {folder} is damaged: {', '.join(damaged)} cannot be read.",
            "Remove that folder; the run goes on from the state before it, or begins anew.",
        )


def _is_whole_archive(file: Path) -> bool:
    """Whether what `torch.save` wrote is there, with every checksum right."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _is_whole_tensors(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        with safe_open(file, "pt"):
            return True
    except (OSError, SafetensorError):
        return False
