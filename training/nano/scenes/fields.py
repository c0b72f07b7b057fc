"""Noise to draw grounds of: made once a process, cut out anew for every scene.

A field is periodic, so that a window of any place and size can be cut out of it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

SIDE = 512
FIELDS = 10  # of each steepness
STEEPNESS = (1.1, 1.6, 2.1, 2.6)  # of the spectrum: from rough to smooth


@cache
def smooth(number: int, steepness: float) -> np.ndarray:
    """float32[SIDE, SIDE] of mean 0 and deviation 1, whose spectrum falls as 1 / f^steepness."""
    rng = np.random.default_rng((17, number, int(steepness * 10)))
    y, x = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None]
    distance = np.hypot(y, x)
    distance[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) * distance**-steepness
    field = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return (field / field.std()).astype(np.float32)


@cache
def grain() -> np.ndarray:
    """float32[SIDE, SIDE, 3]: white noise of deviation 1."""
    return np.random.default_rng(23).normal(size=(SIDE, SIDE, 3)).astype(np.float32)


def window(rng: np.random.Generator, field: np.ndarray, width: int, height: int) -> np.ndarray:
    """`height` rows and `width` columns of a field, from a random place, mirrored or not."""
    y, x = rng.integers(SIDE, size=2)
    rows, columns = (y + np.arange(height)) % SIDE, (x + np.arange(width)) % SIDE
    if rng.random() < 0.5:
        rows = rows[::-1]
    if rng.random() < 0.5:
        columns = columns[::-1]
    return field[rows[:, None], columns]


def noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """float32[height, width]: smooth noise of a random steepness and scale."""
    steepness = STEEPNESS[int(rng.integers(len(STEEPNESS)))]
    field = smooth(int(rng.integers(FIELDS)), steepness)
    zoom = float(np.exp(rng.uniform(np.log(0.25), np.log(2.0))))
    cut = window(rng, field, max(8, round(width * zoom)), max(8, round(height * zoom)))
    scaled = Image.fromarray(cut).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled)
