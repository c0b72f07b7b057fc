"""File names for formats that know no folders: each picture's own, and safe on every system."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 100  # characters
LONGEST_BYTES = 200  # in UTF-8; file systems take 255, with a number and an ending


def flat_stems(names: Iterable[str]) -> dict[str, str]:
    """A file name without its ending for each path: parts joined by `_`, numbered where two would
    be one, also on systems that do not tell capitals apart."""
    taken: set[str] = set()
    found = {}
    for name in names:
        path = PurePosixPath(name)
        joined = "_".join((*path.parts[:-1], path.stem))
        plain = _short(_plain(joined)).strip(". ") or "picture"
        stem, number = plain, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.casefold())
        found[name] = stem
    return found


def _plain(name: str) -> str:
    """Letters of all scripts with their marks, digits, and `_`, `.`, `-` and spaces; `_` in place
    of what else there is. What can be written in two ways is written in one."""
    return "".join(
        each
        if each in "_.- " or each.isalnum() or unicodedata.category(each).startswith("M")
        else "_"
        for each in unicodedata.normalize("NFC", name)
    )


def _short(name: str) -> str:
    """The end of a name, which is more often its own than the beginning."""
    return name[-LONGEST:].encode()[-LONGEST_BYTES:].decode("utf-8", "ignore")
