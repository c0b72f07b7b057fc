"""Where in the picture stands what a text speaks of: targets for heads that learn to look there.

A text model finds out by itself which patches to read for the next token, but it takes very long.
So while training, one attention head of some layers is taught it: a character of the print points
at its letter, an object's name, its coordinates and its count at its patches, a mask token at its
sixteenth of the box, and a name in a question at the object asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.prompts.tokens import encode_box
from training.nano.model import PATCH
from training.nano.scenes.scene import Scene, SceneObject
from training.nano.tasks import questions
from training.nano.tasks.questions import Example
from training.nano.tasks.unknown import SENTENCE

CODE_GRID = 4  # mask tokens are this many rows and columns of a box
_CODE = re.compile(r"<seg\d{3}>")


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of a text and the patches they mean, `on` float32[P] of sum 1."""

    start: int
    end: int
    on: np.ndarray


class Pointer:
    """The spans of the texts of one scene."""

    def __init__(self, scene: Scene):
        self.scene = scene
        side = scene.image.width // PATCH
        shape = (len(scene.objects), side, PATCH, side, PATCH)
        masks = np.array([o.mask for o in scene.objects], bool).reshape(shape)
        self.cover = masks.mean((2, 4), dtype=np.float32).reshape(len(masks), side * side)
        self.by_box = {
            encode_box(questions.box_norm(scene, o)): i for i, o in enumerate(scene.objects)
        }

    def objects(self, numbers: list[int]) -> np.ndarray:
        """float32[P] of sum 1: the visible pixels of some objects, each object of equal weight."""
        shares = self.cover[numbers] / self.cover[numbers].sum(1, keepdims=True)
        return shares.mean(0)

    def named(self, name: str) -> np.ndarray:
        """All objects of a kind."""
        return self.objects([i for i, o in enumerate(self.scene.objects) if o.name == name])

    def rectangle(self, x_min: float, y_min: float, x_max: float, y_max: float) -> np.ndarray:
        """float32[P] of sum 1: how much of a rectangle in pixels lies in each patch."""
        edges = np.arange(self.scene.image.width // PATCH) * PATCH

        def share(low: float, high: float) -> np.ndarray:
            overlap = np.minimum(edges + PATCH, high) - np.maximum(edges, low)
            return np.maximum(overlap, 0) / (high - low)

        return np.outer(share(y_min, y_max), share(x_min, x_max)).ravel().astype(np.float32)

    def printed(self, example: Example) -> range:
        """The characters of a suffix that are the print."""
        word = self.scene.print
        if word is None or not (example.task == "ocr" or example.kind == "describe"):
            return range(0)
        start = example.suffix.rfind(word.text)
        return range(start, start + len(word.text)) if start >= 0 else range(0)

    def asked(self, prefix: str) -> Iterator[Span]:
        """Names of objects that are there, in a prefix; and its box."""
        for box, number in self.by_box.items():
            if box in prefix:
                yield Span(prefix.index(box), prefix.index(box) + len(box), self.objects([number]))
        for name in questions.tally(self.scene):
            for found in re.finditer(rf"\b({re.escape(name)}|{questions.plural(name)})\b", prefix):
                yield Span(*found.span(), self.named(name))

    def said(self, example: Example) -> Iterator[Span]:
        """What a suffix speaks of."""
        suffix, task = example.suffix, example.task
        if task in ("detect", "segment"):
            yield from self._boxes(suffix)
        elif task == "ocr":
            yield from self._print(suffix, 0)
        elif example.kind == "describe":
            yield from self._described(suffix)
        elif task in ("cap", "caption"):
            yield from self._listed(suffix, example.kind.partition(" ")[2] or "en")
        elif task == "region":
            yield Span(0, len(suffix), self.objects([self.by_box[example.prefix.split()[1]]]))
        elif not self.scene.objects:
            return
        elif example.kind in ("what", "largest"):
            yield Span(0, len(suffix), self.named(suffix))
        elif example.kind in ("where", "is there", "how many") and suffix != "no":
            asked = [span.on for span in self.asked(example.prefix)]
            everything = self.objects(list(range(len(self.scene.objects))))
            yield Span(0, len(suffix), asked[0] if asked else everything)

    def _boxes(self, suffix: str) -> Iterator[Span]:
        start = 0
        for part in suffix.split(" ; "):
            box = "".join(re.findall(r"<loc\d{4}>", part))
            if box in self.by_box:
                item = self.scene.objects[self.by_box[box]]
                on = self.objects([self.by_box[box]])
                codes = list(_CODE.finditer(part))
                yield Span(start, start + (codes[0].start() if codes else len(part)), on)
                for number, code in enumerate(codes):
                    yield Span(start + code.start(), start + code.end(), self._cell(item, number))
                if codes:
                    yield Span(start + codes[-1].end(), start + len(part), on)
            start += len(part) + len(" ; ")

    def _cell(self, item: SceneObject, number: int) -> np.ndarray:
        x_min, y_min, x_max, y_max = item.box_xyxy_px
        row, column = divmod(number, CODE_GRID)
        width, height = (x_max - x_min) / CODE_GRID, (y_max - y_min) / CODE_GRID
        x, y = x_min + column * width, y_min + row * height
        return self.rectangle(x, y, x + width, y + height)

    def _print(self, suffix: str, start: int) -> Iterator[Span]:
        if self.scene.print is None:
            return
        for char, left, top, right, bottom in self.scene.print.placed():
            start = suffix.index(char, start)
            yield Span(start, start + 1, self.rectangle(left, top, right, bottom))
            start += 1

    def _described(self, suffix: str) -> Iterator[Span]:
        if suffix == SENTENCE:
            return
        start = suffix.index(".") + 2
        for number in range(len(self.scene.objects)):
            end = suffix.find(".", start) + 1
            yield Span(start, end, self.objects([number]))
            start = end + 1
        if self.scene.print:
            yield from self._print(suffix, suffix.index("says ", start) + len("says "))

    def _listed(self, suffix: str, language: str) -> Iterator[Span]:
        own, start = questions.names(language), 0
        for name, count in questions.tally(self.scene).items():
            # English words can stand inside those of other languages: "a bat" in "a bata".
            several = (
                questions.counted(name, count) if language == "en" else f"{count} × {own[name]}"
            )
            form = several if several in suffix[start:] else own[name]
            start = suffix.index(form, start)
            yield Span(start, start + len(form), self.named(name))
            start += len(form)
