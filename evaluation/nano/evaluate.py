"""How right a checkpoint's answers are, on scenes that it was never trained on.

    python -m evaluation.evaluate --checkpoint nano-224
    python -m evaluation.evaluate --checkpoint /a/folder --scenes 100 --json scores.json
    python -m evaluation.evaluate --unseen 300 --fine 500 --bare 100 --json scores.json
    python -m evaluation.evaluate --data easy-vqa --split test --systems nano-224 nano-224@nf4

Scenes come from held-out seeds, so everything about them is known. Each is asked about a dozen
prompts of all tasks, greedily, through the backend that serves the page; `evaluation.report.tables`
prints what comes of it. With `--data`, other pictures than scenes are asked about: then it is
`evaluation.compare`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from data import documents
from evaluation.compare import cli, systems
from evaluation.compare.answer_store import AnswerStore
from evaluation.compare.answers import Answerer
from evaluation.nano.score import GOALS, SMALL_PRINT, USUAL_WORDS, SceneAnswer, score
from evaluation.report import tables
from models.catalog.catalog import Catalog
from models.schema import UserError
from models.serving.backend import Backend
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import BARE, FINE, HELD_OUT, USUAL, Scene, World, draw
from training.nano.scenes.sprites import HELD_OUT_STYLE, STYLES
from training.nano.tasks import empty, questions
from training.nano.tasks.questions import Example
from training.nano.tasks.wordings import Stranger

NAME = "evaluation.evaluate"
SCENES_AT_ONCE = 100  # whose answers a run that is stopped may lose
UNSEEN = f"unseen art style {HELD_OUT_STYLE}"
# Stands for the mask in a true answer: scores compare masks, not codes, so only its length counts.
ANY_CODES = "<seg000>" * 16
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


@dataclass(frozen=True)
class Share:
    """How many examples of a group a scene is asked; a fraction is a chance of one."""

    group: str
    count: float


SHARES = (
    Share("caption", 1),
    Share("caption in another language", 1),
    Share("cap", 0.25),
    Share("cap in another language", 0.25),
    Share("describe", 0.25),
    Share("answer", 4),
    Share(USUAL_WORDS, 2),
    Share("question", 0.5),
    Share("ocr", 1),
    Share("detect", 1),
    Share("segment", 1),
    Share("absent", 1),
    Share("region", 0.5),
)
# What has a goal, and half of the questions: enough for the main table at half the cost.
MAIN_SHARES = (
    Share("caption", 1),
    Share("caption in another language", 1),
    Share("answer", 2),
    Share("ocr", 1),
    Share("detect", 1),
    Share("segment", 1),
    Share("absent", 1),
)


def group_of(example: Example) -> str:
    """The group of `SHARES` that an example is drawn from."""
    if example.kind.endswith(" absent"):
        return "absent"
    if example.task in ("cap", "caption") and not example.prefix.endswith(" en"):
        return f"{example.task} in another language"
    return example.task


def choose(
    scene: Scene, rng: np.random.Generator, shares: Sequence[Share] = SHARES
) -> list[Example]:
    """The examples that a scene is asked: as many of each group as `shares` say.

    Questions are put in words that were never trained on, some again in the usual ones.
    Within a group every kind is taken once before any is taken twice.
    """
    if scene.objects:
        usual = questions.examples(scene, rng, lambda scene, item: ANY_CODES)
        unusual = questions.answers(scene, rng, Stranger())
    else:
        usual = empty.examples(scene, rng)
        unusual = empty.answers(scene, rng, Stranger())
    found = [replace(e, task=USUAL_WORDS) if e.task == "answer" else e for e in usual]
    found += unusual
    chosen: list[Example] = []
    for share in shares:
        pool = [e for e in found if group_of(e) == share.group]
        pool = [pool[i] for i in rng.permutation(len(pool))]
        kinds = [e.kind for e in pool]
        pool = sorted(pool, key=lambda e: kinds.index(e.kind))
        first = [e for i, e in enumerate(pool) if i == 0 or pool[i - 1].kind != e.kind]
        count = int(share.count) + (rng.random() < share.count % 1)
        chosen += first[:count]
    return chosen


@contextmanager
def opened(
    catalog: Catalog,
    checkpoint: str,
    precision: str = "auto",
    work: Path | None = None,
    at_once: int | None = None,
    open_backend: Callable[[Catalog], Backend] = LocalBackend,
) -> Iterator[Answerer]:
    """Answers of a nano by its catalog name or folder, stored in the folder `work` if there is one.

    UserError where there is no such checkpoint or precision.
    """
    system = systems.resolved(nano_system(checkpoint, precision), catalog)
    store = AnswerStore(work, system.digest() if work else "")
    with closing(Answerer(system, store, open_backend, at_once)) as answerer:
        yield answerer


def nano_system(checkpoint: str, precision: str) -> systems.System:
    """A nano by its catalog name, or by a folder, which is read as the nano of its resolution."""
    folder = Path(checkpoint)
    if folder.is_dir():
        config = json.loads((folder / "config.json").read_text("utf-8"))
        side = config["vision_config"]["image_size"]
        checkpoint = f"{folder.resolve()}=nano-{side}"
    return systems.System(checkpoint, checkpoint, None, precision)


def ask(
    answerer: Answerer,
    scenes: Sequence[Scene],
    title: str = "",
    shares: Sequence[Share] = SHARES,
) -> list[SceneAnswer]:
    """Puts each scene's prompts to the model; progress on stderr begins with `title`."""
    examples = [
        (number, example)
        for number, scene in enumerate(scenes)
        for example in choose(scene, np.random.default_rng(scene.seed), shares)
    ]
    prompts = [answerer.prompt(number, example.prefix) for number, example in examples]

    def progress(done: int) -> None:
        print(f"\r{title}{done}/{len(prompts)} prompts", end="", file=sys.stderr, flush=True)

    answers = answerer.answers([scene.image for scene in scenes], prompts, progress)
    return [
        SceneAnswer(scenes[number], example, answer)
        for (number, example), answer in zip(examples, answers, strict=True)
    ]


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
    try:
        scores = _scores(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.FAILED
    if options.json:
        options.json.write_text(json.dumps(scores, indent=1, ensure_ascii=False))
    print(tables.tables(scores, markdown=options.markdown))
    name = scores["checkpoint"]
    marked = {f"needed scores {name}": tables.tables(scores, markdown=True, needed_only=True)}
    if not options.main:
        marked[f"scores {name}"] = tables.tables(scores, markdown=True)
    for document in options.write:
        documents.write(document, marked)
    if options.wrong:
        print(tables.wrong_answers(scores, options.wrong))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name or a folder")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--scenes", type=int, default=2000)
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
        scores = evaluate(answerer, options.scenes, shares=shares)
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
