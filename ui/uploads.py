"""Uploads and drawn pictures in Gradio's folder, which only the process that took them deletes."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from pathlib import Path

from gradio.utils import get_upload_folder

_OWN = re.compile(r"[0-9a-f]{64}")  # Gradio names a folder by the SHA-256 of what is in it


def use_own_folder() -> None:
    """Keep this app's uploads apart from other Gradio apps', unless GRADIO_TEMP_DIR names a folder.

    Gradio's own folder is one for all apps of a machine, whose files are not this one's to delete.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    os.environ.setdefault(
        "GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / f"paligemma2-demo-{user}")
    )


def sweep(older_than_s: float) -> int:
    """Delete what former processes left in Gradio's folder; returns how many files went.

    Only files directly in folders that Gradio named, older than so many seconds. Links are deleted
    as links, and no folder is entered through one.
    """
    gone = 0
    oldest = time.time() - older_than_s
    root = Path(get_upload_folder())
    if not root.is_dir():
        return 0
    for folder in root.iterdir():
        if not _OWN.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        # Another process may add to the folder meanwhile, or it may be another user's.
        with contextlib.suppress(OSError):
            gone += _sweep_folder(folder, oldest)
            folder.rmdir()  # fails where something is left
    return gone


def _sweep_folder(folder: Path, oldest: float) -> int:
    gone = 0
    for file in folder.iterdir():
        if (file.is_symlink() or file.is_file()) and file.lstat().st_mtime < oldest:
            file.unlink(missing_ok=True)
            gone += 1
    return gone
