"""One request, or a file of them, from the terminal.

    python -m models.generate --checkpoint nano-224 --image cat.png --prompt "caption en"
    python -m models.generate --jsonl requests.jsonl > answers.jsonl

Pictures are opened before a model is loaded, and torch is imported only then, so that a bad file
costs neither time nor memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.catalog.catalog import Catalog
from models.catalog.memory import check_precision
from models.generate.arguments import FAILED, parse_arguments
from models.generate.asking import (
    AHEAD,
    AT_ONCE,
    Asking,
    notes_of,
    open_pictures,
    to_request,
)
from models.generate.command import backend_at_need, exit_code, with_folder
from models.generate.lines import Line, LineRequest, id_of, parse, read_lines
from models.generate.side_by_side import in_order
from models.generate.terminal import StatusLine, note
from models.results import json_line, result_to_json
from models.schema import Result, StatusEvent, TokenEvent, UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend


def main(arguments: Sequence[str] | None = None, backend: Backend | None = None) -> int:
    """Run the command line; returns the exit code. A backend is made where none is given, with what
    the environment and `--adapter` add to the catalog."""
    return exit_code(partial(_run, arguments, backend))


def _run(arguments: Sequence[str] | None, backend: Backend | None) -> int:
    catalog = backend.catalog if backend else Catalog.from_environment(os.environ)
    options = parse_arguments(arguments, catalog)
    if options.adapter is not None:
        catalog, options.adapter = with_folder(catalog, options.checkpoint, options.adapter)
    with backend_at_need(catalog, backend) as get_backend:
        answer = _answer_file if options.jsonl is not None else _answer_one
        return answer(options, catalog, get_backend)


def _answer_one(
    options: argparse.Namespace, catalog: Catalog, get_backend: Callable[[], Backend]
) -> int:
    asked = LineRequest(tuple(options.image), options.prompt)
    checkpoint = catalog.find(options.checkpoint)
    opened = open_pictures(asked)
    for each in notes_of(opened):
        note(each)
    status = StatusLine()
    request = to_request(options, checkpoint, asked, opened, is_streamed=True)
    for event in get_backend().answer(request):
        if isinstance(event, StatusEvent):
            status.show(event)
            continue
        status.clear()
        if isinstance(event, Result):
            if options.json:
                _write(json_line(result_to_json(event, notes_of(opened))))
            else:
                _write("\n")
                for each in event.notes:
                    note(each)
                _say_what_tokens_are(event)
                _say_why_it_ended(event)
        elif isinstance(event, TokenEvent) and not options.json:
            _write(event.piece)
    return 0


def _answer_file(
    options: argparse.Namespace, catalog: Catalog, get_backend: Callable[[], Backend]
) -> int:
    checkpoint = catalog.find(options.checkpoint)
    check_precision(options.precision)
    status = StatusLine()
    asking = Asking(get_backend, status.show)

    def answer(line: Line, stop: threading.Event) -> dict[str, Any]:
        try:
            found = _answer_line(line, stop)
        except UserError as error:
            found = {"error": str(error)}
        given = id_of(line)
        return {"line": line.number} | ({} if given is None else {"id": given}) | found

    def _answer_line(line: Line, stop: threading.Event) -> dict[str, Any]:
        asked = parse(line)
        with asking.opened(partial(open_pictures, asked)) as opened:
            request = to_request(options, checkpoint, asked, opened)
            return result_to_json(asking.result(request, stop), notes_of(opened))

    code = late = 0
    with closing(in_order(read_lines(options.jsonl), answer, AT_ONCE, AHEAD)) as answers:
        for each in answers:
            code = FAILED if "error" in each else code
            late += each.get("finish_reason") == "deadline"
            status.clear()
            _write(json_line(each))
    if late:
        note(f"{late} answers were ended by the time limit; see their finish_reason.")
    return code


def _say_what_tokens_are(result: Result) -> None:
    if any(each.mask is not None for each in result.detections):
        note("The tokens are boxes and masks; --json gives them in pixels of the picture.")
    elif result.detections:
        note("The tokens are boxes; --json gives them in pixels of the picture.")


def _say_why_it_ended(result: Result) -> None:
    if result.finish_reason == "deadline":
        note("The time limit ended the answer before its end; see --deadline-s.")
    elif result.finish_reason == "length":
        note(f"The answer was cut off at {result.timings.tokens} tokens; see --max-new-tokens.")


def _write(text: str) -> None:
    """Write a part of the answer at once; UserError where that fails, unless the reader left."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is left would fail again at exit. It stays open until then, so no `with` (SIM115).
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        raise UserError(f"The answer could not be written: {error.strerror or error}.") from None
