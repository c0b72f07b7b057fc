"""The drawings of objects as arrays, at any size and turn. Reads the sheets itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

_SCENES = Path(__file__).parents[3] / "training" / "nano" / "scenes"
_SHEETS = _SCENES / "atlases"
_CELL_PX, _KEPT_CELL_PX = 160, 112  # a cell of the sheets of objects, and of those without a word
_KEPT_COLUMNS = 14
_FAINT = 24  # alpha that is no part of a drawing


@dataclass(frozen=True)
class Drawing:
    """float32[h, w, 4] in [0, 1]: red, green, blue times alpha, and alpha."""

    pixels: np.ndarray

    @property
    def solid(self) -> np.ndarray:
        """bool[h, w] of what counts as the drawing."""
        return self.pixels[..., 3] >= 0.5


@cache
def _sheet(name: str) -> np.ndarray:
    """uint8[H, W, 4]."""
    return np.array(Image.open(_SHEETS / name).convert("RGBA"))


def _cut(sheet: np.ndarray, cell: int, columns: int, index: int) -> Drawing | None:
    """The drawing of a cell without empty edges; None where the cell is empty."""
    row, column = divmod(index, columns)
    pixels = sheet[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
    shown = pixels[..., 3] > _FAINT
    if not shown.any():
        return None
    rows, columns_ = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    part = pixels[rows[0] : rows[-1] + 1, columns_[0] : columns_[-1] + 1].astype(np.float32) / 255
    part[..., :3] *= part[..., 3:]
    return Drawing(part)


@cache
def of_object(index: int, style: str) -> Drawing:
    """The drawing of object number `index` in a style; ValueError where it has none."""
    sheet = _sheet(f"{style}.webp")
    found = _cut(sheet, _CELL_PX, sheet.shape[1] // _CELL_PX, index)
    if found is None:
        raise ValueError(f"no drawing of object {index} in {style}")
    return found


@cache
def kept_numbers() -> tuple[int, ...]:
    """Numbers of the drawings without a word that are kept for tests."""
    entries = json.loads((_SCENES / "outsiders.json").read_text("utf-8"))
    return tuple(number for number, entry in enumerate(entries) if entry["kept"])


@cache
def of_stranger(number: int, style: str) -> Drawing:
    """A drawing without a word; ValueError where there is none."""
    found = _cut(_sheet(f"outsiders-{style}.webp"), _KEPT_CELL_PX, _KEPT_COLUMNS, number)
    if found is None:
        raise ValueError(f"no drawing {number} in {style}")
    return found


def _reduced(pixels: np.ndarray, times: int) -> np.ndarray:
    """Means of blocks of `times` squared."""
    high, wide = (-(-each // times) * times for each in pixels.shape[:2])
    padded = np.zeros((high, wide, 4), np.float32)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded.reshape(high // times, times, wide // times, times, 4).mean((1, 3))


def turned(drawing: Drawing, side_px: float, degrees: float, mirrored: bool) -> Drawing:
    """The drawing with a longer side of `side_px` before it is turned, bilinear, edges cut off."""
    pixels = drawing.pixels[:, ::-1] if mirrored else drawing.pixels
    scale = side_px / max(pixels.shape[:2])
    times = max(1, int(1 / scale))
    pixels = np.pad(_reduced(pixels, times), ((2, 2), (2, 2), (0, 0)))
    scale *= times
    high, wide = pixels.shape[:2]
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    out_wide = int(np.ceil(scale * (wide * abs(cos) + high * abs(sin))))
    out_high = int(np.ceil(scale * (wide * abs(sin) + high * abs(cos))))
    y, x = np.mgrid[:out_high, :out_wide].astype(np.float32)
    x, y = (x - (out_wide - 1) / 2) / scale, (y - (out_high - 1) / 2) / scale
    from_x = cos * x + sin * y + (wide - 1) / 2
    from_y = cos * y - sin * x + (high - 1) / 2
    found = sampled(pixels, from_x, from_y)
    shown = found[..., 3] > 0.1
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return Drawing(found[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def sampled(pixels: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear values of float32[h, w, channels] at places; outside is the nearest edge."""
    high, wide = pixels.shape[:2]
    x, y = x.clip(0, wide - 1.001), y.clip(0, high - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    right, down = (x - left)[..., None], (y - top)[..., None]
    above = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    below = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return (above * (1 - down) + below * down).astype(np.float32)


def outlined(drawing: Drawing, width_px: int) -> Drawing:
    """The drawing on a white rim of `width_px`, with room for it."""
    padded = np.pad(drawing.pixels, ((width_px, width_px), (width_px, width_px), (0, 0)))
    alpha = padded[..., 3]
    rim = alpha.copy()
    for turn in np.linspace(0, 2 * np.pi, 20, endpoint=False):
        shift = round(width_px * np.sin(turn)), round(width_px * np.cos(turn))
        rim = np.maximum(rim, np.roll(alpha, shift, (0, 1)))
    under = rim[..., None] * (1 - alpha[..., None])
    return Drawing(np.concatenate([padded[..., :3] + under, rim[..., None]], -1))
