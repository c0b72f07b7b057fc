"""The lines of a file of requests, one at a time, and what a line asks for.

A line is UTF-8 text that ends with a line feed and nothing else. This module knows no pictures and
no models.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from models.schema import UserError, quoted

MAX_LINE_BYTES = 1_000_000
STANDARD_INPUT = "-"

_HOW = 'Write {"image": "cat.png", "prompt": "caption en"}.'
_REQUIRED: dict[str, type | tuple[type, ...]] = {"image": (str, list), "prompt": str}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "id": (str, int),
    "max_new_tokens": int,
    "adapter": str,
}
_KIND_NAMES: dict[type | tuple[type, ...], str] = {
    str: "a text",
    int: "a whole number",
    (str, int): "a text or a whole number",
    (str, list): "a path or a list of paths",
}


@dataclass(frozen=True)
class Line:
    """A line that is not blank; `number` counts from 1, and `data` ends at MAX_LINE_BYTES."""

    number: int
    data: bytes
    is_whole: bool = True


@dataclass(frozen=True)
class LineRequest:
    """What a line asks for, about one picture or several; None where it leaves something to the
    options."""

    images: tuple[str, ...]
    prompt: str
    id: str | int | None = None
    max_new_tokens: int | None = None
    adapter: str | None = None


def read_lines(name: str) -> Iterator[Line]:
    """The lines of the file of that name, or of the standard input, as they come.

    UserError where it cannot be read.
    """
    try:
        # A file of its own: at its end Python would wait for the one of `sys.stdin` while another
        # thread reads from it.
        source = sys.stdin.fileno() if name == STANDARD_INPUT else Path(name)
        with open(source, "rb", closefd=name != STANDARD_INPUT) as file:
            yield from _lines(file)
    except (OSError, ValueError):
        raise UserError(f"{name} cannot be read.", "Check the path.") from None


def parse(line: Line) -> LineRequest:
    """The request on a line; UserError where it is none. A field that is null is left out."""
    fields = _json_object(line)
    kinds = _REQUIRED | _OPTIONAL
    for name in fields:
        if name not in kinds:
            raise UserError(
                f"The line has an unknown field {quoted(name)}.", f"Use {', '.join(kinds)}."
            )
    given = {name: value for name, value in fields.items() if value is not None}
    for name in _REQUIRED:
        if name not in given:
            raise UserError(f"The line has no {quoted(name)}.", _HOW)
    for name, value in given.items():
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise UserError(
                f"{quoted(name)} is {quoted(value)}.", f"Use {_KIND_NAMES[kinds[name]]}."
            )
    images = given.pop("image")
    images = images if isinstance(images, list) else [images]
    if not images or not all(isinstance(each, str) for each in images):
        raise UserError(f'"image" is {quoted(images)}.', f"Use {_KIND_NAMES[str, list]}.")
    return LineRequest(tuple(images), **given)


def id_of(line: Line) -> str | int | None:
    """The id of a line that may be wrong otherwise; None where it has none."""
    try:
        found = _json_object(line).get("id")
    except UserError:
        return None
    return found if isinstance(found, str | int) and not isinstance(found, bool) else None


def _lines(file: BinaryIO) -> Iterator[Line]:
    number = 0
    while data := file.readline(MAX_LINE_BYTES):
        number += 1
        is_whole, rest = True, data
        while len(rest) == MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES)
            is_whole = is_whole and not rest
        if number == 1:
            data = data.removeprefix(codecs.BOM_UTF8)  # some editors begin with a mark
        if data.strip():
            yield Line(number, data, is_whole)


def _json_object(line: Line) -> dict[str, Any]:
    if not line.is_whole:
        raise UserError(f"The line has more than {MAX_LINE_BYTES} bytes.", "Shorten it.")
    try:
        fields = json.loads(line.data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise UserError(
            f"The line is not UTF-8 text: byte {error.start} is wrong.", "Save the file as UTF-8."
        ) from None
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UserError("The line is not a JSON object.", _HOW)
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
