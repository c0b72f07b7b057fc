"""The same prompts about each of very many pictures, from the terminal, in bounded memory.

    python -m models.batch --images photos --prompt "detect cat" --out runs/cats

Pictures are answered side by side, as the lines of `python -m models.generate --jsonl` are, and
their lines are added to the run in the order of their names.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.exports.formats import export
from data.pictures import Pictures, find
from data.runs import RESULTS, Run
from models.batch.arguments import parse_arguments
from models.batch.progress import Progress
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.catalog.memory import check_precision
from models.generate.arguments import FAILED
from models.generate.asking import AHEAD, AT_ONCE, Asking, notes_of, to_request
from models.generate.command import backend_at_need, exit_code, with_folder
from models.generate.lines import LineRequest
from models.generate.side_by_side import in_order
from models.generate.terminal import StatusLine, note
from models.images import OpenedImage, open_image
from models.prompts import grammar
from models.results import result_to_json
from models.schema import StatusEvent, UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend

SHOW_EVERY_S = 1.0
NOTE_EVERY_S = 60.0  # where nobody looks at a terminal
MAX_REFUSED = AT_ONCE  # pictures in a row, none of which the model can be asked about


@dataclass(frozen=True)
class _Answered:
    """The lines of a picture; `refusal` where it can be read and the model did not answer."""

    lines: list[dict[str, Any]]
    refusal: UserError | None = None


def main(arguments: Sequence[str] | None = None, backend: Backend | None = None) -> int:
    """Run the command; returns the exit code. A backend is made where none is given, with what the
    environment and `--adapter` add to the catalog."""
    return exit_code(partial(_run, arguments, backend))


def _run(arguments: Sequence[str] | None, backend: Backend | None) -> int:
    catalog = backend.catalog if backend else Catalog.from_environment(os.environ)
    options = parse_arguments(arguments, catalog)
    prompts = list(dict.fromkeys(map(grammar.normalize, options.prompt)))
    for prompt in prompts:
        grammar.check(prompt)
    checkpoint = catalog.find(options.checkpoint)
    check_precision(options.precision)
    pictures = find(options.images, without=options.out)
    settings = _settings(options, pictures, prompts)
    if options.adapter is not None:
        catalog, options.adapter = with_folder(catalog, options.checkpoint, options.adapter)
    if pictures.others:
        files = "1 file is" if pictures.others == 1 else f"{pictures.others} files are"
        note(f"{files} left out, not having the name of a picture.")
    with (
        closing(Run(options.out, settings)) as run,
        backend_at_need(catalog, backend) as get_backend,
    ):
        status = StatusLine()
        asking = Asking(get_backend, status.show)
        _answer_all(run, pictures, options, checkpoint, asking, status)
        for each in export(run.folder, options.export) if options.export else ():
            note(str(each))
        if run.failed:
            lines = "1 line has" if run.failed == 1 else f"{run.failed} lines have"
            note(f"{lines} an error in place of an answer; see {run.folder / RESULTS}.")
        return FAILED if run.failed else 0


def _settings(
    options: argparse.Namespace, pictures: Pictures, prompts: list[str]
) -> dict[str, Any]:
    """What makes two runs the same, as JSON."""
    adapter = options.adapter
    if adapter is not None and Path(adapter).is_dir():
        adapter = str(Path(adapter).resolve())
    same = ("checkpoint", "precision", "max_new_tokens", "temperature", "top_k", "top_p")
    return {
        "images": list(pictures.roots),
        "prompts": prompts,
        "adapter": adapter,
        **{name: getattr(options, name) for name in (*same, "num_beams", "seed")},
    }


def _answer_all(
    run: Run,
    pictures: Pictures,
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    asking: Asking,
    status: StatusLine,
) -> None:
    """Add the lines that the run lacks. UserError where the model cannot be asked, of which no
    picture gets a line: what is wrong then is no picture."""
    left = [name for name in pictures.names if run.missing(name)]
    progress = Progress(len(pictures.names), len(pictures.names) - len(left))
    if progress.done and left:
        note(f"{progress.done:,} of {progress.total:,} pictures were answered before.")
    show = _shower(progress, status)

    def answer(name: str, stop: threading.Event) -> _Answered:
        prompts = run.missing(name)
        try:
            with asking.opened(lambda: [open_image(pictures.open(name))]) as opened:
                return _ask(name, prompts, opened, stop)
        except UserError as error:
            return _Answered([_line(name, each, error) for each in prompts])

    def _ask(
        name: str, prompts: list[str], opened: list[OpenedImage], stop: threading.Event
    ) -> _Answered:
        width, height = opened[0].full_size
        lines, refusal = [], None
        for prompt in prompts:
            asked = LineRequest((name,), prompt)
            try:
                request = to_request(options, checkpoint, asked, opened)
                found = result_to_json(asking.result(request, stop), notes_of(opened))
            except UserError as error:
                refusal = error
                found = {"prompt": prompt, "error": str(error)}
            lines.append({"image": name, "width": width, "height": height} | found)
        return _Answered(lines, refusal)

    try:
        with closing(in_order(left, answer, AT_ONCE, AHEAD)) as answers:
            for each in _unless_all_refused(answers):
                run.add(each.lines)
                progress.advance("error" in each.lines[0])
                show()
    except KeyboardInterrupt:
        status.clear()
        note(f"Stopped at {progress.line()}. The same command goes on from here.")
        raise
    status.clear()
    if left:
        note(f"Done: {progress.line()}.")


def _unless_all_refused(answers: Iterator[_Answered]) -> Iterator[_Answered]:
    """The answers; those that the model refused only once another was answered. UserError where
    none is, or where MAX_REFUSED in a row are refused."""
    refused: list[_Answered] = []
    has_answered = False
    for each in answers:
        if each.refusal is None:
            has_answered = has_answered or "error" not in each.lines[0]
            if has_answered:
                yield from refused
                refused.clear()
            yield each
            continue
        refused.append(each)
        if len(refused) == MAX_REFUSED:
            raise each.refusal
    if refused and not has_answered:
        assert refused[0].refusal is not None
        raise refused[0].refusal
    yield from refused


def _line(name: str, prompt: str, error: UserError) -> dict[str, Any]:
    return {"image": name, "prompt": prompt, "error": str(error)}


def _shower(progress: Progress, status: StatusLine) -> Callable[[], None]:
    """A function that shows the progress now and then: on a terminal, or as a note in a log."""
    is_terminal = sys.stderr.isatty()
    last = [time.monotonic()]

    def show() -> None:
        now = time.monotonic()
        if now - last[0] < (SHOW_EVERY_S if is_terminal else NOTE_EVERY_S):
            return
        last[0] = now
        if is_terminal:
            status.show(StatusEvent(progress.line(), progress.share))
        else:
            note(progress.line())

    return show
