"""What a tool of `/mcp` gives: the result's JSON with its schema, and the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from models.masks.repeats import distinct
from models.prompts import tokens
from models.prompts.grammar import parse, yields_boxes
from models.results import result_to_json
from models.schema import Detection, Result

_ENDED = {
    "length": "The answer was cut off at the token limit.",
    "deadline": "The answer was cut off at the time limit.",
}


class Mask(BaseModel):
    """COCO's compressed run lengths over the whole picture."""

    size: list[int] = Field(description="height and width in pixels")
    counts: str


class Found(BaseModel):
    """An object."""

    label: str
    box_xyxy_px: list[float] = Field(description="left, top, right, bottom in pixels")
    confidence: float | None = Field(description="0 to 1")
    mask: Mask | None


class Answer(BaseModel):
    """The result."""

    text: str = Field(description="as the model wrote it, location and mask tokens included")
    detections: list[Found]
    invalid_objects: int
    prompt: str
    checkpoint: str
    adapter: str | None
    finish_reason: str
    notes: list[str]
    token_ids: list[int]
    prompt_tokens: int
    timings: dict[str, float]


class SideAnswer(BaseModel):
    """A side's result, or why there is none."""

    model: str
    result: Answer | None
    error: str | None


class Comparison(BaseModel):
    """The sides in their order."""

    agree: bool = Field(description="whether all sides answered, and with the same text")
    sides: list[SideAnswer]


@dataclass(frozen=True)
class Reply:
    """What was found: for people and models in words, for programs as JSON; the results whose
    objects can be drawn."""

    words: str
    structured: dict[str, Any]
    drawable: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Side:
    """A side of a comparison, by its name: a result, or in a sentence why there is none."""

    name: str
    model: str
    result: Result | None
    error: str | None


def one(result: Result, notes: Sequence[str]) -> Reply:
    """The reply with one result; `notes` are those on its picture."""
    found = (result,) if result.detections else ()
    return Reply(_in_words(result, notes), result_to_json(result, notes), found)


def several(sides: Sequence[Side], notes: Sequence[str]) -> Reply:
    """The reply with a comparison."""
    texts = {None if each.result is None else each.result.text for each in sides}
    agree = len(texts) == 1 and None not in texts
    parts = ["All sides answered the same." if agree else "The sides differ."]
    structured: list[dict[str, Any]] = []
    for each in sides:
        said = each.error if each.result is None else _in_words(each.result, notes)
        parts.append(f"{each.name}:\n{said}")
        given = None if each.result is None else result_to_json(each.result, notes)
        structured.append({"model": each.model, "result": given, "error": each.error})
    results = (each.result for each in sides if each.result is not None)
    drawable = tuple(each for each in results if each.detections)
    return Reply("\n\n".join(parts), {"agree": agree, "sides": structured}, drawable)


def _in_words(result: Result, notes: Sequence[str]) -> str:
    parsed = parse(result.prompt)
    if result.detections:
        lines = [_object_in_words(each) for each in distinct(result.detections)]
    elif yields_boxes(parsed.task):
        lines = [f"Nothing was found for: {parsed.objects.replace(' ; ', ', ')}."]
    else:
        lines = [tokens.readable(result.text) or "The model wrote nothing."]
    said = [*notes, *result.notes]
    if result.finish_reason in _ENDED:
        said.append(_ENDED[result.finish_reason])
    return "\n".join([*lines, *(f"Note: {each}" for each in said)])


def _object_in_words(found: Detection) -> str:
    left, top, right, bottom = (round(edge) for edge in found.box_xyxy_px)
    words = f"{found.label or 'object'}: left {left}, top {top}, right {right}, bottom {bottom} px"
    if found.mask is not None:
        words += f", mask of {int(found.mask.sum())} px"
    if found.confidence is not None:
        words += f", confidence {found.confidence:.2f}"
    return words
