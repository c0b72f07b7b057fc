"""Whether an object's confidence says how likely it is right, on scenes that nano never saw.

    python -m evaluation.explain.confidence --scenes 2000 --write docs/explain.md

Each scene is asked for one to three of its kinds, three times in ten for one more that is
probably absent. An object is right where a true one of its label, that no object before it took,
overlaps it by half (IoU 0.5). Formulas are compared by COCO's average precision when they rank the
objects, and by the expected calibration error over 15 bins, as it is and after one temperature that
was fitted to the logit of every other scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.explain import command
from evaluation.metrics.boxes import LabelledBox, average_precision
from evaluation.report.tables import table
from models.engine.engine import generate
from models.engine.sequence import Finished
from models.loading.loader import LoadedModel
from models.matching import box_iou
from models.prompts.confidence import confidence, spread, tokens_of
from models.prompts.tokens import ParsedObject, parse_detections
from models.schema import Decoding, Request, TokenScore
from training.nano.scenes.scene import HELD_OUT, Scene
from training.nano.tasks import questions

NAME = "evaluation.explain.confidence"
FIRST_SEED = HELD_OUT + 600_000  # apart from the scenes of the other tables
MAX_KINDS, ABSENT_SHARE = 3, 0.3
RIGHT_AT = 0.5  # IoU
BINS, SHOWN_BINS = 15, 10
TEMPERATURES = np.geomspace(0.2, 20, 200)


@dataclass(frozen=True)
class Found:
    """An object of an answer, the text with its tokens' scores, and whether it is right."""

    box: LabelledBox
    parsed: ParsedObject
    text: str
    scores: tuple[TokenScore, ...]
    is_right: bool

    def logprobs(self, where: Callable[[str], bool] = lambda piece: True) -> list[float]:
        """The log-probabilities of its tokens whose text is as wanted."""
        tokens = tokens_of(self.text, self.scores, self.parsed)
        return [score.logprob for piece, score in tokens if where(piece)]

    def spread(self) -> float:
        """exp of minus the spreads of its coordinates, each as a share of the box's side."""
        found = spread(tokens_of(self.text, self.scores, self.parsed), self.parsed)
        return 0.0 if found is None else math.exp(-found)


def _is_location(piece: str) -> bool:
    return piece.startswith("<loc")


FORMULAS: dict[str, Callable[[Found], float]] = {
    "none: all alike": lambda it: 1.0,
    "product of all tokens": lambda it: math.exp(sum(it.logprobs())),
    "geometric mean of all tokens": lambda it: math.exp(np.mean(it.logprobs())),
    "minimum of all tokens": lambda it: math.exp(min(it.logprobs())),
    "label alone": lambda it: math.exp(sum(it.logprobs(lambda piece: not _is_location(piece)))),
    "geometric mean of the coordinates": lambda it: math.exp(np.mean(it.logprobs(_is_location))),
    "coordinates by their spread": Found.spread,
    "label, coordinates and their spread (chosen)": lambda it: (
        confidence(it.text, it.scores, it.parsed) or 0.0
    ),
}
CHOSEN = tuple(FORMULAS)[-1]


def ask(
    loaded: LoadedModel, name: str, scene: Scene, rng: np.random.Generator
) -> tuple[list[LabelledBox], list[Found]]:
    """The true boxes of some kinds of a scene, and what a checkpoint finds of them."""
    kinds = sorted({thing.name for thing in scene.objects})
    count = min(len(kinds), int(rng.integers(1, MAX_KINDS + 1)))
    wanted = [kinds[index] for index in rng.permutation(len(kinds))[:count]]
    if rng.random() < ABSENT_SHARE:
        every = sorted(questions.names("en"))
        wanted.append(every[int(rng.integers(len(every)))])
    wanted = list(dict.fromkeys(wanted))
    request = Request(
        scene.image, f"detect {' ; '.join(wanted)}", name, decoding=Decoding(max_new_tokens=160)
    )
    *_, end = generate(loaded, request)
    assert isinstance(end, Finished)
    asked = (thing for thing in scene.objects if thing.name in wanted)
    true = [LabelledBox(thing.name, thing.box_xyxy_px) for thing in asked]
    left, found = list(true), []
    for parsed in parse_detections(end.text).objects:
        box = LabelledBox(parsed.label, parsed.box.to_xyxy_px(*scene.image.size))
        overlaps = [
            box_iou(each.box_xyxy_px, box.box_xyxy_px) if each.label == box.label else 0.0
            for each in left
        ]
        is_right = max(overlaps, default=0.0) >= RIGHT_AT
        if is_right:
            del left[int(np.argmax(overlaps))]
        found.append(Found(box, parsed, end.text, end.scores, is_right))
    return true, found


def calibration_error(sure: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error over BINS bins of equal width (Guo et al. 2017): float[n] in
    [0, 1] against bool[n]."""
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == each).mean() * abs(sure[bins == each].mean() - right[bins == each].mean())
        for each in np.unique(bins)
    ]
    return float(sum(gaps))


def at_temperature(sure: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities whose logit is divided by a temperature."""
    sure = sure.clip(1e-6, 1 - 1e-6)
    return 1 / (1 + np.exp(-np.log(sure / (1 - sure)) / temperature))


def fit_temperature(sure: np.ndarray, right: np.ndarray) -> float:
    """The temperature of TEMPERATURES under which `right` is likeliest."""

    def loss(temperature: float) -> float:
        warm = at_temperature(sure, temperature).clip(1e-6, 1 - 1e-6)
        return float(-np.where(right, np.log(warm), np.log(1 - warm)).mean())

    return float(min(TEMPERATURES, key=loss))


def report(
    true: Sequence[Sequence[LabelledBox]], found: Sequence[Sequence[Found]]
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Rows of the table of formulas, and of the reliability of the chosen one."""
    right = np.array([each.is_right for own in found for each in own])
    is_fit = np.array([number % 2 == 0 for number, own in enumerate(found) for _ in own])
    rows: list[tuple[str, ...]] = []
    reliability: list[tuple[str, ...]] = []
    for name, formula in FORMULAS.items():
        sure = np.array([formula(each) for own in found for each in own])
        given = [
            [LabelledBox(each.box.label, each.box.box_xyxy_px, formula(each)) for each in own]
            for own in found
        ]
        precision = average_precision(true, given)
        temperature = fit_temperature(sure[is_fit], right[is_fit])
        warm = at_temperature(sure, temperature)
        rows.append(
            (
                name,
                f"{precision.ap.value:.3f}",
                f"{precision.ap50.value:.3f}",
                f"{calibration_error(sure, right):.3f}",
                f"{temperature:.2f}",
                f"{calibration_error(warm[~is_fit], right[~is_fit]):.3f}",
            )
        )
        if name == CHOSEN:
            bins = np.minimum((warm * SHOWN_BINS).astype(int), SHOWN_BINS - 1)
            reliability = [
                (
                    f"{each / SHOWN_BINS:.1f}–{(each + 1) / SHOWN_BINS:.1f}",
                    f"{warm[bins == each].mean():.2f}",
                    f"{right[bins == each].mean():.2f}",
                    str(int((bins == each).sum())),
                )
                for each in np.unique(bins)
            ]
    return rows, reliability


HEAD = ("formula", "AP", "AP50", "calibration error", "temperature", "error with it")
RELIABILITY = ("confidence with the temperature", "mean", "share that is right", "objects")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    given = command.read(NAME, __doc__, arguments, scenes=2000)
    scenes = given.draw(FIRST_SEED)
    rng = np.random.default_rng(0)
    true: list[list[LabelledBox]] = []
    found: list[list[Found]] = []
    for scene in scenes:
        wanted, answered = ask(given.loaded, given.checkpoint.name, scene, rng)
        true.append(wanted)
        found.append(answered)
    rows, reliability = report(true, found)
    objects = sum(len(own) for own in found)
    shown = (
        table(HEAD, rows, markdown=True), table(RELIABILITY, reliability, markdown=True)
    )  # fmt: skip
    given.write("confidence", f"{len(found)} prompts, {objects} objects", "\n\n".join(shown))


if __name__ == "__main__":
    main()
