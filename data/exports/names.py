"""File names for formats that know no folders: each picture's own, and safe on every system."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 100  # characters


def flat_stems(names: Iterable[str]) -> dict[str, str]:
    """A file name without its ending for each path: parts joined by `_`, numbered where two would
    be one, also on systems that do not tell capitals apart."""
    taken: set[str] = set()
    found = {}
    for name in names:
        path = PurePosixPath(name)
        joined = "_".join((*path.parts[:-1], path.stem))
        plain = re.sub(r"[^\w.\- ]", "_", joined).strip(". ")[-LONGEST:] or "picture"
        stem, number = plain, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{plain}-{number}"
        taken.add(stem.casefold())
        found[name] = stem
    return found
