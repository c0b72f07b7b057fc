"""The `bbox` of an annotation: x, y, width, height in pixels -> corners, or why it is none.

Tools also write nothing where an outline says it, sides that are negative, a rectangle's turn
beside it, names for the four numbers, and all of it as a text; what was meant is read. Corners,
fractions or percent in place of sides in pixels are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from data.changes import Changes
from data.coco_pictures import Picture
from data.outlines import Corners, Outline
from models.matching import box_iou
from models.schema import UserError, quoted

FROM_OUTLINE = "boxes read from their outlines"
FLIPPED = "boxes of negative width or height, read from the other corner"
TURNED = "rectangles that are turned, read as the box around them"
_FITS, _MISSES = 0.9, 0.5  # IoU of a box with its outline's, from or below which it is sure
_AREA_FITS, _AREA_MISSES = 0.01, 0.05  # of the area
_SIDES = (("x", "y", "width", "height"), ("x", "y", "w", "h"))  # names of the four numbers


def corners(
    annotation: dict, outline: Outline | None, picture: Picture, changes: Changes
) -> Corners | None:
    """(x_min, y_min, x_max, y_max) in pixels of the picture's frame, not cut at its edges.

    None where the box is empty and nothing else says where the object is. UserError, naming the
    annotation, where it has no box or contradicts itself.
    """
    id, box = annotation.get("id"), numbers(annotation)
    around = _around(outline, picture, is_needed=box is None)
    if box is None:
        if around is None and annotation.get("bbox") is None:
            raise UserError(
                f"Annotation {id} has neither a bbox nor a segmentation.", "Take it out."
            )
        if around is not None:
            changes.count(FROM_OUTLINE, f"annotation {id}")
        return around
    x, y, w, h = box
    if w < 0 or h < 0:
        changes.count(FLIPPED, f"annotation {id}")
        x, y, w, h = min(x, x + w), min(y, y + h), abs(w), abs(h)
    turn = _turn(annotation)
    if turn and around is not None:
        return around
    if turn:
        changes.count(TURNED, f"annotation {id}")
        return _around_turned(x, y, w, h, turn)
    _check(annotation, (x, y, w, h), around, picture)
    return x, y, x + w, y + h


def numbers(annotation: dict) -> tuple[float, float, float, float] | None:
    """x, y, width, height; None where they are missing, empty or all zero. UserError as above."""
    id, given = annotation.get("id"), annotation.get("bbox")
    if given is None or given == []:
        return None
    try:
        found = tuple(map(_number, _listed(given)))
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"Annotation {id} has the bbox {quoted(given)}.", "Write x, y, width, height in pixels."
        ) from None
    if len(found) != 4:
        raise UserError(
            f"The bbox of annotation {id} has {len(found)} numbers.",
            "Write x, y, width, height; of a rectangle that is turned, those of the box around it.",
        )
    if not all(map(math.isfinite, found)):
        raise UserError(f"Annotation {id} has no finite bbox.", "Mend it, or take it out.")
    x, y, w, h = found
    return (x, y, w, h) if any(found) else None


def _listed(given: Any) -> Any:
    """The four numbers in a list, of whatever a tool has put them in."""
    if isinstance(given, str):
        given = json.loads(given)
    if isinstance(given, dict):
        names = next((names for names in _SIDES if given.keys() >= set(names)), ())
        return [given[name] for name in names] or given
    is_wrapped = isinstance(given, list) and len(given) == 1 and isinstance(given[0], list)
    return given[0] if is_wrapped else given


def _number(given: Any) -> float:
    if isinstance(given, bool):
        raise TypeError("no number")
    return float(given)


def check_pixels(annotations: Sequence[dict]) -> None:
    """UserError where all boxes are fractions of their pictures, as YOLO has them."""
    found = [(each.get("id"), box) for each in annotations if (box := numbers(each))]
    has_sides = [(id, box) for id, box in found if box[2] > 0 and box[3] > 0]
    if has_sides and all(max(map(abs, box)) <= 1 for _, box in has_sides):
        raise UserError(
            f"The bbox of annotation {has_sides[0][0]}, and of all others, is in fractions.",
            "Multiply them by the width and height of their pictures.",
        )


def _turn(annotation: dict) -> float:
    """Degrees clockwise about its centre by which CVAT says that a rectangle is turned."""
    attributes = annotation.get("attributes")
    given: Any = attributes.get("rotation", 0) if isinstance(attributes, dict) else 0
    try:
        degrees = float(given or 0) % 360
    except (TypeError, ValueError):
        return 0.0
    return degrees if 0.01 < degrees < 359.99 else 0.0


def _around_turned(x: float, y: float, w: float, h: float, degrees: float) -> Corners:
    sine, cosine = (abs(f(math.radians(degrees))) for f in (math.sin, math.cos))
    half_w, half_h = (w * cosine + h * sine) / 2, (w * sine + h * cosine) / 2
    x, y = x + w / 2, y + h / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


def _around(outline: Outline | None, picture: Picture, is_needed: bool) -> Corners | None:
    """The box around an outline; of run lengths only where it is needed."""
    if outline is None:
        return None
    if outline.polygons or not is_needed:
        return outline.corners()
    mask = outline.mask(picture.height, picture.width)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _check(annotation: dict, box: Corners, around: Corners | None, picture: Picture) -> None:
    """UserError where a box (x, y, width, height) is not where the outline is, or does not have the
    area: it has corners in place of sides, or is in percent or fractions of the picture."""
    x, y, w, h = box
    id, area = annotation.get("id"), _area(annotation)
    if around is None and not area:
        return

    def fits(x: float, y: float, w: float, h: float, iou: float, off: float) -> bool:
        if around is not None:
            return box_iou((x, y, x + w, y + h), around) >= iou
        return abs(w * h - area) <= off * area

    if fits(x, y, w, h, _MISSES, _AREA_MISSES):
        return
    if w > x and h > y and fits(x, y, w - x, h - y, _FITS, _AREA_FITS):
        raise UserError(
            f"The bbox of annotation {id} has two corners.", "Write x, y, width, height."
        )
    for whole, unit in ((1, "fractions"), (100, "percent")):
        by_x, by_y = picture.width / whole, picture.height / whole
        if max(x + w, y + h) <= whole and fits(
            x * by_x, y * by_y, w * by_x, h * by_y, _FITS, _AREA_FITS
        ):
            raise UserError(
                f"The bbox of annotation {id} is in {unit} of its picture.", "Write pixels."
            )
    if around is not None:
        raise UserError(
            f"The bbox and the segmentation of annotation {id} are in different places.",
            "Mend one of them, or take it out.",
        )


def _area(annotation: dict) -> float:
    """The area that an annotation gives; 0 where it gives none."""
    given: Any = annotation.get("area")
    is_real = isinstance(given, int | float) and not isinstance(given, bool)
    return float(given) if is_real and given > 0 else 0.0
