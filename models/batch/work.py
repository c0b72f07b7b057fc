"""The work of a run: the same prompts about each of its pictures, answered side by side.

Whoever begins a run, in a terminal or on the page, does it with this. It knows no options of a
command and shows nothing.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.pictures import Pictures
from data.runs import Run
from models.catalog.checkpoints import Checkpoint
from models.generate.asking import AHEAD, AT_ONCE, Asking, Chosen, notes_of, to_request
from models.generate.lines import LineRequest
from models.generate.side_by_side import in_order
from models.images import OpenedImage, open_image
from models.results import result_to_json
from models.schema import UserError

MAX_REFUSED = AT_ONCE  # pictures in a row, none of which the model can be asked about
DECODING = ("max_new_tokens", "temperature", "top_k", "top_p", "num_beams", "seed")

Line = dict[str, Any]


def settings_of(
    options: argparse.Namespace | Chosen,
    checkpoint: str,
    pictures: Pictures,
    prompts: Sequence[str],
) -> dict[str, Any]:
    """What makes two runs the same, as JSON."""
    adapter = options.adapter
    if adapter is not None and Path(adapter).is_dir():
        adapter = str(Path(adapter).resolve())
    return {
        "images": list(pictures.roots),
        "prompts": list(prompts),
        "adapter": adapter,
        "checkpoint": checkpoint,
        **{name: getattr(options, name) for name in ("precision", *DECODING)},
    }


@dataclass(frozen=True)
class _Answered:
    """The lines of a picture; `refusal` where it can be read and the model did not answer."""

    lines: list[Line]
    refusal: UserError | None = None


@dataclass(frozen=True)
class Work:
    """A run with its pictures, and what answers; `options` are those of `models.generate`."""

    run: Run
    pictures: Pictures
    options: argparse.Namespace | Chosen
    checkpoint: Checkpoint
    asking: Asking

    def left(self) -> list[str]:
        """The names of the pictures that the run lacks a line about."""
        return [name for name in self.pictures.names if self.run.missing(name)]

    def answer(
        self, names: Sequence[str], stop: threading.Event | None = None, at_once: int = AT_ONCE
    ) -> Generator[list[Line], None, None]:
        """Add the lines of pictures to the run; those of each as soon as they are added.

        It ends within a token where `stop` is set. UserError where the model cannot be asked, of
        which no picture gets a line: what is wrong then is no picture.
        """
        try:
            with closing(in_order(names, self._answer, at_once, AHEAD, stop)) as answers:
                for each in _unless_all_refused(answers):
                    self.run.add(each.lines)
                    yield each.lines
        except CancelledError:
            if stop is None or not stop.is_set():
                raise

    def _answer(self, name: str, stop: threading.Event) -> _Answered:
        if stop.is_set():
            raise CancelledError
        prompts = self.run.missing(name)
        try:
            with self.asking.opened(lambda: [open_image(self.pictures.open(name))]) as opened:
                return self._ask(name, prompts, opened, stop)
        except UserError as error:
            return _Answered([_failed(name, each, error) for each in prompts])

    def _ask(
        self, name: str, prompts: list[str], opened: list[OpenedImage], stop: threading.Event
    ) -> _Answered:
        width, height = opened[0].full_size
        lines, refusal = [], None
        for prompt in prompts:
            asked = LineRequest((name,), prompt)
            try:
                request = to_request(self.options, self.checkpoint, asked, opened)
                found = result_to_json(self.asking.result(request, stop), notes_of(opened))
            except UserError as error:
                refusal = error
                found = {"prompt": prompt, "error": str(error)}
            lines.append({"image": name, "width": width, "height": height} | found)
        return _Answered(lines, refusal)


def _unless_all_refused(answers: Iterator[_Answered]) -> Iterator[_Answered]:
    """The answers; those that the model refused only once another was answered. UserError where
    none is, or where MAX_REFUSED in a row are refused."""
    refused: list[_Answered] = []
    has_answered = False
    for each in answers:
        if each.refusal is None:
            has_answered = has_answered or "error" not in each.lines[0]
            if has_answered:
                yield from refused
                refused.clear()
            yield each
            continue
        refused.append(each)
        if len(refused) == MAX_REFUSED:
            raise each.refusal
    if refused and not has_answered:
        assert refused[0].refusal is not None
        raise refused[0].refusal
    yield from refused


def _failed(name: str, prompt: str, error: UserError) -> Line:
    return {"image": name, "prompt": prompt, "error": str(error)}
