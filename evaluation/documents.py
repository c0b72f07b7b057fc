"""Puts tables into documents between two marks, so that no figure is copied by hand.

A mark is a Markdown comment: `<!-- scores -->` … `<!-- /scores -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path


def write(path: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between the marks of each name that the document has.

    ValueError where it has the marks of none.
    """
    text, found = path.read_text("utf-8"), False
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text, times = marks.subn(lambda m, table=table: f"{m[1]}\n{table}\n\n{m[2]}", text)
        found = found or times > 0
    if not found:
        raise ValueError(f"{path} has none of the marks {', '.join(tables)}")
    path.write_text(text, "utf-8")


def command(module: str, given: Sequence[str]) -> str:
    """How a module was run, for a document: folders of the machine that ran it are left out."""
    shown = [Path(each).name if Path(each).is_absolute() else each for each in given]
    return shlex.join(["python", "-m", module, *shown])
