"""How right systems are on somebody's data, side by side.

    python -m evaluation.compare --data easy-vqa --systems nano-224 nano-224+easy-vqa@nf4
    python -m evaluation.compare --data boxes.json --task detect --images pictures \\
        --systems nano-224 nano-224+runs/boxes/adapter runs/full=nano-224 --json scores.json

A system is a checkpoint, with +ADAPTER and @PRECISION where wanted; both may be folders. Data are
as for fine-tuning. Which measures apply follows from the data. With --work, a run that was stopped
goes on, and a second one asks nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from transformers.utils import logging

from data import documents
from data.coco import PROMPTS
from data.sources import COCO_TASKS, PRESETS, refused, source
from evaluation.compare import measures, systems
from evaluation.compare.comparison import compare
from evaluation.report import machine, plot
from evaluation.report.tables import table
from models.catalog.catalog import Catalog
from models.schema import UserError
from models.serving.backend import Backend
from models.serving.local_backend import LocalBackend

FAILED, STOPPED = 2, 130
NAME = "evaluation.compare"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"error: {message}\n")


def render(record: dict, markdown: bool) -> str:
    """A line about the run and the table: measures down, systems across."""
    about, found = record["machine"], record["systems"]
    split = f", {record['split']}" if record["split"] else ""
    computed = ", ".join(
        f"{each['name']} {each['precision']} ({each['dtype']})"
        if each["precision"] != each["dtype"]
        else f"{each['name']} {each['precision']}"
        for each in found
    )
    first = "the first " if record["limit"] else ""
    where = about["gpu"] if found[0]["device"] == "cuda" else about["cpu"]
    tick = "`" if markdown else ""
    text = (
        f"{record['data']}{split}: {first}{record['items']} items, greedy; {computed}; on {where}; "
        f"{about['versions']}; 95 % intervals by resampling items; {tick}{about['command']}{tick}"
    )
    counts: dict[str, int] = {}
    for each in found:
        for row in each["rows"]:
            counts.setdefault(row["measure"], row["count"])
    lines = [
        (measure, str(count), *(_cell(each["rows"], measure) for each in found))
        for measure, count in counts.items()
    ]
    head = ("measure", "n", *(each["name"] for each in found))
    return f"{text}\n\n{table(head, lines, markdown)}"


def _cell(rows: Sequence[dict], measure: str) -> str:
    row = next((row for row in rows if row["measure"] == measure), None)
    if row is None or math.isnan(row["value"]):
        return "–"
    return f"{_number(row['value'])} ({_number(row['low'])}–{_number(row['high'])})"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"


def main(
    arguments: Sequence[str] | None = None,
    open_backend: Callable[[Catalog], Backend] = LocalBackend,
) -> int:
    """Command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    warnings.simplefilter("ignore")  # of libraries; every failure is told in our own words
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        _run(options, arguments, open_backend)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        goes_on = "goes on" if options.work else "begins anew; --work FOLDER would keep its answers"
        print(f"\nStopped. The same command {goes_on}.", file=sys.stderr)
        return STOPPED
    return 0


def _run(
    options: argparse.Namespace,
    arguments: Sequence[str],
    open_backend: Callable[[Catalog], Backend],
) -> None:
    mark = documents.scores_mark(options.data, options.task, options.limit)
    for document in options.write:
        if not documents.has_marks(document, [mark]):
            raise UserError(
                f"{document} has no place for the table.",
                f"Write <!-- {mark} --> … <!-- /{mark} -->.",
            )
    _check_places(options)
    for problem, remedy in refused(options.data, **vars(options)):
        raise UserError(problem, remedy)
    # A preset has its own split; all other data are scored on what was not trained on.
    split = options.split or (None if options.data in PRESETS else "test")
    data = source(
        options.data,
        split=split,
        task=options.task,
        images=options.images,
        negatives=options.negatives,
        prompt=options.prompt,
        template=options.template,
        image=options.image_column,
        answer=options.answer_column,
        limit=options.limit,
    )
    wanted = [systems.parse(text) for text in dict.fromkeys(options.systems)]
    record = {
        "machine": machine.about(NAME, arguments),
        **compare(
            wanted,
            data,
            Catalog.from_environment(os.environ),
            options.measures,
            options.work,
            options.max_new_tokens,
            open_backend,
            lambda line: print(line, file=sys.stderr),
        ),
    }
    print(render(record, options.markdown))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    if options.plot:
        title = f"{record['data']}, {record['items']} items"
        plot.bars({each["name"]: each["rows"] for each in record["systems"]}, title, options.plot)
    for document in options.write:
        documents.write(document, {mark: render(record, markdown=True)})


def _check_places(options: argparse.Namespace) -> None:
    """UserError for a place that could not be written to, before hours are spent."""
    for place in filter(None, (options.json, options.plot)):
        if not place.parent.is_dir():
            raise UserError(f"There is no folder {place.parent}.", "Make it, or write elsewhere.")
    if options.plot and options.plot.suffix != ".png":
        raise UserError(f"{options.plot} is no .png.", "Give the plot such a name.")
    if options.work:
        try:
            options.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{options.work} cannot be made: {error.strerror}.", "Give another --work."
            ) from None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    add = parser.add_argument
    known = ", ".join(("easy-vqa", *PRESETS))
    add("--data", required=True, help=f"{known}, a .jsonl or COCO .json file, or a dataset's id")
    add("--split", help="of easy-vqa or a dataset; default: a preset's own, else test")
    add("--limit", type=_count, help="only so many items, from the beginning")
    add("--task", choices=COCO_TASKS, help="what COCO annotations are asked for")
    add("--images", type=Path, help="the folder of a COCO file's pictures; default: its own")
    add("--negatives", type=float, help="of COCO files: for each question, so many on absent kinds")
    add("--prompt", choices=PROMPTS, help="of COCO files: each kind by itself, or all in one")
    add("--template", help='a dataset\'s prompts, such as "answer en {question}"')
    add("--image-column", "--image_column", help="of a dataset")
    add("--answer-column", "--answer_column", help="of a dataset")
    add("--systems", nargs="+", required=True, help="CHECKPOINT[+ADAPTER][@PRECISION]")
    add("--measures", nargs="+", help=f"of {', '.join(measures.names())}; default: what suits")
    add("--max-new-tokens", type=_count, help="default: what each task needs")
    add("--work", type=Path, help="a folder for answers, to go on from")
    add("--json", type=Path, help="write all scores here")
    add("--markdown", action="store_true", help="print a Markdown table")
    add("--plot", type=Path, help="write bars with intervals here, as PNG")
    add("--write", type=Path, nargs="+", default=[], help="documents with marks for the table")
    return parser


def _count(text: str) -> int:
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
