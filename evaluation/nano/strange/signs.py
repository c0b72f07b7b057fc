"""Print of strange scenes: on the ground, a card, a speech balloon, a banner, or over a thing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.transforms import Affine2D

from evaluation.nano.strange.figures import FONTS, Painter, letters, painted

Rgb = tuple[float, float, float]
KINDS = ("none", "ground", "card", "balloon", "banner", "over")
CHANCES = (0.25, 0.25, 0.15, 0.12, 0.13, 0.10)
# Words that the scenes nano is trained on do not print.
WORDS = (
    "amber anchor autumn basket beacon blossom branch bronze butter cabin canal canvas carpet "
    "cedar circus copper cotton dairy delta desert engine fabric feather ferry gallery ginger "
    "harbor harvest honey iron jungle ladder lantern leather linen marble meadow mirror museum "
    "needle oven pepper pillow planet pocket poster puzzle ribbon saddle salmon signal spice "
    "stable studio timber tunnel velvet violet wagon walnut whistle willow"
).split()


@dataclass(frozen=True)
class Sign:
    """A print to be put on: pixels float32[H, W, 4], bool masks, its text, height and box.

    `ink` are the letters' pixels, `whole` also those of what they stand on.
    """

    pixels: np.ndarray
    ink: np.ndarray
    whole: np.ndarray
    text: str
    height_px: int
    box_xyxy_px: tuple[int, int, int, int]


def text_of(rng: np.random.Generator) -> str:
    """A word in one of three cases, or a code of capitals and digits."""
    if rng.random() < 0.6:
        word = WORDS[int(rng.integers(len(WORDS)))]
        return (word.upper, word.lower, word.capitalize)[int(rng.integers(3))]()
    pool = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return "".join(pool[int(i)] for i in rng.integers(len(pool), size=int(rng.integers(3, 7))))


def sign(
    rng: np.random.Generator, backdrop: np.ndarray, kind: str, middle: tuple[float, float] | None
) -> Sign | None:
    """A print of a kind for a backdrop [H, W, 3], around `middle` or anywhere; None if too long."""
    high, wide = backdrop.shape[:2]
    capitals = high / 224 * float(np.exp(rng.uniform(np.log(13), np.log(46))))
    text, font = text_of(rng), FONTS[int(rng.integers(len(FONTS)))]
    degrees = float(rng.uniform(-8, 8)) if rng.random() < 0.5 else 0.0
    path, height = letters(text, font, capitals, degrees)
    box = path.get_extents()
    pad = capitals * 0.45
    half = box.width / 2 + pad, box.height / 2 + pad
    if 2 * half[0] > wide * 0.96 or 2 * half[1] > high * 0.96:
        return None
    x, y = middle or (rng.uniform(half[0], wide - half[0]), rng.uniform(half[1], high - half[1]))
    x, y = np.clip(x, half[0], wide - half[0]), np.clip(y, half[1], high - half[1])
    placed = path.transformed(Affine2D().translate(x, y))
    standing = kind in ("card", "balloon", "banner")
    ground = _behind(rng, backdrop, (x, y), half) if not standing else rng.uniform(0, 1, 3)
    ink = _against(rng, ground)
    rim = _rgb(1 - np.array(ink)) if kind in ("over", "ground") else ink
    busy = kind == "over" or (kind == "ground" and _busy(backdrop, (x, y), half))

    def board(paint: Painter) -> None:
        if standing:
            paint.polygon(_shape(kind, (x, y), half), _rgb(ground), ink, capitals / 18)

    def print_(paint: Painter) -> None:
        paint.outline(placed, ink, rim, capitals / 12 if busy else 0)

    back, front = painted(wide, high, board), painted(wide, high, print_)
    pixels = front + back * (1 - front[..., 3:])
    inked = front[..., 3] >= 0.5
    if not inked.any():
        return None
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    whole = back[..., 3] >= 0.5 if standing else inked.copy()
    if kind == "ground":  # things keep clear of all of it
        whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    edges = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Sign(pixels, inked, whole | inked, text, max(1, round(height)), edges)


def _rgb(values: np.ndarray) -> Rgb:
    red, green, blue = (float(each) for each in values)
    return red, green, blue


def _behind(
    rng: np.random.Generator, backdrop: np.ndarray, at: tuple[float, float],
    half: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    return _region(backdrop, at, half).mean((0, 1))


def _busy(backdrop: np.ndarray, at: tuple[float, float], half: tuple[float, float]) -> bool:
    return bool(_region(backdrop, at, half).std((0, 1)).sum() > 0.2)


def _region(backdrop: np.ndarray, at: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
    (x, y), (across, down) = at, half
    return backdrop[max(0, int(y - down)) : int(y + down) + 1,
                    max(0, int(x - across)) : int(x + across) + 1]  # fmt: skip


def _against(rng: np.random.Generator, ground: np.ndarray) -> Rgb:
    """A colour that differs in lightness from its ground by 0.45 at least."""
    for _ in range(20):
        found = rng.uniform(0, 1, 3)
        if abs(float((found - ground) @ (0.2126, 0.7152, 0.0722))) > 0.45:
            return _rgb(found)
    bright = float(ground @ (0.2126, 0.7152, 0.0722)) > 0.5
    return (0.0, 0.0, 0.0) if bright else (1.0, 1.0, 1.0)


def _shape(kind: str, at: tuple[float, float], half: tuple[float, float]) -> np.ndarray:
    """float[N, 2]: the corners of what a print stands on."""
    (x, y), (across, down) = at, half
    corners: list[tuple[float, float]]
    if kind == "card":
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    elif kind == "banner":
        corners = [(-1.08, -0.8), (1.08, -0.8), (0.98, 0), (1.08, 0.8), (-1.08, 0.8), (-0.98, 0)]
    else:
        turn = np.linspace(0, 2 * np.pi, 40)
        bend = [(np.sign(np.cos(t)) * abs(np.cos(t)) ** 0.4,
                 np.sign(np.sin(t)) * abs(np.sin(t)) ** 0.4) for t in turn]  # fmt: skip
        corners = [*bend[:12], (-0.2, 1.45), *bend[12:]]
    return np.array(corners) * (across, down) + (x, y)
