"""The folder of uploads and drawn pictures: this app's and this user's alone, and its sweep."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
import time
from pathlib import Path

from gradio.utils import get_upload_folder

from models.schema import UserError

_OWN = re.compile(r"[0-9a-f]{64}")  # Gradio names a folder by the SHA-256 of what is in it
_PART = re.compile(r"tmp[a-z0-9_]{8}")  # of an upload that was coming when its process ended


def use_own_folder() -> None:
    """Let Gradio keep this app's files in a folder that no other app and no other user writes to.

    It lies in GRADIO_TEMP_DIR, which other apps may share, or in the system's folder for what is
    temporary, is made where it is missing, and closed to others where they could only read it.
    UserError where it cannot be made, or where what is there is not a folder of this user's alone.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    shared = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).absolute()
    folder = shared / f"paligemma2-demo-{user}"
    try:
        shared.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=stat.S_IRWXU)
        _check_own(folder, folder.lstat())
        folder.chmod(stat.S_IRWXU)
    except OSError as error:
        raise UserError(
            f"The folder for uploads, {folder}, cannot be made ({error.strerror}).",
            "Set GRADIO_TEMP_DIR to a folder that can be written to.",
        ) from None
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


def _check_own(folder: Path, found: os.stat_result) -> None:
    """UserError where somebody else can have put something in the folder's place or into it."""
    if not stat.S_ISDIR(found.st_mode):  # a link that leads to a folder is none either
        problem, remedy = "is not a folder", "Remove it, or set GRADIO_TEMP_DIR to another folder."
    elif hasattr(os, "getuid") and found.st_uid != os.getuid():
        problem, remedy = "belongs to another user", "Set GRADIO_TEMP_DIR to another folder."
    elif os.name == "posix" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem, remedy = "can be written to by others", f"Remove it, or run: chmod 700 {folder}"
    else:
        return
    raise UserError(f"The folder for uploads, {folder}, {problem}.", remedy)


def sweep(older_than_s: float) -> int:
    """Delete what former processes left in the folder of `use_own_folder`; returns how many files.

    Only uploads that never came whole, and files directly in folders that Gradio named, older than
    so many seconds. Links are deleted as links, and no folder is entered through one.
    """
    gone = 0
    oldest = time.time() - older_than_s
    root = Path(get_upload_folder())
    if not root.name.startswith("paligemma2-demo-") or not root.is_dir():
        return 0
    for folder in root.iterdir():
        if _PART.fullmatch(folder.name):
            gone += _sweep_file(folder, oldest)
            continue
        if not _OWN.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        # Another process may add to the folder meanwhile.
        with contextlib.suppress(OSError):
            gone += _sweep_folder(folder, oldest)
            folder.rmdir()  # fails where something is left
    return gone


def _sweep_folder(folder: Path, oldest: float) -> int:
    gone = 0
    for file in folder.iterdir():
        gone += _sweep_file(file, oldest)
    return gone


def _sweep_file(file: Path, oldest: float) -> int:
    with contextlib.suppress(FileNotFoundError):
        if (file.is_symlink() or file.is_file()) and file.lstat().st_mtime < oldest:
            file.unlink(missing_ok=True)
            return 1
    return 0
