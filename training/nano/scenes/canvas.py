"""The shape of a picture and what it is divided into: frames, panels, and where things may stand.

A canvas of any shape is squashed to a square, as the processor does it. All here is in the frame of
that square, of `side` pixels; `sx` and `sy` say how a thing of the canvas is stretched in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.nano.scenes import screens
from training.nano.scenes.grounds import PAINTERS
from training.nano.scenes.palette import as_rgb, colour

Rectangle = tuple[int, int, int, int]
SQUARE_SHARE, FRAMED_SHARE, COLLAGE_SHARE = 0.35, 0.12, 0.1
MOST = 3.0  # as often as high or wide, at most
_KINDS = {**PAINTERS, "screenshot": (0.9, screens.screenshot)}
KINDS = tuple(_KINDS)
_CHANCES = np.array([weight for weight, _ in _KINDS.values()])
_CHANCES /= _CHANCES.sum()


@dataclass(frozen=True)
class Shape:
    """How often as wide as high a canvas is, and the square's pixels per unit of it.

    A unit is a 224th of the side of a square of the canvas' area, so that sizes in units mean the
    same share of any canvas.
    """

    aspect: float
    side: int

    @property
    def sx(self) -> float:
        """Pixels of the square along one unit of the canvas' width."""
        return self.side / 224 / self.aspect**0.5

    @property
    def sy(self) -> float:
        """The same along its height."""
        return self.side / 224 * self.aspect**0.5

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the canvas in pixels, of about as many as the square has."""
        return round(self.side * self.aspect**0.5), round(self.side / self.aspect**0.5)

    @property
    def shorter(self) -> float:
        """The shorter side in units."""
        return 224 * min(self.aspect, 1 / self.aspect) ** 0.5

    @property
    def name(self) -> str:
        """ "square", "wide", "very wide", "high" or "very high"."""
        long = max(self.aspect, 1 / self.aspect)
        if long < 1.15:
            return "square"
        return ("very " if long > 2 else "") + ("wide" if self.aspect > 1 else "high")


def shape(rng: np.random.Generator, side: int) -> Shape:
    """Square, or anything up to MOST times as wide as high or the other way round."""
    if rng.random() < SQUARE_SHARE:
        return Shape(1.0, side)
    return Shape(float(np.exp(rng.uniform(-np.log(MOST), np.log(MOST)))), side)


@dataclass(frozen=True)
class Sheet:
    """An empty picture: RGB, where things may stand, its kind of ground and its layout."""

    image: Image.Image
    panels: tuple[Rectangle, ...]
    ground: str
    layout: str


def ground(rng: np.random.Generator, width: int, height: int) -> tuple[str, Image.Image]:
    """A ground of a random kind, with its name."""
    kind = KINDS[int(rng.choice(len(KINDS), p=_CHANCES))]
    return kind, Image.fromarray(_KINDS[kind][1](rng, width, height))


def sheet(rng: np.random.Generator, canvas: Shape) -> Sheet:
    """The ground of a canvas, squashed; some are framed, some are collages of several grounds."""
    side = canvas.side
    kind, own = ground(rng, *canvas.size)
    image = own.resize((side, side), Image.Resampling.BICUBIC)
    whole = (0, 0, side, side)
    chance = rng.random()
    if chance < FRAMED_SHARE:
        return _framed(rng, canvas, image, kind)
    if chance < FRAMED_SHARE + COLLAGE_SHARE:
        panels = _panels(rng, side)
        for left, top, right, bottom in panels[1:]:
            part = (
                round(canvas.size[0] * (right - left) / side),
                round(canvas.size[1] * (bottom - top) / side),
            )
            _, other = ground(rng, max(8, part[0]), max(8, part[1]))
            image.paste(other.resize((right - left, bottom - top)), (left, top))
        gap = int(rng.integers(0, 1 + side // 40))
        if gap:
            bars = Image.new("RGB", (side, side), as_rgb(colour(rng)))
            for left, top, right, bottom in panels:
                inner = (left + gap, top + gap, right - gap, bottom - gap)
                bars.paste(image.crop(inner), inner[:2])
            image = bars
        return Sheet(image, tuple(panels), kind, "collage")
    return Sheet(image, (whole,), kind, "scattered")


def _framed(rng: np.random.Generator, canvas: Shape, image: Image.Image, kind: str) -> Sheet:
    """A border of one colour; below it is wider at times, as on an instant picture."""
    side = canvas.side
    unit = rng.uniform(4, 20)
    across, down = max(1, round(unit * canvas.sx)), max(1, round(unit * canvas.sy))
    below = round(down * rng.uniform(1, 3)) if rng.random() < 0.4 else down
    inner = (across, down, side - across, side - below)
    framed = Image.new("RGB", (side, side), as_rgb(colour(rng)))
    if rng.random() < 0.5:
        framed.paste(image.crop(inner), inner[:2])
    else:  # a frame around the whole picture, not over it
        framed.paste(image.resize((inner[2] - inner[0], inner[3] - inner[1])), inner[:2])
    return Sheet(framed, (inner,), kind, "framed")


def _panels(rng: np.random.Generator, side: int) -> list[Rectangle]:
    """Two to four parts of the square."""
    x, y = (round(side * rng.uniform(0.38, 0.62)) for _ in range(2))
    kind = rng.random()
    if kind < 0.35:
        return [(0, 0, x, side), (x, 0, side, side)]
    if kind < 0.6:
        return [(0, 0, side, y), (0, y, side, side)]
    if kind < 0.8:
        return [(0, 0, x, side), (x, 0, side, y), (x, y, side, side)]
    return [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
