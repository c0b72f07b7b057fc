"""A result as JSON, and back: one form for the page's API, the command line and evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.limits import MAX_NEW_TOKENS
from models.masks import rle
from models.schema import FINISH_REASONS, Box, Detection, Result, Timings

_LINE_ENDS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}


def json_line(fields: Mapping[str, Any]) -> str:
    """On one line, with its line feed, for every reader, also those that end lines where Unicode
    allows it. What is half of a surrogate pair stays so: write it with `backslashreplace`."""
    return json.dumps(fields, ensure_ascii=False).translate(_LINE_ENDS) + "\n"


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
        "prompt_tokens": result.prompt_tokens,
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


def result_from_json(given: Any, size: tuple[int, int]) -> Result:
    """The result whose JSON this is, of a picture of `size` (width, height) in pixels.

    Whoever sends it may have changed it: ValueError where it is no result of such a picture. The
    notes on the picture are among the result's.
    """
    try:
        found = Result(
            text=_text(given["text"]),
            prompt=_text(given["prompt"]),
            checkpoint=_text(given["checkpoint"]),
            adapter=None if given["adapter"] is None else _text(given["adapter"]),
            detections=tuple(_detection(each, size) for each in given["detections"]),
            invalid_objects=_count(given["invalid_objects"]),
            timings=_timings(given["timings"]),
            finish_reason=_text(given["finish_reason"]),
            notes=tuple(_text(each) for each in given["notes"]),
            token_ids=tuple(_count(each) for each in given["token_ids"]),
            prompt_tokens=_count(given["prompt_tokens"]),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"no result: {error}") from None
    if found.finish_reason not in FINISH_REASONS or len(found.token_ids) > MAX_NEW_TOKENS:
        raise ValueError("no result of a whole answer")
    return found


def _detection(given: Mapping[str, Any], size: tuple[int, int]) -> Detection:
    width, height = size
    x_min, y_min, x_max, y_max = (_number(edge) for edge in given["box_xyxy_px"])
    if not (0 <= x_min <= x_max <= width and 0 <= y_min <= y_max <= height):
        raise ValueError("a box leaves the picture")
    mask, sure = given["mask"], given["confidence"]
    if mask is not None and [_count(edge) for edge in mask["size"]] != [height, width]:
        raise ValueError("a mask is of another picture")
    return Detection(
        label=_text(given["label"]),
        box_yxyx_norm=Box(y_min / height, x_min / width, y_max / height, x_max / width),
        box_xyxy_px=(x_min, y_min, x_max, y_max),
        mask=None if mask is None else rle.decode({**mask, "counts": _text(mask["counts"])}),
        confidence=None if sure is None else _number(sure),
    )


def _timings(given: Mapping[str, Any]) -> Timings:
    return Timings(
        load_s=_number(given["load_s"]),
        first_token_s=_number(given["first_token_s"]),
        decode_s=_number(given["decode_s"]),
        tokens=_count(given["tokens"]),
        wait_s=_number(given["wait_s"]),
    )


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(f"{type(given).__name__} in place of a text")
    return given


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise TypeError(f"{type(given).__name__} in place of a number")
    return float(given)


def _count(given: Any) -> int:
    if type(given) is not int or given < 0:
        raise TypeError(f"{type(given).__name__} in place of a count")
    return given
