"""Objects that an answer says again: fine-tunes may write one box until the token limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from models.matching import SAME_FROM, PixelBox, box_iou
from models.schema import Detection


class Boxed(Protocol):
    """An object with a label and a box in pixels."""

    @property
    def label(self) -> str:
        """What it is."""
        ...

    @property
    def box_xyxy_px(self) -> PixelBox:
        """Where it is."""
        ...


Object = TypeVar("Object", bound=Boxed)


def distinct(detections: Sequence[Object]) -> tuple[Object, ...]:
    """The objects in order, without those whose label and box (IoU ≥ SAME_FROM) came before."""
    kept: list[Object] = []
    for each in detections:
        if not any(
            each.label == other.label and box_iou(each.box_xyxy_px, other.box_xyxy_px) >= SAME_FROM
            for other in kept
        ):
            kept.append(each)
    return tuple(kept)


def note(detections: Sequence[Detection]) -> tuple[str, ...]:
    """A sentence on how many are shown once with another; none where there are none."""
    again = len(detections) - len(distinct(detections))
    if again == 1:
        return ("1 box repeats another of its label and is shown once with it.",)
    return (f"{again} boxes repeat others of their label and are shown once.",) if again else ()
