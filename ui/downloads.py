"""What can be taken away from an answer, as one file: the drawn picture, masks, cut-outs, JSON.

Where masks or cut-outs are several they are a ZIP of PNGs. The same answer makes the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from models.masks.repeats import distinct
from models.schema import Detection, Result, UserError
from ui.drawing import annotated
from ui.pictures import MOST_DRAWN, distinct_colours, distinct_labels

LONGEST_NAME = 40  # characters of a label in a file's name


@dataclass(frozen=True)
class Download:
    """A file's name and its bytes."""

    name: str
    content: bytes


def picture(image: Image.Image, result: Result, details: Mapping[str, Any]) -> Download:
    """PNG of what `drawn` makes."""
    return Download("annotated.png", _png(drawn(image, result)))


def drawn(image: Image.Image, result: Result) -> Image.Image:
    """RGB picture with masks, boxes and labels on it, as large as the page shows it."""
    shown = _shown(result)
    labels = distinct_labels(distinct(result.detections))[: len(shown)]
    return annotated(image, shown, labels, distinct_colours(image, shown))


def masks(image: Image.Image, result: Result, details: Mapping[str, Any]) -> Download:
    """White on black, L[height, width] of the whole picture, a PNG for each object with a mask."""
    return _together("mask", _masks(result))


def cut_outs(image: Image.Image, result: Result, details: Mapping[str, Any]) -> Download:
    """Each object cut out of the picture: clear around its mask, or the whole of its box where it
    has none."""
    return _together("cut-out", _cut_outs(image, result))


def result_json(image: Image.Image, result: Result, details: Mapping[str, Any]) -> Download:
    """The result as JSON, masks as run lengths: what `/answer` gives.

    What is half of a surrogate pair, which UTF-8 does not have, stands as JSON's escape of it.
    """
    written = json.dumps(details, ensure_ascii=False, indent=2)
    return Download("result.json", f"{written}\n".encode(errors="backslashreplace"))


KINDS: Mapping[str, Callable[[Image.Image, Result, Mapping[str, Any]], Download]] = {
    "picture": picture,
    "masks": masks,
    "cut-outs": cut_outs,
    "json": result_json,
}


def whole_pixels(
    box_xyxy_px: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """All pixels that a box touches: at least one, inside the picture."""
    left = min(int(box_xyxy_px[0]), size[0] - 1)
    top = min(int(box_xyxy_px[1]), size[1] - 1)
    right, bottom = (math.ceil(edge) for edge in box_xyxy_px[2:])
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _shown(result: Result) -> tuple[Detection, ...]:
    if not result.detections:
        raise UserError("No objects were found.", "Ask for objects under Detect or Segment.")
    return distinct(result.detections)[:MOST_DRAWN]


def _named(result: Result) -> Iterator[tuple[str, Detection]]:
    labels = distinct_labels(distinct(result.detections))
    for number, (detection, label) in enumerate(zip(_shown(result), labels, strict=False), start=1):
        slug = re.sub(r"[^\w]+", "-", label).strip("-")[:LONGEST_NAME]
        yield f"{number}-{slug or 'object'}", detection


def _masks(result: Result) -> Iterator[tuple[str, Image.Image]]:
    for name, detection in _named(result):
        if detection.mask is not None:
            yield name, Image.fromarray(detection.mask.astype(np.uint8) * 255)


def _cut_outs(image: Image.Image, result: Result) -> Iterator[tuple[str, Image.Image]]:
    for name, detection in _named(result):
        if detection.mask is None:
            yield name, image.crop(whole_pixels(detection.box_xyxy_px, image.size))
        elif detection.mask.any():
            alpha = Image.fromarray(detection.mask.astype(np.uint8) * 255)
            place = alpha.getbbox()
            cut = image.crop(place)
            cut.putalpha(alpha.crop(place))
            yield name, cut


def _together(kind: str, pictures: Iterator[tuple[str, Image.Image]]) -> Download:
    files = [(f"{kind}-{name}.png", _png(each)) for name, each in pictures]
    if not files:
        raise UserError("The objects have no masks.", "Ask for them under Segment.")
    if len(files) == 1:
        return Download(*files[0])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as together:
        for name, content in files:
            about = zipfile.ZipInfo(name)  # dated 1980: always the same bytes
            about.external_attr = 0o644 << 16
            together.writestr(about, content)
    return Download(f"{kind}s.zip", archive.getvalue())


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
