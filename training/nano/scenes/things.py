"""Objects of the wide world: drawings at any size, turned, outlined, with shadows, on a canvas.

Drawings that have no word are placed like all others, and own their pixels, but are no objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from training.nano.scenes import outsiders, sprites
from training.nano.scenes.canvas import Rectangle, Shape, Sheet

SOLID = 100  # alpha above which a pixel belongs to a drawing
FREE, PRINT = -1, 0  # owners that are no drawing
HIDDEN_AT_MOST = 0.30
_TRIES, _APART = 14, 7
# (chance, smallest, largest) of the longer side in units, by what a layout is called.
SIZES = {"scattered": (0.56, 24.0, 130.0), "one": (0.18, 96.0, 206.0), "tiny": (0.14, 15.0, 36.0),
         "row": (0.12, 26.0, 90.0)}  # fmt: skip
COUNTS = (0.22, 0.22, 0.2, 0.16, 0.12, 0.08)
OUTSIDERS = (0.66, 0.2, 0.09, 0.05)  # chances of none, one, two, three


@dataclass
class Board:
    """What is being painted: RGB, the owner of each pixel, and what each owner showed at first."""

    image: Image.Image
    owner: np.ndarray
    visible: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def of(cls, sheet: Sheet) -> Board:
        """A board with nothing on it yet."""
        return cls(sheet.image, np.full(sheet.image.size[::-1], FREE, np.int8))


@dataclass(frozen=True)
class Plan:
    """What is to stand in a picture: one (drawing, side in units) each, and how it is laid out."""

    layout: str
    known: tuple[tuple[sprites.Noun, str, float], ...]
    unknown: tuple[tuple[int, str, float], ...]


def plan(
    rng: np.random.Generator, canvas: Shape, panels: int, styles: tuple[str, ...], known: bool
) -> Plan:
    """Kinds, styles and sizes, from large to small; without `known`, only what has no word."""
    names = list(SIZES)
    layout = names[int(rng.choice(len(names), p=[chance for chance, *_ in SIZES.values()]))]
    count = 1 if layout == "one" else 1 + int(rng.choice(len(COUNTS), p=COUNTS))
    _, low, high = SIZES[layout]
    if panels > 1:
        high *= 0.6
    high = min(high, 0.92 * canvas.shorter, 190 / count**0.5 if count > 1 else high)
    low = min(low, 0.8 * high)
    rows = rng.random() if layout == "row" else 0.0  # a row has drawings of about one size

    def side() -> float:
        chance = rows + 0.06 * rng.normal() if layout == "row" else rng.random()
        return float(low * (high / low) ** min(1.0, max(0.0, chance)))

    nouns = sprites.drawn_in(styles)
    kinds: list[sprites.Noun] = []
    while known and len(kinds) < count:
        again = kinds and rng.random() < 0.35
        kinds.append(kinds[int(rng.integers(len(kinds)))] if again
                     else nouns[int(rng.integers(len(nouns)))])  # fmt: skip
    strangers = int(rng.choice(len(OUTSIDERS), p=OUTSIDERS)) if known else count
    pool = outsiders.outsiders()
    others = [pool[int(i)].index for i in rng.integers(len(pool), size=strangers)]
    trained = sprites.STYLES
    return Plan(
        layout,
        tuple(sorted(((noun, styles[int(rng.integers(len(styles)))], side()) for noun in kinds),
                     key=lambda each: -each[2])),
        tuple((index, trained[int(rng.integers(len(trained)))], side()) for index in others),
    )  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How the drawings of a picture are put on it: outline in units, shadow, turn in degrees."""

    outline: float
    outline_tone: int
    shadow: float
    turn: float


def look(rng: np.random.Generator) -> Look:
    """Most drawings have no outline, and a third a shadow."""
    return Look(
        outline=float(rng.uniform(1.5, 5)) if rng.random() < 0.25 else 0.0,
        outline_tone=int(rng.integers(235, 256)) if rng.random() < 0.9 else int(rng.integers(60)),
        shadow=float(rng.uniform(0.15, 0.6)) if rng.random() < 0.33 else 0.0,
        turn=float(rng.choice([6, 14, 14, 25])),
    )


def _drawn(
    rng: np.random.Generator, art: Image.Image, side: float, canvas: Shape, how: Look
) -> Image.Image:
    """RGBA of a drawing whose longer side has `side` units, stretched as the canvas is."""
    scale = side / max(art.size)
    if rng.random() < 0.5:
        art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.6:
        longer = max(24.0, min(side * max(canvas.sx, canvas.sy), 160.0)) / max(art.size)
        size = (max(4, round(art.width * longer)), max(4, round(art.height * longer)))
        art = art.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        scale /= longer
        art = art.rotate(rng.uniform(-how.turn, how.turn), Image.Resampling.BICUBIC, expand=True)
        box = art.getchannel("A").point(lambda a: 255 * (a > SOLID)).getbbox()
        art = art.crop(box) if box else art
    size = (
        max(3, round(art.width * scale * canvas.sx)),
        max(3, round(art.height * scale * canvas.sy)),
    )
    art = art.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if rng.random() < 0.5:
        alpha = art.getchannel("A")
        art = ImageEnhance.Brightness(art).enhance(rng.uniform(0.82, 1.18))
        art = ImageEnhance.Color(art).enhance(rng.uniform(0.75, 1.25))
        art.putalpha(alpha)
    return art


def _outlined(art: Image.Image, canvas: Shape, how: Look) -> tuple[Image.Image, Image.Image]:
    """The drawing with room around it, and "L" of what it and its outline cover."""
    reach = max(1, round(how.outline * (canvas.sx + canvas.sy) / 2)) if how.outline else 0
    if not reach:
        return art, art.getchannel("A")
    roomy = Image.new("RGBA", (art.width + 2 * reach, art.height + 2 * reach))
    roomy.paste(art, (reach, reach))
    cover = roomy.getchannel("A").filter(ImageFilter.BoxBlur(reach * 0.75))
    return roomy, cover.point(lambda a: min(255, a * 6))


def _place(
    rng: np.random.Generator,
    board: Board,
    art: Image.Image,
    canvas: Shape,
    how: Look,
    panels: tuple[Rectangle, ...],
) -> int | None:
    """Puts a drawing where it hides no earlier one by more than a third; its owner, or None."""
    roomy, cover = _outlined(art, canvas, how)
    index = len(board.visible)
    solid = np.asarray(roomy.getchannel("A")) > SOLID
    covered = np.asarray(cover) > SOLID
    for attempt in range(_TRIES):
        left, top, right, bottom = panels[int(rng.integers(len(panels)))]
        if roomy.width > right - left or roomy.height > bottom - top:
            continue
        x = int(rng.integers(left, right - roomy.width + 1))
        y = int(rng.integers(top, bottom - roomy.height + 1))
        window = board.owner[y : y + roomy.height, x : x + roomy.width]
        hidden = np.bincount(window[covered & (window >= 0)], minlength=index)
        allowed = 0.0 if attempt < _APART else HIDDEN_AT_MOST
        if hidden[PRINT] or any(
            hidden[i] > allowed * board.visible[i] - (
                board.visible[i] - np.count_nonzero(board.owner == i)
            )
            for i in np.flatnonzero(hidden)
        ):  # fmt: skip
            continue
        if how.shadow:
            _shade(board.image, cover, (x, y), canvas, how.shadow)
        if how.outline:
            board.image.paste((how.outline_tone,) * 3, (x, y), cover)
        board.image.paste(roomy, (x, y), roomy)
        window[covered] = FREE
        window[solid] = index
        board.visible.append(int(solid.sum()))
        return index
    return None


def _shade(
    image: Image.Image, cover: Image.Image, at: tuple[int, int], canvas: Shape, strength: float
) -> None:
    """A soft shadow to the lower right."""
    reach = 3
    across, down = max(1, round(reach * canvas.sx)), max(1, round(reach * canvas.sy))
    soft = Image.new("L", (cover.width + 4 * across, cover.height + 4 * down))
    soft.paste(cover.point(lambda a: round(a * strength)), (2 * across, 2 * down))
    soft = soft.filter(ImageFilter.BoxBlur((across, down)))
    image.paste((0, 0, 0), (at[0] - across, at[1] - down), soft)


def put(
    rng: np.random.Generator, board: Board, canvas: Shape, sheet: Sheet, wanted: Plan
) -> list[tuple[int, sprites.Noun, str]]:
    """Places what a plan wants; (owner, noun, style) of the objects that found a place."""
    how = look(rng)
    placed = []
    for noun, style, side in wanted.known:
        art = sprites.load((style,))[noun.index, style]
        for smaller in (side, min(side, 24.0)):
            drawn = _drawn(rng, art, smaller, canvas, how)
            index = _place(rng, board, drawn, canvas, how, sheet.panels)
            if index is not None:
                placed.append((index, noun, style))
            if index is not None or placed:
                break  # only a picture without any object tries again
    for number, style, side in wanted.unknown:
        drawn = _drawn(rng, outsiders.load(style)[number], side, canvas, how)
        _place(rng, board, drawn, canvas, how, sheet.panels)
    return placed
