"""Detections drawn for a LayeredImage: the picture at a size to look at, one layer an object."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.schema import Box, Detection

SHORTEST_SHOWN = 640  # px of the longer side; a 224 px picture is enlarged so that lines are fine
LONGEST_SHOWN = 1280  # px of the longer side; layers of a larger one would be slow to send
MOST_DRAWN = 50  # objects; a layer each is sent to the browser
BOX_FILL = 46  # opacity of 255
MASK_FILL = 128


def distinct_labels(detections: Sequence[Detection]) -> list[str]:
    """One label an object: "cat" alone, or "cat 1", "cat 2" where there are several."""
    names = [detection.label or "object" for detection in detections]
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(f"{name} {seen[name]}" if names.count(name) > 1 else name)
    return labels


def annotate(
    image: Image.Image, detections: Sequence[Detection], labels: Sequence[str]
) -> tuple[Image.Image, list[tuple[Image.Image, str]]]:
    """RGB picture, and layers of mode L with their labels.

    Only the first MOST_DRAWN objects are drawn.
    """
    shown = _at_viewing_size(image)
    drawn = detections[:MOST_DRAWN]
    layers = [_layer(shown.size, each.box_yxyx_norm, each.mask) for each in drawn]
    return shown, list(zip(layers, labels[:MOST_DRAWN], strict=True))


def _at_viewing_size(image: Image.Image) -> Image.Image:
    longer = max(image.size)
    scale = min(max(longer, SHORTEST_SHOWN), LONGEST_SHOWN) / longer
    if scale == 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(size, Image.Resampling.LANCZOS)


def _layer(size: tuple[int, int], box: Box, mask: np.ndarray | None) -> Image.Image:
    """Opacity in mode L: a framed box, and inside it the mask where there is one."""
    width, height = size
    layer = np.zeros((height, width), np.uint8)
    line = max(2, round(max(size) / 320))
    left, top, right, bottom = (round(edge) for edge in box.to_xyxy_px(width, height))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    layer[top:bottom, left:right] = 255
    inner = (slice(top + line, max(bottom - line, 0)), slice(left + line, max(right - line, 0)))
    layer[inner] = 0 if mask is not None else BOX_FILL
    if mask is not None:
        resized = Image.fromarray(mask.astype(np.uint8) * 255).resize(size)
        inside = np.asarray(resized) > 127
        layer[inside] = np.maximum(layer[inside], MASK_FILL)
    return Image.fromarray(layer)
