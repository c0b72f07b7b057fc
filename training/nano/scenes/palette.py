"""Colours of the wide world, and what a ground of some pixels is called."""

from __future__ import annotations

import colorsys

import numpy as np

from training.nano.scenes.scene import BACKGROUNDS, MIXED

# Shades with the name that people give them; the first of each name is that of the older worlds.
SHADES = (
    *((name, rgb) for name, rgb in BACKGROUNDS.items()),
    ("red", (150, 24, 28)), ("red", (255, 40, 40)), ("red", (226, 104, 96)), ("red", (104, 18, 24)),
    ("orange", (255, 120, 10)), ("orange", (228, 128, 40)), ("orange", (250, 184, 112)),
    ("yellow", (255, 240, 30)), ("yellow", (250, 236, 150)), ("yellow", (206, 178, 40)),
    ("green", (20, 110, 40)), ("green", (60, 220, 80)), ("green", (170, 222, 160)),
    ("green", (128, 140, 50)), ("green", (10, 62, 30)), ("green", (40, 140, 120)),
    ("blue", (20, 40, 140)), ("blue", (150, 196, 240)), ("blue", (40, 190, 220)),
    ("blue", (14, 24, 66)), ("blue", (96, 128, 160)), ("blue", (0, 90, 255)),
    ("purple", (90, 30, 130)), ("purple", (190, 160, 230)), ("purple", (160, 40, 170)),
    ("pink", (255, 90, 170)), ("pink", (252, 206, 220)), ("pink", (222, 140, 160)),
    ("brown", (84, 54, 34)), ("brown", (180, 134, 92)), ("brown", (116, 76, 40)),
    ("gray", (96, 98, 102)), ("gray", (196, 198, 202)), ("gray", (70, 72, 76)),
    ("white", (255, 255, 255)), ("white", (236, 230, 218)),
    ("black", (0, 0, 0)), ("black", (26, 26, 30)),
)  # fmt: skip
_NAMES = tuple(dict.fromkeys(name for name, _ in SHADES))
_OWNER = np.array([_NAMES.index(name) for name, _ in SHADES])
_RGB = np.array([rgb for _, rgb in SHADES], np.float32)
ENOUGH = 0.72  # of the pixels have to be of one colour; fewer are MIXED


def colour(rng: np.random.Generator) -> np.ndarray:
    """float32[3]: any colour, as likely one that has a name as one from all of the cube."""
    if rng.random() < 0.5:
        _, rgb = SHADES[int(rng.integers(len(SHADES)))]
        return (np.array(rgb, np.float32) + rng.normal(0, 8, 3).astype(np.float32)).clip(0, 255)
    hue, saturation, value = rng.random(), rng.random() ** 0.8, 0.15 + 0.85 * rng.random()
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32) * 255


def as_rgb(values: np.ndarray) -> tuple[int, int, int]:
    """A colour float[3] as Pillow takes it."""
    red, green, blue = (int(value) for value in values.clip(0, 255))
    return red, green, blue


def apart(rng: np.random.Generator, other: np.ndarray, least: float) -> np.ndarray:
    """float32[3]: a colour whose channels differ from `other` by `least` together."""
    for _ in range(12):
        found = colour(rng)
        if np.abs(found - other).sum() >= least:
            return found
    return np.full(3, 255.0 if other.mean() < 128 else 0.0, np.float32)


def light(rng: np.random.Generator) -> np.ndarray:
    """float32[3]: a colour near white, as of paper."""
    return np.float32(255) - rng.uniform(0, 34, 3).astype(np.float32) * np.float32(rng.random())


def name_of(pixels: np.ndarray) -> tuple[str, float]:
    """What a ground of pixels [N, 3] is called, and the share of them that have that colour."""
    if not len(pixels):
        return MIXED, 0.0
    distance = ((pixels[:, None].astype(np.float32) - _RGB) ** 2).sum(-1)  # (N, shades)
    votes = np.bincount(_OWNER[distance.argmin(1)], minlength=len(_NAMES)) / len(pixels)
    best = int(votes.argmax())
    return (_NAMES[best] if votes[best] >= ENOUGH else MIXED), float(votes[best])
