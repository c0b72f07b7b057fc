"""Where many pictures lie: a folder, a ZIP archive, or files, each with its path within.

Nothing is unpacked: what is in an archive is read into memory when it is asked for. This module
decodes no picture and writes nothing.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.schema import UserError

# By their names, as a folder has other files beside its pictures.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
)


class Pictures(ABC):
    """Pictures with names: paths relative to where they lie, parts separated by `/`.

    `roots` are the absolute paths that were given, `names` in an order that depends on the names
    alone, `others` how many files were passed over because their names are no pictures'.
    """

    roots: tuple[str, ...]
    names: tuple[str, ...]
    others: int

    @abstractmethod
    def open(self, name: str) -> Path | bytes:
        """What `models.images.open_image` takes; UserError where it cannot be read."""


class Files(Pictures):
    """Files on a disk, of which a name is the path from `folder` on."""

    def __init__(self, roots: Sequence[Path], folder: Path, names: Sequence[str], others: int = 0):
        self.roots = tuple(str(each) for each in roots)
        self.names, self.others = tuple(names), others
        self._folder = folder

    def open(self, name: str) -> Path:
        """The path of a picture."""
        return self._folder / name


def find(given: Sequence[str], without: Path | None = None) -> Pictures:
    """The pictures of one folder, of one ZIP archive, or of files; nothing that lies in the folder
    `without` is among them.

    UserError where something is not there, where there are no pictures, or as `data.zip_pictures`.
    """
    from data.zip_pictures import ZippedPictures  # which is a kind of Pictures

    paths = [Path(os.path.abspath(each)) for each in given]  # noqa: PTH100 (links stay links)
    for name, path in zip(given, paths, strict=True):
        if not path.exists():
            raise UserError(f"{name} does not exist.", "Check the path.")
    is_alone = [path.is_dir() or path.suffix.lower() == ".zip" for path in paths]
    if any(is_alone) and len(paths) > 1:
        raise UserError(
            f"{given[is_alone.index(True)]} stands beside other pictures.",
            "Give one folder, one ZIP archive, or files.",
        )
    found: Pictures
    if not any(is_alone):
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        names = sorted({path.relative_to(folder).as_posix() for path in paths})
        found = Files(paths, folder, names)
    elif paths[0].is_dir():
        found = _folder(paths[0], without)
    else:
        found = ZippedPictures(paths[0])
    if not found.names:
        raise UserError(
            f"{given[0]} has no pictures.", f"Their names have to end in {', '.join(SUFFIXES)}."
        )
    return found


def is_picture(name: str) -> bool:
    """Whether a path within a folder or an archive has the name of a picture that is shown."""
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    return not is_hidden and name.lower().endswith(SUFFIXES)


def leads_out(name: str) -> bool:
    """Whether a path, with `/` or `\\` between its parts, leads out of the folder it is read in."""
    parts = name.replace("\\", "/")
    return parts.startswith("/") or bool(re.match("[A-Za-z]:", parts)) or ".." in parts.split("/")


def _folder(folder: Path, without: Path | None) -> Files:
    names, others = [], 0
    for name in _walk(folder, without):
        if is_picture(name):
            names.append(name)
        else:
            others += 1
    return Files((folder,), folder, names, others)


def _walk(folder: Path, without: Path | None) -> Iterator[str]:
    """The names of all files, folder by folder; links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise UserError(
            f"{error.filename} cannot be read: {error.strerror}.", "Check its permissions."
        )

    def is_excluded(path: Path) -> bool:
        return without is not None and path.name == without.name and path.samefile(without)

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(each for each in folders if not is_excluded(Path(parent, each)))
        for name in sorted(files):
            yield Path(parent, name).relative_to(folder).as_posix()
