"""Grounds of the wide world: what lies behind the objects.

Each painter gets a random generator and a size in pixels, and gives uint8[height, width, 3]. None
of them knows what will stand on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

from training.nano.scenes import fields
from training.nano.scenes.palette import apart, colour, light
from training.nano.scenes.sprites import HERE

PHOTOS = ("brick", "coins", "grass", "gravel", "hubble", "moon", "retina")
Painter = Callable[[np.random.Generator, int, int], np.ndarray]


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).astype(np.uint8)


def _mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Two colours [3] by share [H, W] of the second."""
    return first + (second - first) * share[..., None]


def plain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """One colour."""
    return np.broadcast_to(_bytes(colour(rng)), (height, width, 3)).copy()


def white(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """White or nearly so; black one time of four, as where transparency is lost."""
    tone = rng.integers(248, 256) if rng.random() < 0.75 else rng.integers(0, 20)
    return np.full((height, width, 3), tone, np.uint8)


def gradient(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """From one colour to another, straight or round."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    if rng.random() < 0.35:
        middle = rng.uniform(-0.7, 0.7, 2)
        share = np.hypot(x - middle[0], y - middle[1]) / rng.uniform(1.0, 2.0)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        share = (np.cos(angle) * x + np.sin(angle) * y) / 2 + 0.5
    return _bytes(_mixed(colour(rng), colour(rng), share.clip(0, 1).astype(np.float32)))


def clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Smooth noise between two colours, at times with a third."""
    first, depth = colour(rng), rng.uniform(0.1, 0.5)
    second = colour(rng) if rng.random() < 0.5 else first + rng.normal(0, 40, 3)
    share = (0.5 + depth * fields.noise(rng, width, height)).clip(0, 1)
    pixels = _mixed(first, second.astype(np.float32), share)
    if rng.random() < 0.3:
        share = (depth * fields.noise(rng, width, height)).clip(0, 1)[..., None]
        pixels = pixels * (1 - share) + colour(rng) * share
    return _bytes(pixels)


def noise(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A colour with grain of one or several pixels, coloured or grey."""
    block = int(rng.choice([1, 1, 2, 3, 5]))
    cut = fields.window(rng, fields.grain(), -(-width // block), -(-height // block))
    if rng.random() < 0.5:
        cut = cut[..., :1]
    cut = cut.repeat(block, 0).repeat(block, 1)[:height, :width]
    return _bytes(colour(rng) + cut * np.float32(rng.uniform(8, 70)))


def paper(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Light, a little uneven, at times ruled or squared."""
    pixels = light(rng) + 4 * fields.noise(rng, width, height)[..., None]
    pixels = pixels + fields.window(rng, fields.grain(), width, height) * rng.uniform(0, 5)
    step, kind = rng.uniform(7, 26), rng.random()
    ink = np.float32(rng.uniform(10, 80)) * rng.random(3).astype(np.float32)
    if kind < 0.6:
        pixels[(np.arange(height) % step) < 1] -= ink
    if kind < 0.25:
        pixels[:, (np.arange(width) % step) < 1] -= ink
    return _bytes(pixels)


def bricks(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Rows of bricks or tiles, each of a tone of its own."""
    tall = rng.uniform(8, 30)
    long = tall * rng.uniform(1, 3)
    joint, shift = rng.uniform(0.8, 3), rng.choice([0.0, 0.5, 0.5, 0.33])
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    row = (y // tall).astype(int)
    along = x[None] + (row * shift * long)[:, None]
    column = (along // long).astype(int)
    tones = rng.normal(0, rng.uniform(2, 22), (64, 64)).astype(np.float32)
    pixels = colour(rng) + tones[row[:, None] % 64, column % 64][..., None]
    seam = ((y % tall) < joint)[:, None] | ((along % long) < joint)
    pixels[seam] = colour(rng)
    return _bytes(pixels + rng.uniform(0, 8) * fields.window(rng, fields.grain(), width, height))


def _threads(rng: np.random.Generator, length: int) -> np.ndarray:
    """float32[length, 3]: bands of some colours, again and again."""
    colours = np.stack([colour(rng) for _ in range(int(rng.integers(2, 5)))])
    bands = np.repeat(np.arange(len(colours)), rng.integers(2, 16, len(colours)))
    return colours[bands[np.arange(length) % len(bands)]]


def cloth(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Plaid: bands across bands, with the weave to be seen or not."""
    across, down = _threads(rng, width)[None], _threads(rng, height)[:, None]
    if rng.random() < 0.4:
        down = across.mean(1, keepdims=True)
    over = 0.5 + rng.uniform(0, 0.5) * (
        ((np.arange(height)[:, None] + np.arange(width)) // int(rng.integers(1, 4))) % 2 - 0.5
    )
    pixels = across * over[..., None] + down * (1 - over[..., None])
    return _bytes(pixels)


def checkers(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Squares of two colours, or the grey ones that stand for transparency."""
    side = rng.uniform(4, 40)
    first, second = colour(rng), colour(rng)
    if rng.random() < 0.35:
        first, second, side = np.full(3, 255.0), np.full(3, rng.uniform(190, 235)), side / 2 + 3
    odd = (np.arange(height) // side).astype(int)[:, None] + (np.arange(width) // side).astype(int)
    return _bytes(np.where((odd % 2)[..., None] == 0, first, second))


def stripes(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Straight or wavy stripes at an angle, sharp or soft."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 50)
    along = np.cos(angle) * x + np.sin(angle) * y
    if rng.random() < 0.4:
        across = np.cos(angle) * y - np.sin(angle) * x
        along = along + rng.uniform(2, 10) * np.sin(across / rng.uniform(6, 30))
    wave = np.sin(along * np.float32(2 * np.pi / period)) * rng.choice([0.5, 2, 30])
    first = colour(rng)
    second = colour(rng) if rng.random() < 0.6 else first + rng.normal(0, 25, 3)
    return _bytes(_mixed(first, second.astype(np.float32), (wave / 2 + 0.5).clip(0, 1)))


def dots(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Dots in a lattice."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step = rng.uniform(8, 44)
    x = x + (y // step % 2) * step / 2 * rng.integers(2)
    inside = np.hypot(x % step - step / 2, y % step - step / 2) < step * rng.uniform(0.12, 0.45)
    return _bytes(np.where(inside[..., None], colour(rng), colour(rng)))


def photo_like(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """What a photograph has: a far and a near part, soft light, texture, blurred lights."""
    edge = rng.uniform(0.2, 0.85) * height
    skyline = edge + rng.uniform(0, 0.16) * height * fields.noise(rng, width, 8)[0]
    y = np.arange(height, dtype=np.float32)[:, None]
    far = gradient(rng, width, height).astype(np.float32) * np.float32(0.6) + colour(rng) * 0.4
    near = clouds(rng, width, height).astype(np.float32)
    grain = fields.noise(rng, width, height)[..., None] * np.float32(rng.uniform(4, 30))
    pixels = np.where((y > skyline)[..., None], near + grain, far + grain * 0.3)
    if rng.random() < 0.4:
        pixels = _with_lights(rng, pixels)
    image = Image.fromarray(_bytes(pixels))
    if rng.random() < 0.5:
        part = rng.uniform(0.15, 0.6)
        small = (max(4, round(width * part)), max(4, round(height * part)))
        image = image.resize(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _with_lights(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Round spots out of focus over float32[H, W, 3]."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(3, 9))):
        far = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
        radius = rng.uniform(0.03, 0.2) * min(width, height)
        share = (1.5 - far / radius).clip(0, 1)[..., None] * np.float32(rng.uniform(0.2, 0.8))
        pixels = pixels * (1 - share) + colour(rng) * share
    return pixels


@cache
def _photograph(name: str) -> Image.Image:
    return Image.open(HERE / "photos" / f"{name}.webp").convert("RGB")


def photograph(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A part of a photograph; grey ones and some of the others are given a colour."""
    photo = _photograph(PHOTOS[int(rng.integers(len(PHOTOS)))])
    long = photo.width * rng.uniform(0.4, 1.0)
    size = (long, long * height / width) if width > height else (long * width / height, long)
    x, y = rng.uniform(0, photo.width - size[0]), rng.uniform(0, photo.height - size[1])
    box = (x, y, x + size[0], y + size[1])
    image = photo.resize((width, height), Image.Resampling.BILINEAR, box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.6:
        tone = np.asarray(image.convert("L"), np.float32)[..., None] / 255
        dark, bright = colour(rng) * 0.4, apart(rng, np.zeros(3, np.float32), 300)
        return _bytes(dark * (1 - tone) + bright * tone)
    return np.asarray(image)


PAINTERS: dict[str, tuple[float, Painter]] = {
    "plain": (1.5, plain), "white": (1.6, white), "gradient": (1.0, gradient),
    "clouds": (2.2, clouds), "noise": (0.8, noise), "paper": (0.8, paper),
    "bricks": (0.7, bricks), "cloth": (0.7, cloth), "checkers": (0.7, checkers),
    "stripes": (0.7, stripes), "dots": (0.5, dots), "photo-like": (1.6, photo_like),
    "photograph": (0.7, photograph),
}  # fmt: skip
