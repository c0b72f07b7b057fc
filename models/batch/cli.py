"""The same prompts about each of very many pictures, from the terminal, in bounded memory.

    python -m models.batch --images photos --prompt "detect cat" --out runs/cats

Pictures are answered side by side, as the lines of `python -m models.generate --jsonl` are, and
their lines are added to the run in the order of their names.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from data.exports.formats import export
from data.pictures import find
from data.runs import RESULTS, Run
from models.batch.arguments import parse_arguments
from models.batch.progress import Progress
from models.batch.work import Work, settings_of
from models.catalog.catalog import Catalog
from models.catalog.memory import check_precision
from models.generate.arguments import FAILED
from models.generate.asking import Asking
from models.generate.command import backend_at_need, exit_code, with_folder
from models.generate.terminal import StatusLine, note
from models.prompts import grammar
from models.schema import StatusEvent

if TYPE_CHECKING:
    from models.serving.backend import Backend

SHOW_EVERY_S = 1.0
NOTE_EVERY_S = 60.0  # where nobody looks at a terminal


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
    settings = settings_of(options, options.checkpoint, pictures, prompts)
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
        _answer_all(Work(run, pictures, options, checkpoint, asking), status)
        for each in export(run.folder, options.export) if options.export else ():
            note(str(each))
        if run.failed:
            lines = "1 line has" if run.failed == 1 else f"{run.failed} lines have"
            note(f"{lines} an error in place of an answer; see {run.folder / RESULTS}.")
        return FAILED if run.failed else 0


def _answer_all(work: Work, status: StatusLine) -> None:
    """Add the lines that the run lacks, and say how far it is."""
    left = work.left()
    total = len(work.pictures.names)
    progress = Progress(total, total - len(left))
    if progress.done and left:
        note(f"{progress.done:,} of {progress.total:,} pictures were answered before.")
    show = _shower(progress, status)
    try:
        with closing(work.answer(left)) as answers:
            for lines in answers:
                progress.advance("error" in lines[0])
                show()
    except KeyboardInterrupt:
        status.clear()
        note(f"Stopped at {progress.line()}. The same command goes on from here.")
        raise
    status.clear()
    if left:
        note(f"Done: {progress.line()}.")


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
