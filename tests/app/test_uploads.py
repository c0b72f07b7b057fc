"""The folder of uploads: this user's alone, and swept of what this app left there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder

from models.schema import UserError
from tests.app.test_startup import refused_start
from tests.serving import app_process
from ui.uploads import sweep, use_own_folder

LONG_AGO = time.time() - 7200


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    """A folder that several apps use for what is temporary."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "shared"))
    return tmp_path / "shared"


def own_folder(shared: Path) -> Path:
    return shared / f"paligemma2-demo-{os.getuid()}"


def write(file: Path, is_old: bool = True) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    if is_old:
        os.utime(file, (LONG_AGO, LONG_AGO))
    return file


def test_a_folder_is_made_for_this_user_alone(shared):
    use_own_folder()
    assert get_upload_folder() == str(own_folder(shared))
    assert own_folder(shared).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_only_read_is_closed_to_them(shared):
    own_folder(shared).mkdir(parents=True, mode=0o755)
    use_own_folder()
    assert own_folder(shared).stat().st_mode & 0o777 == 0o700


def test_what_somebody_else_may_have_put_there_is_not_used(shared, tmp_path, monkeypatch):
    shared.mkdir()
    folder = own_folder(shared)
    folder.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match=r"is not a folder. Remove it"):
        use_own_folder()
    folder.unlink()
    folder.write_text("")
    with pytest.raises(UserError, match=r"is not a folder. Remove it"):
        use_own_folder()
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UserError, match=r"written to by others. Remove it, or run: chmod 700"):
        use_own_folder()
    folder.chmod(0o700)
    folder.rename(shared / f"paligemma2-demo-{os.getuid() + 1}")
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(UserError, match=r"belongs to another user. Set GRADIO_TEMP_DIR"):
        use_own_folder()
    assert get_upload_folder() == str(shared), "nothing was chosen"


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    file = write(tmp_path / "file")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(file))
    with pytest.raises(UserError, match=r"cannot be made .* Set GRADIO_TEMP_DIR"):
        use_own_folder()


@pytest.mark.slow
def test_the_app_does_not_start_on_a_folder_of_somebody_else(shared, monkeypatch):
    shared.mkdir()
    own_folder(shared).symlink_to(shared)
    said = refused_start(monkeypatch, GRADIO_TEMP_DIR=str(shared))
    assert said.startswith("The folder for uploads, ") and said.count("\n") == 1


def test_only_what_a_former_process_of_this_app_left_is_swept(shared, tmp_path):
    foreign = [write(shared / ("a" * 64) / "old.png"), write(shared / "notes" / "old.txt")]
    use_own_folder()
    own = own_folder(shared)
    old = write(own / ("a" * 64) / "old.png")
    kept = [
        write(own / ("b" * 64) / "new.png", is_old=False),
        write(own / "notes" / "old.txt"),
        write(own / "tmpabcdefgh", is_old=False),
        write(tmp_path / "elsewhere" / "old.png"),
    ]
    (own / ("c" * 64)).symlink_to(tmp_path / "elsewhere")
    part = write(own / "tmp1bcdefg_")  # of an upload that never came whole
    assert sweep(older_than_s=3600) == 2
    assert not old.parent.exists() and not part.exists()
    assert all(file.exists() for file in (*kept, *foreign))


def test_a_folder_that_was_not_chosen_here_is_not_swept(shared):
    old = write(shared / ("a" * 64) / "old.png")
    assert sweep(older_than_s=3600) == 0
    assert old.exists()


@pytest.mark.slow
def test_the_app_sweeps_its_folder_at_start(tmp_path):
    shared = tmp_path / "gradio"
    foreign = write(shared / ("a" * 64) / "old.png")
    old = write(own_folder(shared) / ("a" * 64) / "old.png")
    own_folder(shared).chmod(0o700)
    with app_process(tmp_path):
        assert foreign.exists() and not old.exists()
