"""From what is asked to a request, its pictures opened, and to its result, for any thread.

Of pictures only so many are decoded and held at once as memory has room for.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.catalog.checkpoints import Checkpoint
from models.generate.lines import LineRequest
from models.generate.side_by_side import PixelBudget
from models.images import OpenedImage, open_image
from models.limits import MAX_IMAGES
from models.prompts import grammar
from models.schema import Decoding, Request, Result, Status, StatusEvent, UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend

# Requests at a backend: half as many again as an engine has side by side, so that a batch of them
# is always there to join. No queue of a backend is shorter than that.
AT_ONCE = 24
AHEAD = 64  # that are read while an earlier one is still answered


@dataclass(frozen=True)
class Chosen:
    """How is answered, for whoever has no options of a command; each as the option of its name.

    `max_new_tokens` None is as many as the task needs.
    """

    precision: str = "auto"
    adapter: str | None = None
    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    num_beams: int = 1
    seed: int = 0
    deadline_s: float | None = None


class Asking:
    """Asks a backend, which is got at the first request, from several threads."""

    def __init__(self, get_backend: Callable[[], Backend], show: Status):
        self._get_backend = get_backend
        self._show = show
        self._budget = PixelBudget()

    @contextmanager
    def opened(
        self, open_all: Callable[[], list[OpenedImage]]
    ) -> Generator[list[OpenedImage], None, None]:
        """The pictures that `open_all` decodes, counted for as long as they are in use."""
        with self._budget.decoding():
            found = open_all()
        with self._budget.holding(sum(each.image.width * each.image.height for each in found)):
            yield found

    def result(self, request: Request, stop: threading.Event) -> Result:
        """The whole answer; CancelledError soon after `stop` is set."""
        with closing(self._get_backend().answer(request)) as events:
            for event in events:
                if stop.is_set():
                    raise CancelledError
                if isinstance(event, StatusEvent):
                    self._show(event)
                elif isinstance(event, Result):
                    return event
        raise RuntimeError("an answer has ended without a result")


def open_pictures(asked: LineRequest) -> list[OpenedImage]:
    """The pictures of a request whose words are right; UserError where they or these are not."""
    grammar.check(asked.prompt)
    if len(asked.images) > MAX_IMAGES:
        raise UserError(
            f"There are {len(asked.images)} pictures.", f"Use at most {MAX_IMAGES} in a prompt."
        )
    return [open_image(each) for each in asked.images]


def notes_of(opened: Sequence[OpenedImage]) -> list[str]:
    """What is to be said of the pictures, with their number where there are several."""
    if len(opened) == 1:
        return list(opened[0].notes)
    return [
        f"Picture {number}: {each}"
        for number, picture in enumerate(opened, start=1)
        for each in picture.notes
    ]


def to_request(
    options: argparse.Namespace | Chosen,
    checkpoint: Checkpoint,
    asked: LineRequest,
    opened: Sequence[OpenedImage],
    is_streamed: bool = False,
) -> Request:
    """The request; what it leaves open is as the options of `arguments.add_model_options` say."""
    prompt = grammar.normalize(asked.prompt)
    tokens = asked.max_new_tokens
    if tokens is None:
        tokens = options.max_new_tokens
    if tokens is None:
        task = grammar.parse(prompt).task
        tokens = grammar.default_max_new_tokens(task, checkpoint.variant)
    first, *more = opened
    return Request(
        image=first.image,
        prompt=prompt,
        checkpoint=checkpoint.name,
        precision=options.precision,
        adapter=options.adapter if asked.adapter is None else asked.adapter,
        decoding=Decoding(
            max_new_tokens=tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            num_beams=options.num_beams,
            seed=options.seed,
        ),
        deadline_s=options.deadline_s,
        full_size=first.full_size,
        is_streamed=is_streamed,
        more_images=tuple(each.image for each in more),
    )
