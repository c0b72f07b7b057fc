"""A result as JSON: one form for the page's API, the command line and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.masks import rle
from models.schema import Detection, Result, Timings


def result_to_json(result: Result, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A result as a dictionary that `json.dumps` takes; `docs/api.md` has it as a table.

    `notes` are what `models.images` changed about the picture; they stand before the result's own.
    """
    return {
        "text": result.text,
        "detections": [detection_to_json(each) for each in result.detections],
        "invalid_objects": result.invalid_objects,
        "prompt": result.prompt,
        "checkpoint": result.checkpoint,
        "adapter": result.adapter,
        "finish_reason": result.finish_reason,
        "notes": [*notes, *result.notes],
        "token_ids": list(result.token_ids),
        "timings": timings_to_json(result.timings),
    }


def detection_to_json(detection: Detection) -> dict[str, Any]:
    """Label, box in pixels with two decimals, confidence with three or None, and mask as COCO's
    run lengths or None."""
    mask = None if detection.mask is None else rle.encode(detection.mask)
    box = [round(edge, 2) for edge in detection.box_xyxy_px]
    sure = detection.confidence
    sure = None if sure is None else round(sure, 3)
    return {"label": detection.label, "box_xyxy_px": box, "confidence": sure, "mask": mask}


def timings_to_json(timings: Timings) -> dict[str, Any]:
    """Seconds with three decimals, the number of tokens, and their rate after the first."""
    return {
        "wait_s": round(timings.wait_s, 3),
        "load_s": round(timings.load_s, 3),
        "first_token_s": round(timings.first_token_s, 3),
        "decode_s": round(timings.decode_s, 3),
        "tokens": timings.tokens,
        "tokens_per_s": round(timings.tokens_per_s, 1),
    }
