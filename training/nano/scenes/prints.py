"""Print of the wide world: on the ground, on plates, labels and signs, over things, turned.

A print is drawn on a tile of its own, which is turned, stretched as the canvas is, and put on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from training.nano.scenes import typefaces
from training.nano.scenes.canvas import Rectangle, Shape
from training.nano.scenes.palette import apart, as_rgb, colour
from training.nano.scenes.scene import CHARACTERS, INKS, LETTERS, Print
from training.nano.scenes.things import PRINT, SOLID, Board
from training.nano.scenes.words import WORDS

KINDS = {"none": 0.3, "plain": 0.24, "plate": 0.14, "label": 0.12, "sign": 0.1, "over": 0.1}
SMALLEST, LARGEST = 12, 46  # height of capitals in units
_CONTRAST = 230
_OVER_TRIES = 10
_OVER_AT_MOST = 0.2  # of an object's pixels may lie below print


@dataclass(frozen=True)
class Tile:
    """A print that is ready to be put on: RGBA, the ink alone, and the letters' places on it.

    `letters` are (char, x_min, y_min, x_max, y_max); the box fits the ink.
    """

    image: Image.Image
    ink: Image.Image
    text: str
    tone: str
    letters: tuple[tuple[str, float, float, float, float], ...]

    @property
    def box(self) -> Rectangle:
        return self.ink.point(lambda a: 255 * (a > 60)).getbbox() or (0, 0, *self.ink.size)


def text_of(rng: np.random.Generator, capitals_only: bool) -> str:
    """A word or a code: capitals six times of ten, else lower case, a capital first, or both."""
    word = rng.random() < 0.5
    case = 0.0 if capitals_only else rng.random()
    if word:
        text = WORDS[int(rng.integers(len(WORDS)))]
        return text if case < 0.5 else text.lower() if case < 0.8 else text.capitalize()
    pool = CHARACTERS if case < 0.7 else LETTERS[26:] if case < 0.9 else LETTERS
    return "".join(pool[int(i)] for i in rng.integers(len(pool), size=int(rng.integers(2, 8))))


def _distant(rng: np.random.Generator, ground: np.ndarray) -> tuple[str, np.ndarray]:
    """An ink that is seen on a ground: a named one half of the time."""
    named = [(name, np.array(rgb, np.float32)) for name, rgb in INKS.items()]
    far = [each for each in named if np.abs(each[1] - ground).sum() >= _CONTRAST]
    if far and rng.random() < 0.6:
        return far[int(rng.integers(len(far)))]
    return "", apart(rng, ground, _CONTRAST)


def tile(
    rng: np.random.Generator,
    canvas: Shape,
    kind: str,
    ground: np.ndarray,
    busy: bool,
    most_px: float,
) -> Tile:
    """A print of a kind for a ground of about that colour; on a `busy` one it has an edge.

    The letters together are at most `most_px` wide in the square.
    """
    family = typefaces.any_of(rng)
    text = text_of(rng, family in typefaces.CAPITALS_ONLY)
    sharp = max(canvas.sx, canvas.sy)
    height = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))) * sharp
    size = max(6, round(height / 0.71))
    room = most_px * sharp / canvas.sx
    font = typefaces.load(family, size)
    long = font.getlength(text)
    if long > room:
        size = max(6, int(size * room / long * 0.87))
        font = typefaces.load(family, size)
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    pad = max(2, round(size * rng.uniform(0.15, 0.5)))
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    image = Image.new("RGBA", (wide, high))
    pen = ImageDraw.Draw(image)
    edge = 0
    if kind in ("plate", "label", "sign"):
        back = colour(rng)
        tone, ink = _distant(rng, back)
        _plate(rng, pen, kind, (wide, high), as_rgb(back), as_rgb(ink))
    else:
        tone, ink = _distant(rng, ground)
        edge = max(1, round(size / 14)) if busy or kind == "over" or rng.random() < 0.1 else 0
    at = (pad - left, pad - top)
    opposite = apart(rng, ink, 330)
    pen.text(at, text, (*as_rgb(ink), 255), font, stroke_width=edge,
             stroke_fill=(*as_rgb(opposite), 255))  # fmt: skip
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).text(at, text, 255, font, stroke_width=edge)
    ends = [font.getlength(text[: i + 1]) for i in range(len(text))]
    places = tuple(
        (c, at[0] + a, float(pad), at[0] + b, float(pad + bottom - top))
        for c, a, b in zip(text, [0.0, *ends[:-1]], ends, strict=True)
    )
    flat = Tile(image, mask, text, tone or "other", places)
    angle = float(np.clip(rng.normal(0, 4), -12, 12)) if rng.random() < 0.5 else 0.0
    return _fitted(flat, angle, canvas.sx / sharp, canvas.sy / sharp)


def _plate(
    rng: np.random.Generator,
    pen: ImageDraw.ImageDraw,
    kind: str,
    size: tuple[int, int],
    back: tuple[int, int, int],
    ink: tuple[int, int, int],
) -> None:
    """What the print stands on: a bare plate, a label with an edge or a sign with a rim."""
    wide, high = size
    box = (0, 0, wide - 1, high - 1)
    if kind == "plate":
        radius = rng.uniform(0, 0.5) * high if rng.random() < 0.6 else 0
        opaque = 255 if rng.random() < 0.8 else int(rng.integers(170, 255))
        pen.rounded_rectangle(box, radius, (*back, opaque))
    elif kind == "label":
        rim = max(1, high // 16)
        pen.rounded_rectangle(box, high * 0.12, (*back, 255), (*ink, 255), rim)
        if rng.random() < 0.4:  # a strip as on a badge
            pen.rectangle((rim, rim, wide - 1 - rim, max(rim, high // 9)), (*ink, 255))
    else:
        cut = min(high / 2.2, wide / 3)
        right = wide - 1 if rng.random() < 0.5 else wide - 1 - cut / 3
        corners = [(0, high / 2), (cut / 3, 0), (right, 0), (wide - 1, high / 2),
                   (right, high - 1), (cut / 3, high - 1)]  # fmt: skip
        pen.polygon(corners, (*back, 255), (*ink, 255), max(1, high // 18))


def _fitted(flat: Tile, angle: float, across: float, down: float) -> Tile:
    """A tile turned by `angle` degrees and stretched by the two factors, letters with it."""
    image, ink = flat.image, flat.ink
    middle = image.width / 2, image.height / 2
    if angle:
        image = image.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        ink = ink.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    new = image.width / 2, image.height / 2
    size = max(2, round(image.width * across)), max(2, round(image.height * down))
    across, down = size[0] / image.width, size[1] / image.height
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
        ink = ink.resize(size, Image.Resampling.BILINEAR)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    letters = []
    for char, x_min, y_min, x_max, y_max in flat.letters:
        x, y = (x_min + x_max) / 2 - middle[0], (y_min + y_max) / 2 - middle[1]
        x, y = x * cos + y * sin + new[0], y * cos - x * sin + new[1]
        wide, high = (x_max - x_min) / 2, (y_max - y_min) / 2
        letters.append((char, (x - wide) * across, (y - high) * down,
                        (x + wide) * across, (y + high) * down))  # fmt: skip
    return Tile(image, ink, flat.text, flat.tone, tuple(letters))


def _place_for(rng: np.random.Generator, region: Rectangle, size: tuple[int, int]) -> Rectangle:
    """A random place for `size` within a region, which it has to fit in."""
    left, top, right, bottom = region
    x = int(rng.integers(left, max(left, right - size[0]) + 1))
    y = int(rng.integers(top, max(top, bottom - size[1]) + 1))
    return x, y, x + size[0], y + size[1]


def put(
    rng: np.random.Generator, board: Board, canvas: Shape, panels: tuple[Rectangle, ...], kind: str
) -> Print | None:
    """Puts a print of `kind` on the board and owns its pixels; None where none fits."""
    region = panels[int(rng.integers(len(panels)))]
    pixels = np.asarray(board.image.crop(region).resize((16, 16), Image.Resampling.BOX), np.float32)
    ground, busy = pixels.mean((0, 1)), float(pixels.std((0, 1)).sum()) > 45
    made = tile(rng, canvas, kind, ground, busy, 0.86 * (region[2] - region[0]))
    room = (region[2] - region[0], region[3] - region[1])
    if made.image.width > room[0] or made.image.height > room[1]:
        shrink = min(room[0] / made.image.width, room[1] / made.image.height) * 0.98
        made = _fitted(made, 0.0, shrink, shrink)
    tries = _OVER_TRIES if kind == "over" else 1
    for _ in range(tries):
        x, y, right, bottom = _place_for(rng, region, made.image.size)
        window = board.owner[y:bottom, x:right]
        inked = np.asarray(made.ink)[: window.shape[0], : window.shape[1]] > SOLID
        owners = np.bincount(window[inked & (window > 0)], minlength=len(board.visible))
        if all(owners[i] <= _OVER_AT_MOST * board.visible[i] for i in np.flatnonzero(owners)):
            break
    else:
        return None
    board.image.paste(made.image, (x, y), made.image)
    if kind == "over":
        window[inked] = PRINT
    else:
        window[:] = PRINT
    left, top, low, bottom = made.box
    box = (x + left, y + top, x + low, y + bottom)
    return Print(
        made.text, made.tone, max(1, round(_tall(made))), box,
        tuple((c, x + a, x + b) for c, a, _, b, _ in made.letters),
        tuple((y + a, y + b) for _, _, a, _, b in made.letters),
    )  # fmt: skip


def _tall(made: Tile) -> float:
    """The height of the letters in pixels, of the word as if it were not turned."""
    _, _, top, _, bottom = made.letters[0]
    return bottom - top
