"""Backdrops of strange scenes: seven kinds, as float32[H, W, 3] in [0, 1].

A backdrop has the name of a colour only where it was made of one that has it beyond doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.nano.strange.drawings import sampled
from evaluation.nano.strange.figures import Painter, painted
from training.nano.scenes.scene import MIXED

Backdrop = tuple[np.ndarray, str]
NAMED = {
    "red": (0.80, 0.17, 0.18), "orange": (0.95, 0.55, 0.16), "yellow": (0.98, 0.87, 0.25),
    "green": (0.29, 0.64, 0.32), "blue": (0.23, 0.43, 0.83), "purple": (0.51, 0.31, 0.71),
    "pink": (0.96, 0.64, 0.77), "brown": (0.49, 0.34, 0.22), "gray": (0.58, 0.58, 0.59),
}  # fmt: skip
PHOTOS = ("china", "coffee", "flower", "ihc")
_FOLDER = Path(__file__).parent / "photos"


def _named(rng: np.random.Generator) -> tuple[str, np.ndarray]:
    name = list(NAMED)[int(rng.integers(len(NAMED)))]
    return name, np.array(NAMED[name], np.float32)


def gradient_noise(
    rng: np.random.Generator, high: int, wide: int, cells: float, octaves: int = 4
) -> np.ndarray:
    """float32[high, wide], about [-1, 1]: Perlin's noise with `cells` along the longer side."""
    total, size = np.zeros((high, wide), np.float32), 1.0
    for octave in range(octaves):
        step = max(high, wide) / (cells * 2**octave)
        y = np.arange(high, dtype=np.float32)[:, None] / step
        x = np.arange(wide, dtype=np.float32)[None] / step
        row, column = y.astype(np.int32), x.astype(np.int32)
        angle = rng.uniform(0, 2 * np.pi, (row.max() + 2, column.max() + 2)).astype(np.float32)
        down, right = y - row, x - column
        corners = [
            np.cos(angle[row + i, column + j]) * (right - j)
            + np.sin(angle[row + i, column + j]) * (down - i)
            for i in (0, 1) for j in (0, 1)
        ]  # fmt: skip
        ease_x, ease_y = (t * t * t * (t * (t * 6 - 15) + 10) for t in (right, down))
        above = corners[0] + ease_x * (corners[1] - corners[0])
        below = corners[2] + ease_x * (corners[3] - corners[2])
        total += size * (above + ease_y * (below - above))
        size /= 2
    return total * 1.3


def plain(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """One named colour, a third of them from light to dark."""
    name, rgb = _named(rng)
    pixels = np.tile(rgb, (high, wide, 1))
    if rng.random() < 0.33:
        pixels *= np.linspace(0.88, 1.08, high, dtype=np.float32)[:, None, None]
    return pixels, name


def white(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """White all over."""
    return np.ones((high, wide, 3), np.float32), "white"


def clouds(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """Perlin's noise: lighter and darker in one named colour, or from one colour to another."""
    share = gradient_noise(rng, high, wide, float(rng.choice([2, 3, 5, 9])))[..., None]
    name, rgb = _named(rng)
    if rng.random() < 0.6:
        return rgb * (1 + 0.16 * share.clip(-1, 1)), name
    _, other = _named(rng)
    share = (0.5 + 0.7 * share).clip(0, 1)
    return rgb * (1 - share) + other * share, MIXED


def pattern(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """Bricks, honeycomb, diamonds, tartan, dots or rings of two or three colours."""
    y, x = np.mgrid[:high, :wide].astype(np.float32)
    unit = min(high, wide) / rng.uniform(5, 16)
    first, second = (rng.uniform(0.15, 1, 3).astype(np.float32) for _ in range(2))
    kind = int(rng.integers(6))
    if kind == 0:
        row = np.floor(y / unit)
        along = x / (2 * unit) + 0.5 * (row % 2)
        share = ((y / unit % 1 < 0.1) | (along % 1 < 0.05)).astype(np.float32)
        share += 0.25 * np.sin(row * 12.9 + np.floor(along) * 78.2) * (share == 0)
    elif kind == 1:
        q, r = (x * np.sqrt(3) / 3 - y / 3) / unit, y * 2 / 3 / unit
        cube = np.stack([q, r, -q - r])
        near = np.round(cube)
        off = np.abs(near - cube)
        share = (off.sum(0) > 0.72).astype(np.float32)
        share += 0.3 * ((near[0] - near[1]) % 3 == 0)
    elif kind == 2:
        share = ((np.floor((x + y) / unit) + np.floor((x - y) / unit)) % 2).astype(np.float32)
    elif kind == 3:
        bands = (np.sign(np.sin(t / unit * 2.1) + np.cos(t / unit)) for t in (x, y))
        weft, warp = (0.5 + 0.5 * each for each in bands)
        share = (weft + warp) / 2
    elif kind == 4:
        share = (np.cos(x / unit * np.pi) * np.cos(y / unit * np.pi) > 0.45).astype(np.float32)
    else:
        middle = rng.uniform(0, wide), rng.uniform(0, high)
        far = np.hypot(x - middle[0], y - middle[1])
        share = 0.5 + 0.5 * np.sign(np.sin(far / unit * np.pi))
    share = share.clip(0, 1)[..., None]
    return first * (1 - share) + second * share, MIXED


def paper(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """Cream, with stains, fibres and at times a margin line; no name, as white and yellow meet."""
    cream = np.array([0.96, 0.93, 0.84], np.float32) + rng.uniform(-0.04, 0.03, 3).astype("f4")
    pixels = cream + 0.03 * gradient_noise(rng, high, wide, 4.0)[..., None]

    def fibres(paint: Painter) -> None:
        for _ in range(60):
            x, y = rng.uniform(0, wide), rng.uniform(0, high)
            turn, long = rng.uniform(0, np.pi), rng.uniform(4, 18)
            paint.line((x, x + long * np.cos(turn)), (y, y + long * np.sin(turn)), "#b9ad90", 0.6)
        if rng.random() < 0.4:
            paint.line((wide * 0.12,) * 2, (0, high), "#d98b8b", 1.2)

    layer = painted(wide, high, fibres)
    return pixels * (1 - layer[..., 3:]) + layer[..., :3], MIXED


def screen(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """A page of a program: a bar with a title, a list, cards and small print."""
    dark = rng.random() < 0.4
    back, ink, card = ("#1e2127", "#9aa3b2", "#2b303a") if dark else ("#f4f5f7", "#6b7280", "white")
    red, green, blue = (float(each) for each in rng.uniform(0.15, 0.85, 3))
    size = max(5.0, min(high, wide) / 45)

    def page(paint: Painter) -> None:
        paint.box(0, 0, wide, high, back)
        paint.box(0, 0, wide, high * 0.08, (red, green, blue))
        paint.words(size, high * 0.055, "Files   Edit   View   Help", size, "white")
        for i in range(int(high * 0.8 / (size * 3))):
            paint.words(
                size, high * 0.14 + i * size * 3, f"entry {int(rng.integers(999))}", size, ink
            )
        for _ in range(int(rng.integers(2, 5))):
            x, y = rng.uniform(0.25, 0.7) * wide, rng.uniform(0.12, 0.75) * high
            paint.box(x, y, x + rng.uniform(0.2, 0.3) * wide, y + 0.2 * high, card, ink)

    return painted(wide, high, page)[..., :3], MIXED


@cache
def _photo(name: str) -> np.ndarray:
    """float32[h, w, 3]."""
    return np.asarray(Image.open(_FOLDER / f"{name}.webp").convert("RGB"), np.float32) / 255


def photo(rng: np.random.Generator, high: int, wide: int) -> Backdrop:
    """A part of one of four photographs that nano was never trained with."""
    source = _photo(PHOTOS[int(rng.integers(len(PHOTOS)))])
    reach = min(source.shape[0] / high, source.shape[1] / wide) * rng.uniform(0.55, 1.0)
    top = rng.uniform(0, source.shape[0] - reach * high)
    left = rng.uniform(0, source.shape[1] - reach * wide)
    y, x = np.mgrid[:high, :wide].astype(np.float32)
    return sampled(source, left + x * reach, top + y * reach), MIXED


KINDS: dict[str, Callable[[np.random.Generator, int, int], Backdrop]] = {
    "plain": plain, "white": white, "clouds": clouds, "pattern": pattern, "paper": paper,
    "screen": screen, "photo": photo,
}  # fmt: skip
