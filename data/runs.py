"""The folder of a run over many pictures: what was asked, and a line for each answer so far.

    RUN/run.json            what was asked of which pictures: a run goes on only with the same
    RUN/results.jsonl       a line per picture and prompt: `image`, the path within the pictures;
                            `width`, `height`, in pixels, turned upright; and the result as
                            `models.results` writes it, or `prompt` and `error`
    RUN/corrections.jsonl   what people put right (see `data.run_results`)

All lines of a picture are written at once and handed to the system, so that whenever a process is
ended, nothing is lost but what had no answer yet, and at most the last line is torn. This module
knows no models.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.results import json_line
from models.schema import UserError, quoted

SETTINGS = "run.json"
RESULTS = "results.jsonl"
CORRECTIONS = "corrections.jsonl"
VERSION = 1


class Run:
    """A run that lines are added to, by one process at a time.

    `settings` are JSON, with the list `prompts` among them. `answered` is how many lines there are
    and `failed` how many of them have an error.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        """Begin a run, or go on with the one in that folder.

        UserError where it was begun with other settings, where another process adds to it, or where
        the folder has something else or cannot be written.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _begin_or_check(folder, settings)
            self._file = (folder / RESULTS).open("a+b", buffering=0)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written: {error.strerror or error}.", "Choose another --out."
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(
                f"Another process works on {folder}.", "Wait for it, or choose another --out."
            ) from None
        self.answered = self.failed = 0
        self._bits = {prompt: 1 << place for place, prompt in enumerate(settings["prompts"])}
        self._done: dict[str, int] = defaultdict(int)  # the bits of a picture's prompts
        try:
            _cut_torn_line(self._file)
            for line in read_lines(folder / RESULTS):
                self._count(line)
        except BaseException:
            self._file.close()
            raise

    def missing(self, name: str) -> list[str]:
        """Those of the run's prompts that have no line about a picture yet."""
        done = self._done.get(name, 0)
        return [prompt for prompt, bit in self._bits.items() if not done & bit]

    def add(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add the lines of a picture; UserError where the disk is full, and none is added then."""
        size = self._file.seek(0, os.SEEK_END)
        text = "".join(map(json_line, lines)).encode("utf-8", "backslashreplace")
        rest = memoryview(text)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), size)
            raise UserError(
                f"{self.folder / RESULTS} cannot be written: {error.strerror or error}.",
                "Make room, and go on from here.",
            ) from None
        for each in lines:
            self._count(each)

    def close(self) -> None:
        """Let another process add to the run."""
        self._file.close()

    def _count(self, line: Mapping[str, Any]) -> None:
        self._done[line["image"]] |= self._bits.get(line["prompt"], 0)
        self.answered += 1
        self.failed += "error" in line


def read_settings(folder: Path) -> dict[str, Any]:
    """What a run was asked; UserError where the folder has none."""
    try:
        found = json.loads((folder / SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise UserError(
            f"{folder} is no folder of a run.", "Give the --out of python -m models.batch."
        )
    return found


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a run's results or corrections, in order; a torn last one is left out.

    UserError naming a line that is none.
    """
    return (line for _, line in read_lines_at(file))


def read_lines_at(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `read_lines`, each with the byte that it begins at."""
    with file.open("rb") as lines:
        start = 0
        for number, text in enumerate(lines, 1):
            if text.endswith(b"\n"):
                yield start, parse_line(text, f"Line {number} of {file}")
            start += len(text)


def parse_line(text: bytes, what: str) -> dict[str, Any]:
    """A line of a run; UserError, beginning with `what`, where it is none."""
    try:
        found = json.loads(text)
        is_line = isinstance(found["image"], str) and isinstance(found["prompt"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_line = False
    if not is_line:
        raise UserError(f"{what} is not about a picture and a prompt.", "Take that line out.")
    return found


def _begin_or_check(folder: Path, settings: Mapping[str, Any]) -> None:
    wanted = {"version": VERSION, **settings}
    if not (folder / SETTINGS).exists():
        if any(each.name != f"{SETTINGS}.new" for each in folder.iterdir()):
            raise UserError(
                f"{folder} has files, but is no folder of a run.", "Choose another --out."
            )
        new = folder / f"{SETTINGS}.new"  # renamed when it is whole
        new.write_text(json.dumps(wanted, indent=1) + "\n", "utf-8")
        new.replace(folder / SETTINGS)
        return
    begun = read_settings(folder)
    for name in wanted:
        if begun.get(name) != wanted[name]:
            raise UserError(
                f"{folder} was begun with {name} {quoted(begun.get(name))}, not "
                f"{quoted(wanted[name])}.",
                "Give that again, or another --out.",
            )


def _cut_torn_line(file: io.FileIO) -> None:
    """Take away what stands behind the last line feed: a process was ended while it wrote."""
    end = position = file.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - 65_536)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            position = start + found + 1
            break
        position = start
    if position < end:
        file.truncate(position)
