"""Makes the examples of the page: held-out scenes, one per task, that nano answers right.

    python -m evaluation.nano.examples --out examples

Looks through scenes from seed HELD_OUT + 10,000,000 on, in order, and keeps for each task the first
one that suits it and is answered as it should be. So the examples show nano at its best; how often
it is right is what `evaluation.evaluate` measures. Entries without a seed, which are for the real
sizes and for adapters, are kept as they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.compare.answers import Answerer
from evaluation.nano.asking import opened
from models.catalog.catalog import Catalog
from models.matching import box_iou
from models.prompts.tokens import parse_detections, readable
from models.schema import Box
from training.nano.scenes.scene import FINE, HELD_OUT, RESOLUTION, USUAL, Scene, draw
from training.nano.tasks import questions
from training.nano.tasks.questions import Example

FIRST = HELD_OUT + 10_000_000
GOOD_BOX = 0.7


@dataclass(frozen=True)
class Wanted:
    """An example to find: its file name, title, kind of prompt, which scenes suit it, whose it is.

    What nano-448 is shown with is of the fine world.
    """

    name: str
    title: str
    kind: str
    suits: Callable[[Scene], bool]
    checkpoint: str = "nano-224"

    def draw(self, seed: int, resolution: int) -> Scene:
        """A scene of the size of a checkpoint and of its world."""
        return draw(seed, resolution, world=FINE if resolution > RESOLUTION else USUAL)


def _objects(low: int, high: int) -> Callable[[Scene], bool]:
    return lambda scene: low <= len(scene.objects) <= high


def _printed(scene: Scene) -> bool:
    return scene.print is not None and scene.print.height_px >= 30 and len(scene.print.text) >= 4


def _finely_printed(scene: Scene) -> bool:
    return scene.print is not None and scene.print.height_px < 22 and len(scene.print.text) >= 5


WANTED = (
    Wanted("caption", "Caption", "caption", _objects(3, 4)),
    Wanted("cap", "Alt text", "cap", _objects(2, 3)),
    Wanted("caption-de", "Caption in German", "caption de", _objects(2, 3)),
    Wanted("describe", "Describe", "describe", _objects(2, 3)),
    Wanted("count", "How many?", "how many", _objects(4, 6)),
    Wanted("where", "Where is it?", "where", _objects(3, 5)),
    Wanted("is-there", "Is there …?", "is there", _objects(3, 5)),
    Wanted("read", "Read the print", "ocr", _printed),
    Wanted("detect", "Boxes of two kinds", "detect several", _objects(3, 5)),
    Wanted("segment", "Boxes and masks", "segment one", _objects(2, 3)),
    Wanted("ask", "Make a question", "question", _objects(2, 4)),
    Wanted("region", "Caption a box", "region", _objects(3, 4)),
    Wanted("crowd", "Many things, at 448 px", "caption", _objects(7, 10), "nano-448"),
    Wanted("read-small", "Small print, at 448 px", "ocr", _finely_printed, "nano-448"),
)


def same_answer(first: str, second: str, least_iou: float) -> bool:
    """The same text; where there are boxes, the same labels on boxes that overlap enough."""
    one, other = parse_detections(first), parse_detections(second)
    if not one.objects or not other.objects:
        return first == second
    if len(one.objects) != len(other.objects) or one.invalid or other.invalid:
        return False
    return all(
        a.label == b.label and box_iou(_corners(a.box), _corners(b.box)) >= least_iou
        for a, b in zip(one.objects, other.objects, strict=True)
    )


def is_right(example: Example, answer: str) -> bool:
    """One of the true texts, or the same objects in about the true places."""
    true = (example.suffix, *example.accept)
    return any(same_answer(each, answer, GOOD_BOX) for each in true)


def _corners(box: Box) -> tuple[float, float, float, float]:
    return (box.x_min, box.y_min, box.x_max, box.y_max)


def candidates(wanted: Wanted, first: int, resolution: int) -> Iterator[tuple[Scene, Example]]:
    """Scenes that suit, each with one prompt of the wanted kind."""
    for seed in range(first, first + 2000):
        scene = wanted.draw(seed, resolution)
        if scene.objects and wanted.suits(scene):
            found = questions.examples(
                scene, np.random.default_rng(seed), lambda s, o: "<seg000>" * 16
            )
            chosen = [e for e in found if e.kind == wanted.kind]
            if chosen:
                yield scene, chosen[-1]


def find(answerer: Answerer, wanted: Wanted, first: int) -> tuple[Scene, Example, str]:
    """The first candidate that is answered right."""
    resolution = answerer.system.checkpoint.resolution
    for scene, example in candidates(wanted, first, resolution):
        prompt = answerer.prompt(0, example.prefix)
        answer = answerer.answers([scene.image], [prompt])[0].text
        if is_right(example, answer):
            return scene, example, answer
    raise LookupError(f"no scene of kind {wanted.kind!r} is answered right")


def _write(folder: Path, wanted: Wanted, scene: Scene, example: Example, answer: str) -> dict:
    """Saves the picture; the entry of the examples' list."""
    scene.image.save(folder / f"{wanted.name}.png", optimize=True)
    print(f"{wanted.name}: {example.prefix!r} -> {answer!r}")
    return {
        "image": f"{wanted.name}.png",
        "title": wanted.title,
        "task": example.task,
        "prompt": example.prefix,
        "expect": readable(answer),
        "answer": answer,
        "checkpoint": wanted.checkpoint,
        "seed": scene.seed,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("examples"))
    options = parser.parse_args()
    index = options.out / "examples.json"
    kept = [e for e in json.loads(index.read_text()) if "seed" not in e]
    entries = []
    with ExitStack() as stack:
        answerers = {
            name: stack.enter_context(opened(Catalog(), name))
            for name in {each.checkpoint for each in WANTED}
        }
        for number, wanted in enumerate(WANTED):
            found = find(answerers[wanted.checkpoint], wanted, FIRST + 10_000 * number)
            entries.append(_write(options.out, wanted, *found))
    index.write_text(json.dumps(entries + kept, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
