"""Detections made ready to be drawn: the picture at a size to look at, masks, labels, colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from models.schema import Detection

SHORTEST_SHOWN = 640  # px of the longer side; a 224 px picture is enlarged so that edges are fine
LONGEST_SHOWN = 1280  # px of the longer side; masks of a larger one would be slow to send
MOST_DRAWN = 50  # objects; each mask is a file of its own
MASK_FILL, MASK_EDGE = 110, 255  # opacity of 255
EDGE_PX = 3  # of a mask's outline

# Each is told from the others also by people who see few colours.
COLOURS = (
    "#00b3ff",
    "#ff5a1f",
    "#00d26a",
    "#ff4fc3",
    "#ffd400",
    "#8f5bff",
    "#00e0d0",
    "#ff1f4b",
    "#b6f000",
    "#2f5bff",
)
SAMPLE_PX = 16  # side of the square that an object is reduced to where its colours are compared


def distinct_labels(detections: Sequence[Detection]) -> list[str]:
    """One label an object: "cat" alone, or "cat 1", "cat 2" where there are several."""
    names = [detection.label or "object" for detection in detections]
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(f"{name} {seen[name]}" if names.count(name) > 1 else name)
    return labels


def distinct_colours(image: Image.Image, detections: Sequence[Detection]) -> list[str]:
    """A colour of COLOURS for each object: far from what its box holds, and of those the one used
    least so far."""
    palette = np.array([_rgb(colour) for colour in COLOURS], np.float32)
    used = np.zeros(len(COLOURS))
    chosen = []
    for detection in detections:
        box = detection.box_xyxy_px
        sample = image.resize((SAMPLE_PX, SAMPLE_PX), Image.Resampling.BOX, box=_inside(image, box))
        pixels = np.asarray(sample, np.float32).reshape(-1, 3)
        distances = np.linalg.norm(pixels[:, None] - palette, axis=2)
        near = np.percentile(distances, 5, axis=0)  # what is most alike inside the box
        clear = near >= 0.6 * near.max()
        index = min(np.flatnonzero(clear), key=lambda each: (used[each], -near[each]))
        used[index] += 1
        chosen.append(COLOURS[index])
    return chosen


def _inside(
    image: Image.Image, box: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    """The box in pixels, cut to the picture and at least one pixel wide and high."""
    width, height = image.size
    left, top = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    return left, top, min(max(box[2], left + 1), width), min(max(box[3], top + 1), height)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def at_viewing_size(image: Image.Image) -> Image.Image:
    """The picture with its longer side from SHORTEST_SHOWN to LONGEST_SHOWN pixels."""
    longer = max(image.size)
    scale = min(max(longer, SHORTEST_SHOWN), LONGEST_SHOWN) / longer
    if scale == 1:
        return image
    width, height = image.size
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def mask_layer(size: tuple[int, int], mask: np.ndarray, colour: str) -> Image.Image:
    """RGBA of `size`, clear outside the mask bool[height, width]: filled, with an opaque edge."""
    resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(size)
    inside = resized.point(lambda value: 255 if value > 127 else 0)
    core = inside.filter(ImageFilter.MinFilter(2 * EDGE_PX + 1))
    opacity = np.where(np.asarray(core) > 0, MASK_FILL, np.where(np.asarray(inside), MASK_EDGE, 0))
    layer = Image.new("RGB", size, colour)
    layer.putalpha(Image.fromarray(opacity.astype(np.uint8)))
    return layer
