"""What becomes of a picture on its way: colours that change, noise, blur, JPEG, thumbnails.

Nothing here moves a pixel, so boxes and masks stay true.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from training.nano.scenes import fields
from training.nano.scenes.canvas import Shape
from training.nano.scenes.palette import colour

COLOURS = {"as drawn": 0.5, "grey": 0.09, "sepia": 0.07, "tint": 0.1, "flat": 0.09, "harsh": 0.07,
           "dark": 0.04, "pale": 0.04}  # fmt: skip
NOISY, BLURRED, COMPRESSED, SHRUNK, PALETTED = 0.15, 0.15, 0.35, 0.12, 0.04
LEAST_PX = 13  # of an object's longer side in a thumbnail
Change = Callable[[np.random.Generator, Image.Image], Image.Image]


def _grey(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    return ImageOps.grayscale(image).convert("RGB")


def _sepia(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    dark, bright = rng.integers(0, 60), rng.integers(215, 256)
    old = ImageOps.colorize(
        ImageOps.grayscale(image),
        (int(dark), int(dark * 0.7), int(dark * 0.5)),
        (int(bright), int(bright * rng.uniform(0.86, 0.95)), int(bright * rng.uniform(0.66, 0.84))),
    )
    return Image.blend(image, old, rng.uniform(0.75, 1.0))


def _tint(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    red, green, blue = (int(value) for value in colour(rng))
    return Image.blend(
        image, Image.new("RGB", image.size, (red, green, blue)), rng.uniform(0.1, 0.35)
    )


def _contrast(low: float, high: float) -> Change:
    return lambda rng, image: ImageEnhance.Contrast(image).enhance(rng.uniform(low, high))


def _brightness(low: float, high: float) -> Change:
    return lambda rng, image: ImageEnhance.Brightness(image).enhance(rng.uniform(low, high))


_CHANGES: dict[str, Change] = {
    "as drawn": lambda rng, image: image, "grey": _grey, "sepia": _sepia, "tint": _tint,
    "flat": _contrast(0.4, 0.8), "harsh": _contrast(1.25, 1.9),
    "dark": _brightness(0.4, 0.75), "pale": _brightness(1.2, 1.5),
}  # fmt: skip


def recolour(rng: np.random.Generator, image: Image.Image) -> tuple[Image.Image, str]:
    """The picture in other colours, and what they are called."""
    names = list(COLOURS)
    name = names[int(rng.choice(len(names), p=list(COLOURS.values())))]
    return _CHANGES[name](rng, image), name


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    file.seek(0)
    return Image.open(file).convert("RGB")


def wear(
    rng: np.random.Generator, image: Image.Image, canvas: Shape, smallest_px: float
) -> Image.Image:
    """The picture after copies: what is `smallest_px` long in it keeps LEAST_PX pixels."""
    shrunk, noisy, blurred, compressed, paletted = rng.random(5) < (
        SHRUNK, NOISY, BLURRED, COMPRESSED, PALETTED,
    )  # fmt: skip
    size = image.size
    if shrunk:
        part = max(rng.uniform(0.35, 0.8), min(1.0, LEAST_PX / max(1.0, smallest_px)))
        thumbnail = (max(8, round(canvas.size[0] * part)), max(8, round(canvas.size[1] * part)))
        resample = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST)
        small = image.resize(thumbnail, Image.Resampling.BOX)
        if compressed and rng.random() < 0.5:
            small, compressed = _compressed(small, int(rng.integers(50, 96))), False
        image = small.resize(size, resample[int(rng.choice(3, p=(0.45, 0.45, 0.1)))])
    if blurred:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * canvas.side / 224))
    if noisy:
        cut = fields.window(rng, fields.grain(), *size)
        cut = cut[..., :1] if rng.random() < 0.5 else cut
        noisy_pixels = np.asarray(image, np.float32) + cut * np.float32(rng.uniform(3, 20))
        image = Image.fromarray(noisy_pixels.clip(0, 255).astype(np.uint8))
    if paletted:
        image = image.quantize(int(rng.integers(12, 129))).convert("RGB")
    if compressed:
        image = _compressed(image, int(rng.integers(30, 96)))
    return image
