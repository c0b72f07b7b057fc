"""Puts tables into documents between two marks, so that no figure is copied by hand.

A mark is a Markdown comment: `<!-- scores -->` … `<!-- /scores -->`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# A path from the root or the home folder, alone or after what joins parts of an argument.
_ABSOLUTE = re.compile(r"(^|[=+,])~?((?:/[^/=+,@]+)+)/?(?=$|[=+,@])")


def command(module: str, arguments: Sequence[str]) -> str:
    """The command line of a module, for documents: no folder of this machine is in it."""
    return shlex.join(["python", "-m", module, *map(shown, arguments)])


def shown(argument: str, parts: int = 1) -> str:
    """An argument whose absolute paths are cut to their last `parts` parts."""
    return _ABSOLUTE.sub(lambda path: path[1] + "/".join(path[2].split("/")[1:][-parts:]), argument)


def shown_apart(arguments: Sequence[str]) -> list[str]:
    """As `shown`, with as many parts of the paths as tell different arguments apart."""
    most = max((each.count("/") for each in arguments), default=0)
    for parts in range(1, most + 1):
        found = [shown(each, parts) for each in arguments]
        if len(set(found)) == len(set(arguments)):
            return found
    return list(arguments)


def data_name(data: str) -> str:
    """How documents call data: a file by its name, all else as it is given."""
    return Path(data).name if data.endswith((".json", ".jsonl")) else shown(data)


def scores_mark(data: str, task: str | None = None, limit: int | None = None) -> str:
    """The mark of a table of scores: each task of COCO annotations has its own, and a part of the
    data has another than the whole."""
    kind = f" {task or 'detect'}" if data.endswith(".json") else ""
    part = f", first {limit}" if limit else ""
    return f"compared {data_name(data)}{kind}{part}"


def has_marks(path: Path, names: Iterable[str]) -> bool:
    """Whether a document has the marks of any of these names; False where there is none."""
    text = path.read_text("utf-8") if path.is_file() else ""
    return any(_marks(name).search(text) for name in names)


def write(path: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between the marks of each name that the document has.

    ValueError where it has the marks of none.
    """
    text, found = path.read_text("utf-8"), False
    for name, table in tables.items():
        parts = _marks(name).split(text)  # text, opening mark, closing mark, text, …
        times = len(parts) // 3
        text = "".join(
            f"{part}\n{table}\n\n" if place % 3 == 1 else part for place, part in enumerate(parts)
        )
        found = found or times > 0
    if not found:
        raise ValueError(f"{path} has none of the marks {', '.join(tables)}")
    path.write_text(text, "utf-8")


def _marks(name: str) -> re.Pattern[str]:
    name = re.escape(name)
    return re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
