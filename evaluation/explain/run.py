"""Which heat map points best at what an answer names, on scenes that nano was never trained on.

    python -m evaluation.explain --checkpoint nano-224 --scenes 300 --write docs/explain.md

Captions are answered greedily; each object that stands once in a scene and is named in its caption
is looked for by the tokens of its name. The same is done with the decoder's weights drawn anew,
which has to destroy a map that shows what was learned (Adebayo et al. 2018).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import torch

from evaluation.explain import command, forced_pass, methods
from evaluation.explain.judge import Verdict, curves, judge
from evaluation.report.tables import table
from models.engine.engine import generate
from models.engine.inputs import eos_ids
from models.loading.loader import LoadedModel
from models.schema import Decoding, Request, TokenEvent
from training.nano.scenes.scene import HELD_OUT, Scene, SceneObject
from training.nano.tasks import questions

NAME = "evaluation.explain"
PROMPT = "caption en"
FIRST_SEED = HELD_OUT + 500_000  # apart from the scenes of the other tables
CURVES_EVERY = 5  # scenes: deletion and insertion take many passes
OCCLUSION_EVERY = 5


@dataclass(frozen=True)
class Named:
    """An object of a scene and the indices of the tokens that name it in an answer."""

    thing: SceneObject
    tokens: tuple[int, ...]


def named_once(scene: Scene, pieces: Sequence[str]) -> list[Named]:
    """The objects that stand once in a scene and whose names are in an answer of these pieces."""
    ends = np.cumsum([len(each) for each in pieces])
    text = "".join(pieces)
    there = questions.tally(scene)
    found = []
    for thing in scene.objects:
        at = text.find(thing.name)
        if there[thing.name] != 1 or at < 0:
            continue
        stop = at + len(thing.name)
        tokens = [
            index for index, end in enumerate(ends) if end > at and end - len(pieces[index]) < stop
        ]
        found.append(Named(thing, tuple(tokens)))
    return found


def study(
    loaded: LoadedModel, scenes: Sequence[Scene], answers: Sequence[Sequence[TokenEvent]]
) -> dict[str, list[Verdict]]:
    """What each method's maps were worth about the objects that the answers name."""
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for number, (scene, answer) in enumerate(zip(scenes, answers, strict=True)):
        things = named_once(scene, [event.piece for event in answer])
        ids = [event.token_id for event in answer]
        question = forced_pass.asked(loaded, scene.image, PROMPT, ids)
        for thing, heat_of in _maps(loaded, question, things, number % OCCLUSION_EVERY == 0):
            for name, heat in heat_of.items():
                verdict = judge(heat, thing.thing.mask)
                if number % CURVES_EVERY == 0:
                    deletion, insertion = curves(loaded, question, thing.tokens, heat)
                    verdict = replace(verdict, deletion=deletion, insertion=insertion)
                verdicts[name].append(verdict)
    return verdicts


def _maps(
    loaded: LoadedModel, question: forced_pass.Asked, things: Sequence[Named], all_ways: bool
) -> Iterator[tuple[Named, dict[str, np.ndarray]]]:
    """Each object with its maps by method."""
    if not things:
        return
    with torch.no_grad():
        features = forced_pass.encode(loaded, question.pixels)[0]
    with torch.enable_grad():
        found = forced_pass.run(loaded, features.requires_grad_(), question)
        for thing in things:
            it = methods.subject(loaded, question, found, thing.tokens)
            yield (
                thing,
                {
                    name: method(it)
                    for name, method in methods.METHODS.items()
                    if all_ways or method is not methods.occlusion
                },
            )


def answers_to(loaded: LoadedModel, scenes: Sequence[Scene], name: str) -> list[list[TokenEvent]]:
    """The tokens of a greedy caption of each scene, the end token not among them."""
    found = []
    for scene in scenes:
        request = Request(scene.image, PROMPT, name, decoding=Decoding(max_new_tokens=64))
        events = [each for each in generate(loaded, request) if isinstance(each, TokenEvent)]
        found.append([each for each in events if each.token_id not in eos_ids(loaded)])
    return found


def randomise(loaded: LoadedModel, seed: int = 0) -> None:
    """Draw the weights of the decoder's layers anew, of the same spread; in place."""
    torch.manual_seed(seed)
    text: Any = loaded.model.model.language_model
    for parameter in text.layers.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, float(parameter.data.float().std()))


def report(verdicts: dict[str, list[Verdict]]) -> list[tuple[str, ...]]:
    """A row per method: name, the means of each measure, and how many objects."""
    rows = []
    for name, own in verdicts.items():
        values = np.array([astuple(each) for each in own])
        known = ~np.isnan(values)
        means = [
            f"{values[known[:, i], i].mean():.3f}" if known[:, i].any() else ""
            for i in range(values.shape[1])
        ]
        rows.append((name, *means, str(len(own))))
    return rows


HEAD = ("map", "points at the object", "at its box", "IoU", "deletion ↓", "insertion ↑", "n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    given = command.read(NAME, __doc__, arguments, scenes=300)
    loaded, name = given.loaded, given.checkpoint.name
    loaded.model.requires_grad_(False)
    scenes = list(given.draw(FIRST_SEED))
    answers = answers_to(loaded, scenes, name)
    rows = report(study(loaded, scenes, answers))
    randomise(loaded)
    few = max(1, len(scenes) // 5)
    rows += [
        (f"{row[0]}, weights drawn anew", *row[1:])
        for row in report(study(loaded, scenes[:few], answers[:few]))
        if row[0] in ("attention, last 3 layers", "attention · gradient, last 3 layers")
    ]
    given.write("heat maps", f"{len(scenes)} scenes, captions", table(HEAD, rows, markdown=True))
