"""The results as they are, with corrections in their place: a line for each picture and prompt."""

from __future__ import annotations

from pathlib import Path

from data.run_results import RunResults
from models.results import json_line


def write(results: RunResults, folder: Path) -> list[str]:
    """`results.jsonl`; lines with a correction have `is_corrected`."""
    with (folder / "results.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as file:
        for picture in results:
            file.writelines(json_line(each.line) for each in picture.answers)
    return []
