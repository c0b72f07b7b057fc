"""The folders that runs lie in: made, filled with pictures, found by their ids, and swept.

    BATCHES/ID/pictures        what was uploaded, or pictures.zip
    BATCHES/ID/asked.json      how many pictures there are, and how many files were passed over
    BATCHES/ID/run             the folder of the run (see `data.runs`)

This module asks no model.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from gradio.utils import get_upload_folder

from data.pictures import Pictures, find, is_picture, leads_out
from data.runs import RESULTS, SETTINGS
from data.zip_pictures import ZippedPictures
from models.limits import (
    BATCH_KEPT_S,
    EMPTY_BATCH_KEPT_S,
    MAX_BATCH_BYTES,
    MAX_BATCH_PICTURE_BYTES,
    MAX_BATCHES,
)
from models.schema import Busy, UserError, quoted

FOLDER = "batches"  # within that of uploads
ARCHIVE = "pictures.zip"
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
# Names of files have no-break spaces, joiners and marks of direction; not line breaks.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
MAX_NAME_BYTES, MAX_PART_BYTES = 1000, 255


class NotHere(UserError):
    """There is no such run, or no longer."""

    def __init__(self) -> None:
        super().__init__("This batch is not on the server, or no longer.", "Begin a new one.")


@dataclass(frozen=True)
class Stored:
    """The folder of a run with what belongs to it."""

    id: str
    folder: Path

    @property
    def run(self) -> Path:
        """The folder of the run itself."""
        return self.folder / "run"

    @property
    def is_begun(self) -> bool:
        """Whether it is known what is asked."""
        return (self.run / SETTINGS).is_file()

    @property
    def used_at(self) -> float:
        """When it was last looked at or added to, in seconds as `time.time` counts them."""
        files = (self.folder / "used", self.run / RESULTS, *self.folder.glob("*.new"))
        return max((found.st_mtime for found in map(_stat, files) if found), default=0.0)

    def touch(self) -> None:
        """It is looked at."""
        (self.folder / "used").touch()

    def pictures(self) -> Pictures:
        """What was uploaded; UserError where that is nothing that can be read."""
        archive = self.folder / ARCHIVE
        return find([str(archive if archive.exists() else self.folder / "pictures")])

    def counted(self) -> dict[str, int]:
        """`pictures` there are and `others` that were passed over; UserError where that is not
        known yet."""
        try:
            return json.loads((self.folder / "asked.json").read_text("utf-8"))
        except (OSError, ValueError):
            raise UserError("This batch was not begun.", "Give pictures, and press Run.") from None

    def count(self, at_most: int) -> Pictures:
        """The pictures, counted for `counted`; UserError where they are more than a run may have,
        in number or in bytes."""
        pictures = self.pictures()
        if len(pictures.names) > at_most:
            raise UserError(
                f"There are {len(pictures.names):,} pictures.",
                f"Use at most {at_most:,} here, or python -m models.batch for more.",
            )
        if isinstance(pictures, ZippedPictures) and pictures.unpacked_bytes > MAX_BATCH_BYTES:
            raise UserError(
                f"The archive has {pictures.unpacked_bytes / 1e9:.1f} GB unpacked.",
                f"Use at most {MAX_BATCH_BYTES / 1e9:.0f} GB.",
            )
        counted = {"pictures": len(pictures.names), "others": pictures.others}
        new = self.folder / "asked.json.new"
        new.write_text(json.dumps(counted), "utf-8")
        new.replace(self.folder / "asked.json")
        return pictures

    def place_for(self, name: str) -> Path:
        """Where an uploaded picture of that name goes; UserError where the name is none, or leads
        out of the folder."""
        parts = name.split("/")
        is_fit = (
            not _CONTROLS.search(name)
            and not leads_out(name)
            and "\\" not in name
            and all(part not in ("", ".") for part in parts)
            and len(os.fsencode(name)) <= MAX_NAME_BYTES
            and all(len(os.fsencode(part)) <= MAX_PART_BYTES for part in parts)
        )
        if not is_fit:
            raise UserError(f"{quoted(name)} is no name for a picture here.", "Rename the file.")
        if not is_picture(name):
            raise UserError(f"{quoted(name)} has not the name of a picture.", "Leave it out.")
        return self.folder / "pictures" / name

    def bytes(self) -> int:
        """What all its files take."""
        return _bytes_in(self.folder)

    def pictures_bytes(self) -> int:
        """What its pictures take, an archive unpacked; UserError as `pictures`."""
        found = self.pictures()
        if isinstance(found, ZippedPictures):
            return found.unpacked_bytes
        return _bytes_in(self.folder / "pictures")


def create() -> Stored:
    """A new folder of an id that nobody can guess; Busy where there are too many."""
    if sum(1 for _ in all_stored()) >= MAX_BATCHES:
        raise Busy("The server has no room for another batch.", "Try again in some hours.")
    made = secrets.token_urlsafe(16)
    folder = _root() / made
    (folder / "pictures").mkdir(parents=True)
    stored = Stored(made, folder)
    stored.touch()
    return stored


def look_up(given: str) -> Stored:
    """The run of an id, which is marked as looked at; NotHere where there is none."""
    folder = _root() / given
    if not _ID.fullmatch(given) or not (folder / "used").is_file():
        raise NotHere
    stored = Stored(given, folder)
    stored.touch()
    return stored


def all_stored() -> Iterator[Stored]:
    """All runs of this server."""
    root = _root()
    if not root.is_dir() or root.is_symlink():
        return
    for folder in root.iterdir():
        if _ID.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            yield Stored(folder.name, folder)


def sweep(without: frozenset[str] = frozenset()) -> int:
    """Delete runs that nobody has looked at for BATCH_KEPT_S, or for EMPTY_BATCH_KEPT_S where
    nothing was asked yet, those at work not among them; returns how many."""
    gone = 0
    for stored in list(all_stored()):
        kept_s = BATCH_KEPT_S if stored.is_begun else EMPTY_BATCH_KEPT_S
        if stored.id not in without and stored.used_at < time.time() - kept_s:
            shutil.rmtree(stored.folder, ignore_errors=True)
            gone += 1
    return gone


class Incoming:
    """A file that is being received: written beside the pictures, and put in its place when it is
    whole."""

    def __init__(self, stored: Stored, name: str | None, take: Callable[[int], None]):
        """A picture of that name, or the archive where it is None; `take` is asked for the room
        of each chunk before it is written, and refuses it with a UserError."""
        self._place = stored.folder / ARCHIVE if name is None else stored.place_for(name)
        self._most = MAX_BATCH_BYTES if name is None else MAX_BATCH_PICTURE_BYTES
        self._take = take
        self._said = "The archive" if name is None else name
        self._new = stored.folder / f"{secrets.token_hex(8)}.new"
        self._file = self._new.open("xb")
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Some bytes more; UserError where there are too many, or the disk has no room."""
        if self.size + len(chunk) > self._most:
            raise UserError(
                f"{self._said} is too large.",
                f"Use files of at most {MAX_BATCH_PICTURE_BYTES / 1e6:.0f} MB, "
                f"{MAX_BATCH_BYTES / 1e9:.0f} GB in all.",
            )
        self._take(len(chunk))
        self.size += len(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise Busy(
                f"{self._said} cannot be stored: {error.strerror}.", "Try again in some hours."
            ) from None

    def finish(self) -> bool:
        """Put it in its place; whether nothing was there. UserError where that cannot be."""
        self._file.close()
        is_new = not self._place.exists()
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._new.replace(self._place)
        except OSError as error:
            raise UserError(
                f"{self._said} cannot be stored: {error.strerror}.", "Rename the file."
            ) from None
        return is_new

    def close(self) -> None:
        """Nothing is left of what was not finished."""
        self._file.close()
        self._new.unlink(missing_ok=True)


def _bytes_in(folder: Path) -> int:
    found = (_stat(each) for each in folder.rglob("*"))
    return sum(each.st_size for each in found if each and S_ISREG(each.st_mode))


def _stat(path: Path) -> os.stat_result | None:
    """None where it is gone."""
    try:
        return path.lstat()
    except OSError:
        return None


def _root() -> Path:
    return Path(get_upload_folder()) / FOLDER
