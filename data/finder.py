"""From a picture's name in a file of annotations to the picture in a folder.

Label tools write names as they were where the pictures were labelled: with backslashes, folders of
the server, a storage's address, percent signs, or eight digits before the name of an upload. Where
such a name leads nowhere, the one file of that name in the folder is meant.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from data.changes import Changes
from models.schema import UserError

BY_NAME = "pictures found by their name alone"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before an upload's name


class Finder:
    """Finds the pictures that a file names in a folder, or in folders within it.

    The folder is read once, at the first name that leads nowhere.
    """

    def __init__(self, file: Path, images: Path | None, changes: Changes):
        """`images` is the folder of the pictures; None is that of the file, or, where the file lies
        in `annotations`, the one beside it."""
        beside = file.parent
        roots = [beside.parent, beside] if beside.name == "annotations" else [beside]
        self._file, self._changes = file, changes
        self._roots = [images] if images else roots

    def find(self, name: str) -> Path:
        """The picture of a name; UserError where there is none or more than one."""
        for root in reversed(self._roots):
            if is_file(root / name):
                return root / name
        wanted = plain(name)
        for root in reversed(self._roots):
            if wanted.parts and is_file(root / wanted):
                self._changes.count(BY_NAME, f"{name} is {wanted}")
                return root / wanted
        found = self._alike(wanted)
        if len(found) > 1:
            here, there, *_ = (each.relative_to(self._roots[0]) for each in found)
            raise UserError(
                f"{name[:80]}, named in {self._file.name}, may be {here} or {there}.",
                "Give the folder of the images, or write the path within it.",
            )
        if not found:
            raise UserError(
                f"{self._roots[-1] / name[:80]}, named in {self._file.name}, is not there.",
                "Give the folder of the images.",
            )
        self._changes.count(BY_NAME, f"{name} is {found[0].relative_to(self._roots[0])}")
        return found[0]

    def _alike(self, wanted: PurePosixPath) -> list[Path]:
        """The files of a name whose path ends as `wanted` does for the most folders."""
        last = wanted.name.casefold()
        found = self._files.get(last) or self._files.get(_UPLOAD.sub("", last, count=1), [])
        ends = [_alike_parts(each.parts, wanted.parts) for each in found]
        return [each for each, parts in zip(found, ends, strict=True) if parts == max(ends)]

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = defaultdict(list)
        for each in sorted(self._roots[0].rglob("*")):
            if is_file(each):
                found[each.name.casefold()].append(each)
        return dict(found)


def plain(name: str) -> PurePosixPath:
    """A name as a path within a folder: no backslashes, address, query or percent signs."""
    if _SCHEME.match(name) or "?" in name:
        parts = urlsplit(name)
        name = parse_qs(parts.query).get("d", [parts.path])[0]  # `d` is of Label Studio's storage
    steps = PurePosixPath(unquote(name).replace("\\", "/")).parts
    return PurePosixPath(*(each for each in steps if each not in ("/", "..", steps[0][:1] + ":")))


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name is too long or too odd to ask for."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _alike_parts(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders at the end, before the name, two paths have in common."""
    alike = 0
    for first, second in zip(one[-2::-1], other[-2::-1], strict=False):
        if first.casefold() != second.casefold():
            break
        alike += 1
    return alike
