"""The wide world: any ground, canvas, print, size and wear, and pictures of nothing that is known.

Each part of a picture has a random stream of its own, so that no ground goes with an object: what
lies behind it, its shape, what stands in it, what is printed and what became of it say nothing of
each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.nano.scenes import canvas, degrade, prints, screens, things
from training.nano.scenes.palette import name_of
from training.nano.scenes.scene import BARE, Scene, World, seen
from training.nano.scenes.traits import Traits

_STREAMS = ("canvas", "ground", "things", "print", "colour", "wear", "kind")
OTHER_KINDS = {"ground": 0.4, "drawings": 0.3, "document": 0.12, "chart": 0.12, "print": 0.06}
_MARGIN_STEP = 8


def streams(seed: int) -> dict[str, np.random.Generator]:
    """A random generator for each part of the picture of `seed`."""
    return {name: np.random.default_rng((seed, 2, i)) for i, name in enumerate(_STREAMS)}


@dataclass(frozen=True)
class WideWorld(World):
    """A world of any picture; without `known` nothing stands in it that has a word."""

    known: bool = True

    def draw(self, seed: int, resolution: int, styles: tuple[str, ...]) -> Scene:
        """The scene of `seed`, squashed to a square."""
        rngs = streams(seed)
        shape = canvas.shape(rngs["canvas"], resolution)
        kind = "known"
        if not self.known:
            kinds = list(OTHER_KINDS)
            kind = kinds[int(rngs["kind"].choice(len(kinds), p=list(OTHER_KINDS.values())))]
        if kind in ("document", "chart"):
            return _drawn_by_program(seed, kind, shape, rngs)
        sheet = canvas.sheet(rngs["ground"], shape)
        board = things.Board.of(sheet)
        # 1. Print comes first, so that objects stand around it, unless it goes over them.
        names = list(prints.KINDS)
        print_kind = names[int(rngs["print"].choice(len(names), p=list(prints.KINDS.values())))]
        if kind == "print" and print_kind == "none":
            print_kind = "plate"
        word = None
        if print_kind not in ("none", "over"):
            word = prints.put(rngs["print"], board, shape, sheet.panels, print_kind)
        # 2. Objects and drawings that have no word.
        placed, layout = [], sheet.layout
        if kind in ("known", "drawings"):
            rng = rngs["things"]
            plan = things.plan(rng, shape, len(sheet.panels), styles, self.known)
            placed = things.put(rng, board, shape, sheet, plan)
            layout = plan.layout if layout == "scattered" else layout
        if print_kind == "over":
            word = prints.put(rngs["print"], board, shape, sheet.panels, print_kind)
        # 3. What becomes of it.
        objects = seen(board.owner, placed)
        image, colours = degrade.recolour(rngs["colour"], board.image)
        sides = [max(o.box_xyxy_px[2] - o.box_xyxy_px[0], o.box_xyxy_px[3] - o.box_xyxy_px[1])
                 for o in objects]  # fmt: skip
        sides += [word.height_px] if word else []
        background, _ = name_of(_free(image, board.owner, sheet.panels))
        image = degrade.wear(rngs["wear"], image, shape, min(sides, default=resolution))
        traits = Traits(sheet.ground, shape.name, layout, colours, print_kind if word else "none")
        return Scene(seed, image, objects, background, word, traits)


def _drawn_by_program(
    seed: int, kind: str, shape: canvas.Shape, rngs: dict[str, np.random.Generator]
) -> Scene:
    paint = screens.document if kind == "document" else screens.chart
    picture = Image.fromarray(paint(rngs["ground"], *shape.size))
    picture = picture.resize((shape.side, shape.side), Image.Resampling.BICUBIC)
    picture, colours = degrade.recolour(rngs["colour"], picture)
    background, _ = name_of(np.asarray(picture)[::_MARGIN_STEP, ::_MARGIN_STEP].reshape(-1, 3))
    picture = degrade.wear(rngs["wear"], picture, shape, shape.side)
    return Scene(seed, picture, (), background, None, Traits(kind, shape.name, kind, colours, kind))


def _free(
    image: Image.Image, owner: np.ndarray, panels: tuple[canvas.Rectangle, ...]
) -> np.ndarray:
    """uint8[N, 3]: some of the pixels that nothing stands on, frames left out."""
    pixels, found = np.asarray(image), []
    for left, top, right, bottom in panels:
        rows, columns = slice(top, bottom, _MARGIN_STEP), slice(left, right, _MARGIN_STEP)
        found.append(pixels[rows, columns][owner[rows, columns] == things.FREE])
    return np.concatenate(found)


WIDE = WideWorld(BARE.counts, BARE.smallest, BARE.largest, BARE.letters)
OTHER = WideWorld(BARE.counts, BARE.smallest, BARE.largest, BARE.letters, known=False)
