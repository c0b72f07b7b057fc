"""Strange scenes from seeds, and pictures of another world, each with the kinds that it is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from evaluation.nano.strange import backdrops, drawings, signs, treatments
from evaluation.nano.strange.drawings import Drawing
from evaluation.nano.strange.figures import Painter, painted, plotted
from training.nano.scenes.scene import MIXED, Print, Scene, SceneObject
from training.nano.scenes.sprites import STYLES, nouns
from training.nano.scenes.traits import Traits

T = TypeVar("T")

FIRST = 7_000_000_000  # the first seed of the tables
SHAPES = {
    "square": ((448, 448), (560, 560)),
    "wide": ((640, 480), (672, 448), (720, 405)),
    "very wide": ((800, 400), (900, 360), (990, 330)),
    "high": ((480, 640), (405, 720), (400, 800), (330, 990)),
}
LAYOUTS = {"scattered": 0.5, "one": 0.2, "small": 0.12, "stickers": 0.18}
OTHER_KINDS = ("noise", "plain", "document", "chart", "photo", "drawings")
_MARGIN = 3
_TRIES = 30


@dataclass
class _Board:
    """float32[H, W, 3] in [0, 1], and bool[H, W] of what is taken."""

    pixels: np.ndarray
    taken: np.ndarray

    def put(self, pixels: np.ndarray, x: int, y: int) -> None:
        """Composites colours times alpha [h, w, 4] with its corner at (x, y)."""
        part = self.pixels[y : y + pixels.shape[0], x : x + pixels.shape[1]]
        part[:] = part * (1 - pixels[..., 3:]) + pixels[..., :3]


def _place(
    rng: np.random.Generator, board: _Board, drawing: Drawing, whole: Drawing
) -> tuple[int, int] | None:
    """Puts `whole` (the drawing with its rim) where nothing stands; the corner of the drawing."""
    high, wide = board.taken.shape
    rows, columns = whole.pixels.shape[:2]
    edge = (rows - drawing.pixels.shape[0]) // 2
    for _ in range(_TRIES):
        if rows + 2 * _MARGIN > high or columns + 2 * _MARGIN > wide:
            return None
        y = int(rng.integers(_MARGIN, high - rows - _MARGIN + 1))
        x = int(rng.integers(_MARGIN, wide - columns - _MARGIN + 1))
        window = board.taken[y - _MARGIN : y + rows + _MARGIN, x - _MARGIN : x + columns + _MARGIN]
        if not window[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN][whole.solid].any():
            board.put(whole.pixels, x, y)
            window[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] |= whole.solid
            return x + edge, y + edge
    return None


def _sides(rng: np.random.Generator, layout: str, shorter: int) -> np.ndarray:
    """Longer sides in pixels, from large to small."""
    if layout == "one":
        return shorter * rng.uniform(0.5, 0.9, 1)
    count = int(rng.integers(1, 7))
    low, high = (0.08, 0.15) if layout == "small" else (0.16, 0.62 / count**0.4)
    return np.sort(shorter * rng.uniform(low, high, count))[::-1]


def draw(seed: int) -> Scene:
    """The strange scene of `seed`; its canvas is not squashed. At least one object stands in it."""
    rng = np.random.default_rng((seed, 9))
    shape = _pick(rng, list(SHAPES))
    wide, high = SHAPES[shape][int(rng.integers(len(SHAPES[shape])))]
    ground = _pick(rng, list(backdrops.KINDS))
    pixels, name = backdrops.KINDS[ground](rng, high, wide)
    board = _Board(pixels.astype(np.float32), np.zeros((high, wide), bool))
    layout = list(LAYOUTS)[int(rng.choice(len(LAYOUTS), p=list(LAYOUTS.values())))]
    kind = signs.KINDS[int(rng.choice(len(signs.KINDS), p=signs.CHANCES))]
    # 1. The print, where nothing may stand.
    sign = None
    if kind not in ("none", "over"):
        sign = signs.sign(rng, board.pixels, kind, None)
        if sign:
            board.put(sign.pixels, 0, 0)
            board.taken |= sign.whole
    # 2. Objects, one of them again in three of ten, then drawings without a word.
    masks: list[tuple[int, str, np.ndarray]] = []
    rim = max(2, round(min(high, wide) / 90)) if layout == "stickers" else 0
    sides = _sides(rng, layout, min(high, wide))
    while not masks:
        for side in sides:
            again = masks and rng.random() < 0.3
            index = masks[-1][0] if again else int(rng.integers(len(nouns())))
            style = _pick(rng, STYLES)
            mask = _stand(rng, board, drawings.of_object(index, style), float(side), rim)
            if mask is not None:
                masks.append((index, style, mask))
        sides = sides[-1:] * 0.7
    for _ in range(int(rng.choice(3, p=(0.7, 0.2, 0.1)))):
        drawing = drawings.of_stranger(int(_pick(rng, drawings.kept_numbers())), _pick(rng, STYLES))
        _stand(rng, board, drawing, float(rng.choice(sides)), rim)
    # 3. Print over a thing takes its pixels away.
    if kind == "over":
        box = np.argwhere(masks[0][2])
        middle = np.add(box.mean(0)[::-1], (0, 0.25 * np.ptp(box[:, 0])))
        sign = signs.sign(rng, board.pixels, kind, (float(middle[0]), float(middle[1])))
        if sign and all((mask & sign.ink).sum() <= 0.3 * mask.sum() for _, _, mask in masks):
            board.put(sign.pixels, 0, 0)
            masks = [(i, style, mask & ~sign.ink) for i, style, mask in masks]
        else:
            sign = None
    colour = treatments.KINDS[int(rng.choice(len(treatments.KINDS), p=treatments.CHANCES))]
    image = treatments.treated(rng, board.pixels, colour)
    word = Print(sign.text, "", sign.height_px, sign.box_xyxy_px, ()) if sign else None
    if colour in treatments.RECOLOURED:
        name = MIXED
    traits = Traits(ground, shape, layout, colour, kind if sign else "none")
    return Scene(seed, image, _objects(masks, high), name, word, traits)


def _stand(
    rng: np.random.Generator, board: _Board, drawing: Drawing, side: float, rim: int
) -> np.ndarray | None:
    """bool[H, W] of a drawing that found a place, without its rim."""
    degrees = float(rng.uniform(-12, 12)) if rng.random() < 0.5 else 0.0
    own = drawings.turned(drawing, side, degrees, bool(rng.random() < 0.5))
    at = _place(rng, board, own, drawings.outlined(own, rim) if rim else own)
    if at is None:
        return None
    mask = np.zeros(board.taken.shape, bool)
    mask[at[1] : at[1] + own.solid.shape[0], at[0] : at[0] + own.solid.shape[1]] = own.solid
    return mask


def _objects(masks: list[tuple[int, str, np.ndarray]], high: int) -> tuple[SceneObject, ...]:
    found = []
    for index, style, mask in masks:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        found.append(SceneObject(nouns()[index], style, box, mask))
    return tuple(sorted(found, key=lambda o: (o.center[1] // (high / 4), o.center[0])))


def draw_other(seed: int) -> Scene:
    """A picture of another world: nothing that nano has a word for is in it."""
    rng = np.random.default_rng((seed, 10))
    shape = _pick(rng, list(SHAPES))
    wide, high = SHAPES[shape][int(rng.integers(len(SHAPES[shape])))]
    kind = OTHER_KINDS[seed % len(OTHER_KINDS)]
    if kind == "noise":
        pixels = rng.uniform(0, 1, (high, wide, 3))
        if rng.random() < 0.5:
            pixels = 0.5 + 0.4 * backdrops.gradient_noise(rng, high, wide, 6.0)[..., None].repeat(
                3, -1
            )
    elif kind == "plain":
        pixels, _ = (backdrops.plain if rng.random() < 0.7 else backdrops.white)(rng, high, wide)
    elif kind == "document":
        pixels = _document(rng, high, wide)
    elif kind == "chart":
        pixels = _chart(rng, high, wide)
    elif kind == "photo":
        pixels, _ = backdrops.photo(rng, high, wide)
    else:
        pixels = _of_strangers(rng, high, wide)
    image = treatments.treated(rng, np.asarray(pixels, np.float32), "as drawn")
    return Scene(seed, image, (), MIXED, None, Traits(kind, shape, kind, "as drawn", "none"))


def _of_strangers(rng: np.random.Generator, high: int, wide: int) -> np.ndarray:
    names = list(backdrops.KINDS)
    ground, _ = backdrops.KINDS[names[int(rng.integers(len(names)))]](rng, high, wide)
    board = _Board(ground.astype(np.float32), np.zeros((high, wide), bool))
    for _ in range(int(rng.integers(1, 5))):
        drawing = drawings.of_stranger(int(_pick(rng, drawings.kept_numbers())), _pick(rng, STYLES))
        _stand(rng, board, drawing, float(min(high, wide) * rng.uniform(0.2, 0.5)), 0)
    return board.pixels


def _document(rng: np.random.Generator, high: int, wide: int) -> np.ndarray:
    size = max(6.0, min(high, wide) / rng.uniform(35, 60))

    def page(paint: Painter) -> None:
        paint.box(0, 0, wide, high, "white")
        y = 3 * size
        while y < high - 2 * size:
            count = max(1, int(wide * 0.85 / (size * 4.5)))
            words = " ".join(
                signs.WORDS[int(i)] for i in rng.integers(len(signs.WORDS), size=count)
            )
            paint.words(wide * 0.07, y, words, size, "#222222")
            y += size * (2.6 if rng.random() < 0.15 else 1.6)

    return painted(wide, high, page)[..., :3]


def _chart(rng: np.random.Generator, high: int, wide: int) -> np.ndarray:
    values, kind = rng.random((3, 8)), int(rng.integers(4))

    def plot(axes: object) -> None:
        if kind == 0:
            axes.bar(range(8), values[0])  # type: ignore[attr-defined]
        elif kind == 1:
            axes.plot(values.T)  # type: ignore[attr-defined]
        elif kind == 2:
            axes.scatter(values[0], values[1])  # type: ignore[attr-defined]
        else:
            axes.imshow(values)  # type: ignore[attr-defined]

    return plotted(wide, high, plot)


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]
