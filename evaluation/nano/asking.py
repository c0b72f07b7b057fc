"""Which prompts a scene is asked, and the answers of a checkpoint to them.

It does not know what comes of the answers: `score` does, and `strange.measure`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.compare import systems
from evaluation.compare.answer_store import AnswerStore
from evaluation.compare.answers import Answerer
from evaluation.nano.score import USUAL_WORDS, SceneAnswer
from models.catalog.catalog import Catalog
from models.serving.backend import Backend
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import Scene
from training.nano.tasks import empty, questions
from training.nano.tasks.questions import Example
from training.nano.tasks.wordings import Stranger

# Stands for the mask in a true answer: scores compare masks, not codes, so only its length counts.
ANY_CODES = "<seg000>" * 16


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
    return put(
        answerer,
        scenes,
        lambda scene: choose(scene, np.random.default_rng(scene.seed), shares),
        title,
    )


def put(
    answerer: Answerer,
    scenes: Sequence[Scene],
    pick: Callable[[Scene], Sequence[Example]],
    title: str = "",
) -> list[SceneAnswer]:
    """Puts the examples that `pick` chooses for each scene to the model."""
    examples = [(number, example) for number, scene in enumerate(scenes) for example in pick(scene)]
    prompts = [answerer.prompt(number, example.prefix) for number, example in examples]

    def progress(done: int) -> None:
        print(f"\r{title}{done}/{len(prompts)} prompts", end="", file=sys.stderr, flush=True)

    answers = answerer.answers([scene.image for scene in scenes], prompts, progress)
    return [
        SceneAnswer(scenes[number], example, answer)
        for (number, example), answer in zip(examples, answers, strict=True)
    ]
