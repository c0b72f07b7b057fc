"""Scenes: pictures of everyday objects, drawn from a seed, of which everything is known.

A scene holds a few objects in one of four art styles each, on a background of a named colour,
often with a printed word or code; how many and how small, its `World` says. `draw` is
deterministic: the same seed and options give the same pixels. The worlds here have plain grounds
and square pictures; `training.nano.scenes.wide` draws a wider one. Seeds from HELD_OUT on are for
tests and tables and are never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from training.nano.scenes import sprites
from training.nano.scenes.traits import OWN, Traits
from training.nano.scenes.words import WORDS

T = TypeVar("T")

HELD_OUT = 1_000_000_000
RESOLUTION = 224
BACKGROUNDS = {
    "red": (214, 62, 58),
    "orange": (242, 150, 58),
    "yellow": (246, 222, 92),
    "green": (96, 178, 96),
    "blue": (72, 128, 214),
    "purple": (146, 96, 188),
    "pink": (246, 168, 198),
    "brown": (140, 100, 70),
    "gray": (150, 152, 156),
    "white": (246, 246, 244),
}
INKS = {
    "black": (20, 20, 22),
    "white": (252, 252, 252),
    "red": (190, 24, 30),
    "blue": (22, 50, 160),
    "green": (10, 94, 44),
    "yellow": (255, 228, 40),
}
FONTS = ("roboto", "lora", "oswald", "source-code-pro", "merriweather", "nunito")
MIXED = "mixed"  # a ground of no single colour
GROUNDS = (*BACKGROUNDS, "black", MIXED)  # what the ground of any world is called
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LETTERS = CHARACTERS + "abcdefghijklmnopqrstuvwxyz"  # of the prints of any world


@dataclass(frozen=True)
class World:
    """What scenes hold; sizes in pixels of a picture of RESOLUTION.

    `counts` are the chances of one object, two and so on, () of none at all; `smallest` and
    `largest` bound the longer side of an object, `largest` by how many there are at most; `letters`
    bounds the height of capitals.
    """

    counts: tuple[float, ...]
    smallest: float
    largest: tuple[tuple[int, float], ...]
    letters: tuple[float, float]

    def largest_of(self, count: int) -> float:
        """The longest side where there are `count` objects."""
        return next(side for most, side in self.largest if count <= most)

    def draw(self, seed: int, resolution: int, styles: tuple[str, ...]) -> Scene:
        """The scene of `seed` in this world."""
        return _draw(self, seed, resolution, styles)


USUAL = World(
    counts=(0.16, 0.2, 0.2, 0.18, 0.14, 0.12),
    smallest=24,
    largest=((3, 140), (6, 96)),
    letters=(12, 46),
)
# What 224 pixels are too few for.
FINE = World(
    counts=(0.04, 0.06, 0.08, 0.1, 0.12, 0.12, 0.12, 0.12, 0.12, 0.12),
    smallest=12,
    largest=((3, 140), (6, 96), (10, 64)),
    letters=(7, 24),
)
BARE = World(counts=(), smallest=24, largest=((0, 24),), letters=(12, 46))


@dataclass(frozen=True)
class SceneObject:
    """An object as it can be seen: `mask` is bool[H, W] of its visible pixels, the box fits it."""

    noun: sprites.Noun
    style: str
    box_xyxy_px: tuple[int, int, int, int]
    mask: np.ndarray

    @property
    def name(self) -> str:
        """The English name."""
        return self.noun.name

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle of the box in pixels."""
        x_min, y_min, x_max, y_max = self.box_xyxy_px
        return (x_min + x_max) / 2, (y_min + y_max) / 2

    @property
    def area(self) -> int:
        """Visible pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Print:
    """A printed word: its text, letter height in pixels and one (char, x_min, x_max) per letter.

    `heights` are (y_min, y_max) of each letter where the word is turned, else those of the box.
    """

    text: str
    ink: str
    height_px: int
    box_xyxy_px: tuple[int, int, int, int]
    letters: tuple[tuple[str, float, float], ...]
    heights: tuple[tuple[float, float], ...] = ()

    def placed(self) -> Iterator[tuple[str, float, float, float, float]]:
        """(char, x_min, y_min, x_max, y_max) of each letter."""
        _, top, _, bottom = self.box_xyxy_px
        heights = self.heights or ((top, bottom),) * len(self.letters)
        for (char, left, right), (low, high) in zip(self.letters, heights, strict=True):
            yield char, left, low, right, high


@dataclass(frozen=True)
class Scene:
    """`image` is RGB; objects stand in reading order of their centers.

    `background` is one of GROUNDS. Other canvases than square ones are squashed to a square before
    anything is trained on them, as the processor does it, and masks and boxes with them.
    """

    seed: int
    image: Image.Image
    objects: tuple[SceneObject, ...]
    background: str
    print: Print | None
    traits: Traits = OWN


@dataclass
class _Canvas:
    """What is being painted: pixels, and which object owns each pixel (-1 = background)."""

    image: Image.Image
    owner: np.ndarray


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(sprites.HERE / "fonts" / f"{name}-latin-700-normal.woff2"), size)


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _background(rng: np.random.Generator, colour: str, size: int) -> Image.Image:
    """A ground of the named colour: plain, graded or textured."""
    base = np.array(BACKGROUNDS[colour], np.float32) + rng.uniform(-14, 14, 3).astype(np.float32)
    kind = int(rng.integers(5))
    if kind <= 1:
        return Image.new("RGB", (size, size), tuple(int(c) for c in base.clip(0, 255)))
    small = size // 8
    if kind == 2:  # graded
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.linspace(-1, 1, small, dtype=np.float32)
        tone = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
        tone = tone * rng.uniform(10, 26)
    elif kind == 3:  # stripes or checks
        period = rng.uniform(2.5, 7)
        axis = np.arange(small, dtype=np.float32)
        wave = np.sign(np.sin(axis * 2 * np.pi / period))
        tone = (wave[None, :] if rng.random() < 0.5 else wave[:, None]) * np.ones((small, small))
        if rng.random() < 0.4:
            tone = wave[None, :] * wave[:, None]
        tone = tone * rng.uniform(4, 12)
    else:  # mottled
        coarse = rng.normal(0, 1, (small // 3, small // 3))
        tone = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((small, small)))
        tone = tone * rng.uniform(5, 12)
    pixels = (base[None, None] + tone[..., None]).clip(0, 255).astype(np.uint8)
    resample = Image.Resampling.NEAREST if kind == 3 else Image.Resampling.BILINEAR
    return Image.fromarray(pixels).resize((size, size), resample)


def _sprite(rng: np.random.Generator, noun: sprites.Noun, style: str, side: int) -> Image.Image:
    """The sprite at `side` pixels (longer side), mirrored, turned and tinted a little."""
    art = sprites.load((style,))[noun.index, style]
    scale = side / max(art.size)
    art = art.resize(
        (max(4, round(art.width * scale)), max(4, round(art.height * scale))),
        Image.Resampling.BILINEAR,
        reducing_gap=2.0,
    )
    if rng.random() < 0.5:
        art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.6:
        art = art.rotate(rng.uniform(-14, 14), Image.Resampling.BICUBIC, expand=True)
    alpha = art.getchannel("A")
    if rng.random() < 0.5:
        art = ImageEnhance.Brightness(art).enhance(rng.uniform(0.85, 1.15))
        art = ImageEnhance.Color(art).enhance(rng.uniform(0.8, 1.2))
        art.putalpha(alpha)
    box = alpha.point(lambda a: 255 * (a > 100)).getbbox()
    return art.crop(box) if box else art


def _place(rng: np.random.Generator, canvas: _Canvas, art: Image.Image, visible: list[int]) -> bool:
    """Pastes `art` where it hides no earlier object by more than a third; False if nowhere.

    `visible` holds the pixels that each owner had when it was placed, and grows by one.
    """
    index = len(visible)
    size = canvas.image.width
    solid = np.asarray(art.getchannel("A")) > 100
    if art.width > size - 2 or art.height > size - 2:
        return False
    for attempt in range(14):
        x = int(rng.integers(0, size - art.width))
        y = int(rng.integers(0, size - art.height))
        window = canvas.owner[y : y + art.height, x : x + art.width]
        hidden = np.bincount(window[solid & (window >= 0)], minlength=index)
        allowed = 0.0 if attempt < 7 else 0.30
        if hidden[0] == 0 and all(
            hidden[i] <= allowed * visible[i] - (visible[i] - (canvas.owner == i).sum())
            for i in np.flatnonzero(hidden)
        ):
            canvas.image.paste(art, (x, y), art)
            window[solid] = index
            visible.append(int(solid.sum()))
            return True
    return False


def _text(rng: np.random.Generator) -> str:
    if rng.random() < 0.45:
        return _pick(rng, WORDS)
    return "".join(_pick(rng, CHARACTERS) for _ in range(int(rng.integers(2, 7))))


def _print(
    rng: np.random.Generator, canvas: _Canvas, colour: str, letters: tuple[float, float]
) -> Print | None:
    """Prints a word or code first, so that objects are placed around it."""
    size = canvas.image.width
    unit = size / RESOLUTION
    text = _text(rng)
    cap_height = float(np.exp(rng.uniform(*np.log(letters)))) * unit
    name = _pick(rng, FONTS)
    font = _font(name, max(6, round(cap_height / 0.71)))
    left, top, right, bottom = map(int, font.getbbox(text))
    while right - left > size - 12 * unit and font.size > 8:
        font = _font(name, font.size - 1)
        left, top, right, bottom = map(int, font.getbbox(text))
    width, height = right - left, bottom - top
    x = int(rng.integers(4, max(5, size - width - 4)))
    y = int(rng.integers(4, max(5, size - height - 4)))
    ground = np.array(BACKGROUNDS[colour])
    contrasted = [ink for ink, rgb in INKS.items() if abs(np.array(rgb) - ground).sum() > 210]
    ink = _pick(rng, contrasted)
    ImageDraw.Draw(canvas.image).text((x - left, y - top), text, font=font, fill=INKS[ink])
    edges = [font.getlength(text[: i + 1]) for i in range(len(text))]
    starts = [0.0, *edges[:-1]]
    placed = tuple(
        (c, x - left + a, x - left + b) for c, a, b in zip(text, starts, edges, strict=True)
    )
    pad = max(1, round(2 * unit))
    canvas.owner[max(0, y - pad) : y + height + pad, max(0, x - pad) : x + width + pad] = 0
    return Print(text, ink, int(height), (x, y, x + width, y + height), placed)


def _nouns_for(
    rng: np.random.Generator, count: int, nouns: Sequence[sprites.Noun]
) -> list[sprites.Noun]:
    """Kinds for `count` objects; repeats are common, so that counting means something."""
    kinds: list[sprites.Noun] = []
    while len(kinds) < count:
        repeats = kinds and rng.random() < 0.35
        kinds.append(_pick(rng, kinds if repeats else nouns))
    return kinds


def seen(
    owner: np.ndarray, placed: Sequence[tuple[int, sprites.Noun, str]]
) -> tuple[SceneObject, ...]:
    """What can be seen of (owner, noun, style) in int8[H, W] of owners, in reading order of their
    centers; one that is hidden whole is no object."""
    found = []
    for index, noun, style in placed:
        mask = owner == index
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            found.append(SceneObject(noun, style, box, mask))
    line = len(owner) / 4
    return tuple(sorted(found, key=lambda o: (o.center[1] // line, o.center[0])))


def draw(
    seed: int,
    resolution: int = RESOLUTION,
    styles: tuple[str, ...] = sprites.STYLES,
    world: World = USUAL,
) -> Scene:
    """The scene of `seed` in a world: `resolution` pixels a side, objects drawn in `styles`."""
    return world.draw(seed, resolution, styles)


def _draw(world: World, seed: int, resolution: int, styles: tuple[str, ...]) -> Scene:
    rng = np.random.default_rng(seed)
    unit = resolution / RESOLUTION
    colour = _pick(rng, list(BACKGROUNDS))
    owner = np.full((resolution, resolution), -1, np.int8)
    canvas = _Canvas(_background(rng, colour, resolution), owner)
    count = 1 + int(rng.choice(len(world.counts), p=world.counts)) if world.counts else 0
    # 1. The word takes index 0 of the owners, and may not be hidden at all.
    word = _print(rng, canvas, colour, world.letters) if rng.random() < 0.7 else None
    visible = [0]
    # 2. Objects, from large to small so that small ones are not buried.
    low, high = np.log((world.smallest, world.largest_of(count)))
    sides = sorted(np.exp(rng.uniform(low, high, count)) * unit, reverse=True)
    placed = []
    kinds = _nouns_for(rng, count, sprites.drawn_in(styles))
    for noun, side in zip(kinds, sides, strict=True):
        style = _pick(rng, styles)
        art = _sprite(rng, noun, style, max(8, round(side)))
        index = len(visible)
        if _place(rng, canvas, art, visible):
            placed.append((index, noun, style))
        elif not placed and side == sides[-1]:
            art = _sprite(rng, noun, style, round((world.smallest + 2) * unit))
            if _place(rng, canvas, art, visible):
                placed.append((index, noun, style))
    objects = seen(owner, placed)
    image = canvas.image
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * unit))
    return Scene(seed, image, objects, colour, word)
