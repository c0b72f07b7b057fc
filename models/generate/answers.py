"""A result as the JSON that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.masks import rle
from models.schema import Result


def describe(result: Result, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A result as JSON: boxes in pixels of the picture, masks as COCO RLE, seconds.

    `notes` are what `open_image` changed about the picture; the result's own follow them.
    """
    timings = result.timings
    return {
        "text": result.text,
        "detections": [
            {
                "label": detection.label,
                "box_xyxy_px": [round(edge, 2) for edge in detection.box_xyxy_px],
                "mask": None if detection.mask is None else rle.encode(detection.mask),
            }
            for detection in result.detections
        ],
        "invalid_objects": result.invalid_objects,
        "prompt": result.prompt,
        "checkpoint": result.checkpoint,
        "adapter": result.adapter,
        "finish_reason": result.finish_reason,
        "notes": [*notes, *result.notes],
        "timings": {
            "load_s": round(timings.load_s, 3),
            "first_token_s": round(timings.first_token_s, 3),
            "decode_s": round(timings.decode_s, 3),
            "tokens": timings.tokens,
            "tokens_per_s": round(timings.tokens_per_s, 1),
        },
    }
