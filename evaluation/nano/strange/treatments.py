"""What is done to a strange picture at last: one thing each, so that tables can tell them apart."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

KINDS = ("as drawn", "grey", "sepia", "tinted", "faded", "noisy", "blurred", "JPEG", "thumbnail")
CHANCES = (0.4, 0.08, 0.07, 0.08, 0.07, 0.07, 0.07, 0.08, 0.08)
RECOLOURED = ("grey", "sepia", "tinted", "faded")  # whose ground is no longer called as it was
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)


def treated(rng: np.random.Generator, pixels: np.ndarray, kind: str) -> Image.Image:
    """The picture of float32[H, W, 3] in [0, 1] after a treatment; nothing in it moves."""
    high, wide = pixels.shape[:2]
    if kind == "grey":
        pixels = (pixels @ _LUMA)[..., None].repeat(3, -1)
    elif kind == "sepia":
        pixels = pixels @ _SEPIA.T
    elif kind == "tinted":
        pixels = pixels * rng.uniform(0.55, 1.1, 3)
    elif kind == "faded":
        pixels = rng.uniform(0.25, 0.45) + pixels * rng.uniform(0.35, 0.55)
    elif kind == "noisy":
        pixels = pixels + rng.normal(0, rng.uniform(0.05, 0.12), pixels.shape)
    elif kind == "blurred":
        pixels = _blurred(pixels, rng.uniform(0.004, 0.008) * min(high, wide))
    image = Image.fromarray((pixels.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    if kind == "JPEG":
        file = io.BytesIO()
        image.save(file, "JPEG", quality=int(rng.integers(30, 61)))
        image = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    elif kind == "thumbnail":
        scale = 130 / min(high, wide)
        small = image.resize((round(wide * scale), round(high * scale)), Image.Resampling.HAMMING)
        image = small.resize((wide, high), Image.Resampling.LANCZOS)
    return image


def _blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian of `sigma` pixels along both axes."""
    reach = max(1, int(3 * sigma))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    bell /= bell.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
        padded = np.pad(pixels, padding, mode="edge")
        length = pixels.shape[axis]
        pixels = sum(
            weight * np.take(padded, range(i, i + length), axis) for i, weight in enumerate(bell)
        )
    return pixels
