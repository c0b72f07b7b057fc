"""What both forms of a question become: the request for a backend."""

from __future__ import annotations

from collections.abc import Sequence

from api.choosing import Choice
from models.images import OpenedImage
from models.prompts import grammar
from models.schema import Decoding, Request


def request_about(
    opened: Sequence[OpenedImage],
    prompt: str,
    choice: Choice,
    precision: str,
    decoding: Decoding,
    is_streamed: bool,
    deadline_s: float | None = None,
) -> Request:
    """The request about pictures, one at least; boxes refer to the first as it was sent."""
    first, *more = opened
    return Request(
        image=first.image,
        prompt=prompt,
        checkpoint=choice.checkpoint.name,
        precision=precision,
        adapter=choice.adapter,
        decoding=decoding,
        deadline_s=deadline_s,
        full_size=first.full_size,
        is_streamed=is_streamed,
        more_images=tuple(each.image for each in more),
    )


def tokens_for(given: int | None, prompt: str, choice: Choice) -> int:
    """How many tokens an answer may have: as given, else what the prompt's task needs."""
    if given is not None:
        return given
    task = grammar.parse(prompt).task
    return grammar.default_max_new_tokens(task, choice.checkpoint.variant)
