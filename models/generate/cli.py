"""One request, or a file of them, from the terminal.

    python -m models.generate --checkpoint nano-224 --image cat.png --prompt "caption en"
    python -m models.generate --jsonl requests.jsonl > answers.jsonl

Pictures are opened before a model is loaded, and torch is imported only then, so that a bad file
costs neither time nor memory.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.catalog.deployment import FOLDER_MARKS
from models.catalog.memory import check_precision
from models.generate.arguments import FAILED, INTERRUPTED, parse_arguments
from models.generate.lines import Line, LineRequest, id_of, parse, read_lines
from models.generate.side_by_side import PixelBudget, in_order
from models.generate.terminal import StatusLine, complain, note, write_utf8
from models.images import OpenedImage, open_image
from models.limits import MAX_IMAGES
from models.prompts import grammar
from models.results import result_to_json
from models.schema import Decoding, Request, Result, StatusEvent, TokenEvent, UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend

# Requests at a backend: half as many again as an engine has side by side, so that a batch of them
# is always there to join. No queue of a backend is shorter than that.
AT_ONCE = 24
LINES_AHEAD = 64

_LINE_ENDS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}


def main(arguments: Sequence[str] | None = None, backend: Backend | None = None) -> int:
    """Run the command line; returns the exit code. A backend is made where none is given, with what
    the environment and `--adapter` add to the catalog."""
    write_utf8()
    warnings.simplefilter("ignore")  # of libraries; every failure is told in our own words
    logging.getLogger("models").addHandler(logging.NullHandler())  # and in one line
    try:
        catalog = backend.catalog if backend else Catalog.from_environment(os.environ)
        options = parse_arguments(arguments, catalog)
        catalog = _with_folder(catalog, options)
        with ExitStack() as stack:
            lock = threading.Lock()

            def open_backend() -> Backend:
                nonlocal backend
                with lock:
                    backend = backend or stack.enter_context(closing(_local_backend(catalog)))
                    return backend

            answer = _answer_file if options.jsonl is not None else _answer_one
            return answer(options, catalog, open_backend)
    except UserError as error:
        complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nothing more can be said
        return FAILED


def _with_folder(catalog: Catalog, options: argparse.Namespace) -> Catalog:
    """With the folder that `--adapter` names, which the options then name as it is offered."""
    name = options.adapter
    if name is None:
        return catalog
    checkpoint = catalog.find(options.checkpoint)
    is_offered = name in (each.name for each in catalog.adapters_of(checkpoint))
    if is_offered or not (name.startswith(FOLDER_MARKS) or Path(name).is_dir()):
        return catalog
    folder = name if name.startswith(FOLDER_MARKS) else f"./{name}"
    catalog, adapter = catalog.with_adapter(folder, checkpoint)
    options.adapter = adapter.name
    return catalog


def _answer_one(
    options: argparse.Namespace, catalog: Catalog, open_backend: Callable[[], Backend]
) -> int:
    asked = LineRequest(tuple(options.image), options.prompt)
    checkpoint = catalog.find(options.checkpoint)
    opened = _open(asked)
    for each in _notes(opened):
        note(each)
    status = StatusLine()
    for event in open_backend().answer(_request(options, checkpoint, asked, opened)):
        if isinstance(event, StatusEvent):
            status.show(event)
            continue
        status.clear()
        if isinstance(event, Result):
            if options.json:
                _write(_as_json(result_to_json(event, _notes(opened))) + "\n")
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
    options: argparse.Namespace, catalog: Catalog, open_backend: Callable[[], Backend]
) -> int:
    checkpoint = catalog.find(options.checkpoint)
    check_precision(options.precision)
    budget, status = PixelBudget(), StatusLine()

    def answer(line: Line, stop: threading.Event) -> dict[str, Any]:
        try:
            found = _answer_line(line, stop)
        except UserError as error:
            found = {"error": str(error)}
        given = id_of(line)
        return {"line": line.number} | ({} if given is None else {"id": given}) | found

    def _answer_line(line: Line, stop: threading.Event) -> dict[str, Any]:
        asked = parse(line)
        with budget.decoding():
            opened = _open(asked)
        pixels = sum(each.image.width * each.image.height for each in opened)
        with budget.holding(pixels):
            request = _request(options, checkpoint, asked, opened)
            with closing(open_backend().answer(request)) as events:
                for event in events:
                    if stop.is_set():
                        raise CancelledError
                    if isinstance(event, StatusEvent):
                        status.show(event)
                    elif isinstance(event, Result):
                        return result_to_json(event, _notes(opened))
        raise RuntimeError("an answer has ended without a result")

    code = late = 0
    with closing(in_order(read_lines(options.jsonl), answer, AT_ONCE, LINES_AHEAD)) as answers:
        for each in answers:
            code = FAILED if "error" in each else code
            late += each.get("finish_reason") == "deadline"
            status.clear()
            _write(_as_json(each) + "\n")
    if late:
        note(f"{late} answers were ended by the time limit; see their finish_reason.")
    return code


def _open(asked: LineRequest) -> list[OpenedImage]:
    """The pictures of a request whose words are right; UserError where they or these are not."""
    grammar.check(asked.prompt)
    if len(asked.images) > MAX_IMAGES:
        raise UserError(
            f"There are {len(asked.images)} pictures.", f"Use at most {MAX_IMAGES} in a prompt."
        )
    return [open_image(each) for each in asked.images]


def _notes(opened: Sequence[OpenedImage]) -> list[str]:
    """What is to be said of the pictures, with their number where there are several."""
    if len(opened) == 1:
        return list(opened[0].notes)
    return [
        f"Picture {number}: {each}"
        for number, picture in enumerate(opened, start=1)
        for each in picture.notes
    ]


def _request(
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    asked: LineRequest,
    opened: Sequence[OpenedImage],
) -> Request:
    prompt = grammar.normalize(asked.prompt)
    tokens = asked.max_new_tokens
    if tokens is None:
        tokens = options.max_new_tokens
    if tokens is None:
        task = grammar.parse(prompt).task
        tokens = grammar.default_max_new_tokens(task, checkpoint.variant)
    first, *more = opened
    return Request(
        image=first.image,
        prompt=prompt,
        checkpoint=checkpoint.name,
        precision=options.precision,
        adapter=options.adapter if asked.adapter is None else asked.adapter,
        decoding=Decoding(
            max_new_tokens=tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            num_beams=options.num_beams,
            seed=options.seed,
        ),
        deadline_s=options.deadline_s,
        full_size=first.full_size,
        is_streamed=options.jsonl is None,
        more_images=tuple(each.image for each in more),
    )


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


def _as_json(answer: dict[str, Any]) -> str:
    """On one line for every reader, also those that end lines where Unicode allows it."""
    return json.dumps(answer, ensure_ascii=False).translate(_LINE_ENDS)


def _local_backend(catalog: Catalog) -> Backend:
    """The backend of this machine; imported here because torch takes seconds and memory."""
    from models.loading.libraries import silence_libraries
    from models.serving.local_backend import LocalBackend

    silence_libraries()
    return LocalBackend(catalog)
