"""How right a checkpoint's answers are, on scenes that it was never trained on.

    python -m evaluation.evaluate --checkpoint nano-224
    python -m evaluation.evaluate --checkpoint /a/folder --scenes 100 --json scores.json
    python -m evaluation.evaluate --unseen 300 --fine 500 --bare 100 --json scores.json
    python -m evaluation.evaluate --checkpoint nano-224 --world strange
    python -m evaluation.evaluate --data easy-vqa --split test --systems nano-224 nano-224@nf4

Scenes come from held-out seeds, so everything about them is known. Each is asked about a dozen
prompts of all tasks, greedily, through the backend that serves the page; `evaluation.report.tables`
prints what comes of it. `--world strange` asks about pictures that another generator drew
(`evaluation.nano.strange`), and about some of nothing that nano knows. With `--data`, other
pictures than scenes are asked about: then it is `evaluation.compare`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Container, Sequence
from pathlib import Path

import torch

from data import documents
from evaluation.compare import cli
from evaluation.compare.answers import Answerer
from evaluation.nano.asking import MAIN_SHARES, SHARES, Share, ask, opened
from evaluation.nano.score import GOALS, SMALL_PRINT, score
from evaluation.nano.strange import measure
from evaluation.nano.strange import tables as strange_tables
from evaluation.report import tables
from models.catalog.catalog import Catalog
from models.schema import UserError
from training.nano.scenes.scene import BARE, FINE, HELD_OUT, USUAL, World, draw
from training.nano.scenes.sprites import HELD_OUT_STYLE, STYLES

NAME = "evaluation.evaluate"
OWN, STRANGE = "own", "strange"
SCENES, STRANGE_SCENES = 2000, 1000
SCENES_AT_ONCE = 100  # whose answers a run that is stopped may lose
UNSEEN = f"unseen art style {HELD_OUT_STYLE}"
IN_ANY_STYLE = {
    ("caption", "objects F1"),
    ("answer", "accuracy"),
    ("detect", "AP50"),
    ("segment", "mean IoU"),
}
OF_NOTHING = {
    ("caption", "exact"),
    ("answer", "accuracy"),
    ("detect and segment", "absent kinds left alone"),
}
SMALL = {*GOALS, ("ocr", SMALL_PRINT.replace("exact", "character error rate"))}


def evaluate(
    answerer: Answerer,
    count: int,
    first: int = HELD_OUT,
    styles: tuple[str, ...] = STYLES,
    world: World = USUAL,
    shares: Sequence[Share] = SHARES,
) -> dict:
    """Scores over `count` scenes from seed `first` on, as a JSON-able dict."""
    system, found = answerer.system, []
    resolution = system.checkpoint.resolution
    for start in range(0, count, SCENES_AT_ONCE):
        stop = min(start + SCENES_AT_ONCE, count)
        scenes = [draw(first + i, resolution, styles, world) for i in range(start, stop)]
        scenes = [scene for scene in scenes if scene.objects or world is BARE]
        found += ask(answerer, scenes, f"scenes {start}–{stop} of {count}: ", shares)
    print(file=sys.stderr)
    return {
        "checkpoint": system.checkpoint.name,
        "scenes": count,
        "first_seed": first,
        "resolution": resolution,
        "prompts": len(found),
        "dtype": system.dtype,
        "device": system.device.type,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        **score(found, system.codec()),
    }


def rows_of_other_scenes(scores: dict, what: str, wanted: Container[tuple[str, str]]) -> list[dict]:
    """The `wanted` rows of `scores`, of scenes that are unlike the usual ones: `what` says how.

    Only the goal for small print holds there too, since it is about such scenes.
    """
    return [
        row
        | {"task": f"{row['task']}, {what}"}
        | ({} if row["measure"] == SMALL_PRINT else {"needed": None})
        for row in scores["rows"]
        if (row["task"], row["measure"]) in wanted
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if any(each.split("=")[0] == "--data" for each in arguments):
        return cli.main(arguments)
    options = _parser().parse_args(arguments)
    strange = options.world == STRANGE
    try:
        scores = _strange_scores(options) if strange else _scores(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.FAILED
    if options.json:
        options.json.write_text(json.dumps(scores, indent=1, ensure_ascii=False))
    if strange:
        print(strange_tables.tables(scores, options.markdown))
        marked = strange_tables.marked(scores)
    else:
        print(tables.tables(scores, markdown=options.markdown))
        marked = _marked(scores, options.main)
    for document in options.write:
        documents.write(document, marked)
    if options.wrong and not strange:
        print(tables.wrong_answers(scores, options.wrong))
    return 0


def _marked(scores: dict, main_only: bool) -> dict[str, str]:
    """The tables of the own world by their marks in documents."""
    name = scores["checkpoint"]
    found = {f"needed scores {name}": tables.tables(scores, markdown=True, needed_only=True)}
    if not main_only:
        found[f"scores {name}"] = tables.tables(scores, markdown=True)
    return found


def _strange_scores(options: argparse.Namespace) -> dict:
    catalog, work = Catalog.from_environment(os.environ), options.work
    with opened(catalog, options.checkpoint, options.precision, work, options.batch) as answerer:
        return measure.evaluate(answerer, options.scenes or STRANGE_SCENES, options.other)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name or a folder")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--world", choices=(OWN, STRANGE), default=OWN, help="whose pictures")
    parser.add_argument(
        "--scenes", type=int, help=f"default: {SCENES}, of the strange world {STRANGE_SCENES}"
    )
    parser.add_argument(
        "--other", type=int, default=200, help="with --world strange: pictures of nothing known"
    )
    parser.add_argument("--unseen", type=int, default=0, help="scenes in the held-out art style")
    parser.add_argument("--fine", type=int, default=0, help="scenes of small things and print")
    parser.add_argument("--bare", type=int, default=0, help="scenes without objects")
    parser.add_argument("--main", action="store_true", help="ask only for the measures with a goal")
    parser.add_argument("--batch", type=int, help="requests at once; default: what is served")
    parser.add_argument("--work", type=Path, help="a folder for answers, to go on from")
    parser.add_argument("--json", type=Path, help="write all scores here")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument(
        "--write", type=Path, nargs="+", default=[], help="documents with marks for the tables"
    )
    parser.add_argument("--wrong", type=int, default=0, help="print this many wrong answers a task")
    return parser


def _scores(options: argparse.Namespace) -> dict:
    """The scores on usual scenes, with rows of other ones as far as the options ask for them."""
    shares = MAIN_SHARES if options.main else SHARES
    catalog, work = Catalog.from_environment(os.environ), options.work
    with opened(catalog, options.checkpoint, options.precision, work, options.batch) as answerer:
        scores = evaluate(answerer, options.scenes or SCENES, shares=shares)
        others = (
            (options.unseen, {"styles": (HELD_OUT_STYLE,)}, UNSEEN, IN_ANY_STYLE),
            (options.fine, {"world": FINE}, "small things", SMALL),
            (options.bare, {"world": BARE}, "pictures without objects", OF_NOTHING),
        )
        for count, scenes, what, wanted in others:
            if count:
                found = evaluate(answerer, count, shares=shares, **scenes)
                scores["rows"] += rows_of_other_scenes(found, what, wanted)
    return scores


if __name__ == "__main__":
    sys.exit(main())
