"""A backend's events as values of the page's output components.

Every function returns (status, answer text, annotated image, table, figures, details).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from models.masks.repeats import distinct
from models.prompts import tokens
from models.prompts.grammar import parse, yields_boxes
from models.prompts.not_known import is_at_a_loss
from models.results import result_to_json
from models.schema import Request, Result, StatusEvent, TokenEvent
from ui import markup
from ui.found_picture import FoundPicture
from ui.pictures import MOST_DRAWN, distinct_colours, distinct_labels

ENDED = {
    "eos": "Done.",
    "length": "Stopped at the token limit. For more, raise “Maximum tokens” under Decoding.",
    "cancelled": "Stopped.",
    "deadline": "Stopped at the time limit. Ask for fewer tokens, or choose a smaller model.",
}
NOT_ITS_WORLD = (
    "This picture is not of nano’s world of drawn things. For photographs, choose 3B or larger."
)


def blank(status: str, details: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """A status with an empty result below it."""
    hidden = gr.update(value=None, visible=False)
    nothing = gr.update(value="", visible=False)
    return status, "", hidden, nothing, markup.timing_figures(None), details


def waiting(request: Request, event: StatusEvent) -> tuple[Any, ...]:
    """What is going on before the first token; the details have the prompt as it was sent."""
    return blank(markup.status(event.message, event.share), describe_start(request))


def partial(request: Request, event: TokenEvent, first_token_s: float) -> tuple[Any, ...]:
    """The text so far and what is known of it, which stays after Stop; boxes wait for the end."""
    readable = tokens.readable(event.text)
    figures = markup.timing_figures(None, event.index + 1, first_token_s, request)
    details = describe_start(request, event.text) | {
        "timings": {"first_token_s": round(first_token_s, 3), "tokens": event.index + 1}
    }
    return markup.status("Writing …"), readable, gr.skip(), gr.skip(), figures, details


def finished(
    request: Request, result: Result, notes: Sequence[str] = (), is_nano: bool = False
) -> tuple[Any, ...]:
    """The whole answer; `notes` are those on its picture, which stands on the page with them.

    Where nano says that it knows nothing of the picture, the status says why. Objects that repeat
    others are shown once, and all are in the details.
    """
    shown = distinct(result.detections)
    labels = distinct_labels(shown)
    annotated = gr.update(value=None, visible=False)
    table = gr.update(value="", visible=False)
    if shown:
        colours = distinct_colours(request.image, shown)
        value = FoundPicture.saved(request.image, shown, labels, colours)
        annotated = gr.update(value=value, visible=True)
        rows = markup.detection_table(shown, labels, colours)
        table = gr.update(value=rows, visible=True)
    return (
        markup.status(_ending(request, result, is_nano)),
        tokens.readable(result.text),
        annotated,
        table,
        markup.timing_figures(result.timings, request=request),
        result_to_json(result, notes),
    )


def _ending(request: Request, result: Result, is_nano: bool) -> str:
    ending = ENDED[result.finish_reason]
    if is_nano and is_at_a_loss(request.prompt, result.text):
        ending += f" {NOT_ITS_WORLD}"
    parsed = parse(request.prompt)
    if yields_boxes(parsed.task):
        asked = [name.strip() for name in parsed.objects.split(";")]
        labels = dict.fromkeys(each.label or asked[0] for each in result.detections)
        others = [label for label in labels if not any(_same_kind(label, name) for name in asked)]
        narrower = {
            label: name for label in others for name in asked if _is_narrower(label, name)
        }  # "hot dog" for "dog" too: the reader judges
        others = [label for label in others if label not in narrower]
        if result.finish_reason == "eos" and len(others) == len(labels):
            ending = f"No {' or '.join([*filter(None, [', '.join(asked[:-1])]), asked[-1]])} found."
        for label, name in narrower.items():
            ending += f" For “{name}” the model wrote “{label}”."
        if others:
            ending += f" Not asked for: {', '.join(others)}."
    if result.invalid_objects == 1:
        ending += " 1 box in the answer made no sense and was left out."
    elif result.invalid_objects:
        ending += f" {result.invalid_objects} boxes in the answer made no sense and were left out."
    if result.detections and len(request.images) > 1:
        ending += " Boxes are on the first picture."
    count = len(distinct(result.detections))
    if count > MOST_DRAWN:
        ending += f" Only the first {MOST_DRAWN} of {count} objects are drawn."
    return " ".join((ending, *result.notes))


def _same_kind(label: str, name: str) -> bool:
    """Whether a label is the name that was asked for, also where one is in the plural."""
    one, other = label.strip().casefold(), name.strip().casefold()
    return one == other or one in (f"{other}s", f"{other}es") or other in (f"{one}s", f"{one}es")


def _is_narrower(label: str, name: str) -> bool:
    """Whether a label ends in the name that was asked for, as "red apple" does in "apple"."""
    words = label.split()
    return any(_same_kind(" ".join(words[at:]), name) for at in range(1, len(words)))


def describe_start(request: Request, text: str = "") -> dict[str, Any]:
    """As much of the result's JSON as is known before the end."""
    return {
        "prompt": request.prompt,
        "text": text,
        "checkpoint": request.checkpoint,
        "adapter": request.adapter,
        "finish_reason": None,
    }
