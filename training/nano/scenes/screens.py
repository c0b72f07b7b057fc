"""Screenshots, documents and charts: pictures that a program draws."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from training.nano.scenes import typefaces
from training.nano.scenes.palette import apart, as_rgb, colour, light
from training.nano.scenes.words import WORDS

Colour = tuple[int, int, int]


def _lines(
    rng: np.random.Generator,
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    ink: Colour,
    height: float,
) -> None:
    """Lines of small print or of bars that stand for it."""
    left, top, right, bottom = box
    if right - left < 12:
        return
    printed = rng.random() < 0.5
    face = typefaces.load(typefaces.any_of(rng), max(5, round(height))) if printed else None
    y = top
    while y + height < bottom:
        end = right - (rng.uniform(0, 0.5) * (right - left) if rng.random() < 0.4 else 0)
        if face:
            count = max(1, int((end - left) / (height * 2.6)))
            picked = (WORDS[i].lower() for i in rng.integers(len(WORDS), size=count))
            pen.text((left, y), " ".join(picked), ink, face)
        else:
            x = left
            while x < end:
                long = rng.uniform(1, 5) * height
                pen.rectangle((x, y, min(x + long, end), y + height * 0.55), ink)
                x += long + height * 0.5
        y += height * rng.uniform(1.4, 1.9)


def screenshot(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """uint8[height, width, 3]: a window or a page with bars, boxes, buttons and small print."""
    dark = rng.random() < 0.3
    back = np.full(3, rng.uniform(12, 50), np.float32) if dark else light(rng)
    ink = as_rgb(np.full(3, rng.uniform(150, 220)) if dark else np.full(3, rng.uniform(40, 150)))
    image = Image.new("RGB", (width, height), as_rgb(back))
    pen = ImageDraw.Draw(image)
    bar = rng.uniform(0.05, 0.14) * height
    pen.rectangle((0, 0, width, bar), as_rgb(colour(rng)))
    for i in range(int(rng.integers(0, 5))):
        x = bar * (0.6 + 0.9 * i)
        pen.ellipse((x - bar * 0.2, bar * 0.3, x + bar * 0.2, bar * 0.7), as_rgb(colour(rng)))
    left = 0.0
    if rng.random() < 0.5:
        left = rng.uniform(0.1, 0.3) * width
        pen.rectangle((0, bar, left, height), as_rgb(back + rng.uniform(-26, 26)))
        _lines(rng, pen, (4, bar + 6, left - 4, height), ink, rng.uniform(4, 7))
    y = bar + 5
    while y < height - 10:
        tall = rng.uniform(0.1, 0.5) * height
        box = (left + 5, y, width - 5, min(y + tall, height - 3))
        if box[2] - box[0] < 10 or box[3] - box[1] < 6:
            break
        kind = rng.random()
        if kind < 0.5:
            _lines(rng, pen, box, ink, rng.uniform(4, 8))
        elif kind < 0.8:
            fill = as_rgb(colour(rng) if rng.random() < 0.4 else back + rng.uniform(-20, 20))
            pen.rounded_rectangle(box, rng.uniform(0, 6), fill, ink if rng.random() < 0.5 else None)
        y += tall + rng.uniform(3, 12)
    return np.asarray(image)


def document(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """uint8[height, width, 3]: a page of print in one or two columns, with headings."""
    paper = light(rng)
    image = Image.new("RGB", (width, height), as_rgb(paper))
    pen = ImageDraw.Draw(image)
    ink, edge = as_rgb(paper - rng.uniform(120, 240)), rng.uniform(0.04, 0.12) * width
    size = rng.uniform(4, 9)
    columns = int(rng.integers(1, 3))
    for column in range(columns):
        left = edge + column * (width - edge) / columns
        right = edge + (column + 1) * (width - edge) / columns - edge / 2
        y = rng.uniform(0.03, 0.12) * height
        if rng.random() < 0.6:
            pen.rectangle((left, y, left + rng.uniform(0.3, 0.8) * (right - left), y + size), ink)
            y += size * 2
        while y < height - 2 * size:
            end = min(height - size, y + rng.uniform(0.1, 0.5) * height)
            _lines(rng, pen, (left, y, right, end), ink, size)
            y = end + size * 1.5
    return np.asarray(image)


def chart(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """uint8[height, width, 3]: bars, lines, points or a pie, with axes and a grid."""
    back = light(rng) if rng.random() < 0.8 else colour(rng)
    image = Image.new("RGB", (width, height), as_rgb(back))
    pen = ImageDraw.Draw(image)
    ink = as_rgb(apart(rng, back, 250))
    left, top, right, bottom = 0.1 * width, 0.08 * height, 0.95 * width, 0.9 * height
    kind = rng.random()
    if kind < 0.25:
        cuts = np.sort(rng.uniform(0, 360, int(rng.integers(2, 8))))
        inset = 0.1 * min(width, height)
        box = (inset, inset, min(width, height) - inset, min(width, height) - inset)
        for start, stop in zip(cuts, [*cuts[1:], cuts[0] + 360], strict=True):
            pen.pieslice(box, float(start), float(stop), as_rgb(colour(rng)), ink)
        return np.asarray(image)
    for i in range(int(rng.integers(0, 7))):
        y = top + (bottom - top) * i / 6
        pen.line((left, y, right, y), as_rgb(back - 30))
    count = int(rng.integers(3, 12))
    x = np.linspace(left, right, count + 1)
    for _ in range(1 if kind < 0.6 else int(rng.integers(1, 4))):
        tone = as_rgb(apart(rng, back, 120))
        tops = bottom - rng.random(count + 1) * (bottom - top)
        if kind < 0.6:
            for i in range(count):
                gap = (x[1] - x[0]) * 0.2
                pen.rectangle((x[i] + gap / 2, tops[i], x[i + 1] - gap / 2, bottom), tone)
        elif kind < 0.85:
            pen.line([(float(a), float(b)) for a, b in zip(x, tops, strict=True)], tone, 2)
        else:
            for a, b in zip(x, tops, strict=True):
                pen.ellipse((a - 3, b - 3, a + 3, b + 3), tone)
    pen.line((left, top, left, bottom, right, bottom), ink)
    return np.asarray(image)
