"""What happens when somebody compares; verbs that know no layout."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from models.images import OpenedImage
from models.prompts import grammar
from models.schema import Request, UserError
from models.serving.backend import Backend
from ui import markup
from ui.choices import NO_ADAPTER, find_checkpoint
from ui.compared import STOPPED, cards_of, compared, padded
from ui.examples import Example
from ui.found_picture import FoundPicture
from ui.handlers import LONGEST_PAUSE_S, SHORTEST_PAUSE_S
from ui.preset_examples import PresetExamples
from ui.refusals import OWN_FAILURE
from ui.runs import Runs
from ui.side_by_side import SideAnswer, answer_side_by_side
from ui.sides import (
    FEWEST,
    GREEDY,
    MOST,
    Presets,
    Side,
    decoding_choices,
    decoding_value,
    describe,
    request_of,
)

STARTED = "Answering side by side …"


class CompareHandlers:
    """The handlers of the comparison over a backend and the page's running answers."""

    def __init__(self, backend: Backend, examples: tuple[Example, ...], runs: Runs):
        self._backend, self._runs = backend, runs
        self.presets, self._preset_examples = Presets(backend), PresetExamples(examples)
        self._recalled: set[str] = set()  # stopped on their way here

    def compare(
        self,
        session: gr.Request,
        image: OpenedImage | UserError | None,
        prompt: str,
        count: int | str,
        *fields: str,
    ) -> Iterator[tuple[Any, ...]]:
        """Answer a prompt about a picture on `count` sides at once, `fields` being their values.

        Yields (status, a card a side, a picture a side, votes); a side that fails says why, and
        the others go on.
        """
        key = _key(session)
        self._runs.arrive(key)
        cards = [gr.skip()] * MOST
        pictures = [gr.skip()] * MOST
        if key in self._recalled:
            self._recalled.discard(key)
            yield markup.status(STOPPED), *cards, *pictures, gr.skip()
            return
        try:
            sides = _sides(count, fields)
            if isinstance(image, UserError):
                raise image
            if image is None:
                raise UserError("There is no picture yet.", "Upload, paste or take one first.")
            prompt = grammar.normalize(prompt or "").strip()
            grammar.check(prompt)
            with self._runs.open(key) as stop:
                yield from self._stream(image.image, prompt, sides, stop)
        except UserError as error:
            yield markup.notice(str(error), "error"), *cards, *pictures, gr.skip()

    def _stream(
        self, image: Image.Image, prompt: str, sides: Sequence[Side], stop: Any
    ) -> Iterator[tuple[Any, ...]]:
        answers: dict[int, SideAnswer] = {}
        requests: dict[int, Request] = {}
        for index, side in enumerate(sides):
            try:
                requests[index] = request_of(image, prompt, side, self._backend)
                answers[index] = SideAnswer()
            except UserError as error:
                answers[index] = SideAnswer(error=error)
        about = [describe(side) for side in sides]
        # The picture stands where boxes will be, so that nothing moves when they come.
        finds = grammar.yields_boxes(grammar.parse(prompt).task)
        empty = FoundPicture.saved(image, (), (), ()) if finds else None
        pictures = [
            gr.update(
                value=empty if index in requests else None, visible=finds and index in requests
            )
            for index in range(len(sides))
        ]
        yield (
            markup.status(STARTED),
            *padded(cards_of(about, answers)),
            *padded(pictures),
            "",
        )
        drawn_at = 0.0
        changed: set[int] = set()
        for index, answer in answer_side_by_side(self._backend, requests, stop):
            answers[index] = answer
            changed.add(index)
            now = time.monotonic()
            if now - drawn_at < self._pause_s(len(requests)) and not answer.is_over:
                continue
            cards = cards_of(about, answers)
            updates = [each if i in changed else gr.skip() for i, each in enumerate(cards)]
            yield gr.skip(), *padded(updates), *[gr.skip()] * MOST, gr.skip()
            drawn_at = now
            changed.clear()
        yield compared(image, prompt, about, requests, answers)

    def _pause_s(self, sides: int) -> float:
        return min(SHORTEST_PAUSE_S * max(1, self._runs.count) * sides, LONGEST_PAUSE_S)

    def begin(self, session: gr.Request) -> tuple[Any, ...]:
        """Updates of (Compare, Stop, status) for a comparison; an older one gives way."""
        key = _key(session)
        self._recalled.discard(key)
        self._runs.begin(key)
        run, stop = gr.update(value="Comparing …", interactive=False), gr.update(interactive=True)
        return run, stop, markup.status("\N{NO-BREAK SPACE}")

    def end(self, session: gr.Request) -> tuple[Any, Any]:
        """Updates of (Compare, Stop) after a comparison, unless the next one is running."""
        if self._runs.is_running(_key(session)):
            return gr.skip(), gr.skip()
        return gr.update(value="Compare", interactive=True), gr.update(interactive=False)

    def fail(self, session: gr.Request) -> tuple[Any, ...]:
        """As `end`, and the status, after a comparison that failed or never arrived."""
        self._runs.forget(_key(session))
        return *self.end(session), markup.notice(str(OWN_FAILURE), "error")

    def stop(self, session: gr.Request) -> None:
        """Stop all sides; what they have written stays."""
        key = _key(session)
        if not self._runs.stop(key):
            self._recalled.add(key)

    def leave(self, session: gr.Request) -> None:
        """Stop the work for a page that was closed."""
        key = _key(session)
        self._runs.stop(key)
        self._runs.forget(key, is_gone=True)
        self._recalled.discard(key)

    def show_sides(self, count: int | str) -> tuple[Any, ...]:
        """Visibility of the settings of MOST sides, and of as many answers."""
        visible = [gr.update(visible=index < int(count)) for index in range(MOST)]
        return *visible, *visible

    def choose(self, checkpoint: str, adapter: str | None, precision: str) -> tuple[Any, str]:
        """(The adapters of a side's checkpoint; what to know about it). One of another is off."""
        adapter = (adapter or NO_ADAPTER).strip()
        known = self._backend.adapters(checkpoint)
        note, value = "", adapter
        if adapter and adapter not in known and not self._backend.catalog.any_adapter:
            said = f"The adapter {adapter} is not for {checkpoint} and was taken off."
            note, value = markup.notice(said, "warning"), NO_ADAPTER
        choices = [("None", NO_ADAPTER), *((name, name) for name in known)]
        update = (
            gr.update(choices=choices)
            if value == adapter
            else gr.update(choices=choices, value=value)
        )
        return update, note + self._note(checkpoint, precision)

    def _note(self, checkpoint: str, precision: str) -> str:
        """What keeps a checkpoint from answering, or what its first use brings; else nothing."""
        try:
            missing = self._backend.missing(checkpoint, precision)
        except UserError as error:
            missing = str(error)
        if missing:
            return markup.notice(missing, "warning")
        return markup.notice(self._backend.notice(checkpoint) or "")

    def use_preset(
        self,
        event: gr.EventData,
        image: OpenedImage | UserError | None,
        prompt: str,
        checkpoint: str,
    ) -> tuple[Any, ...]:
        """Both sides of the preset whose button was pressed, for the checkpoint of side A.

        An example's picture and prompt come along, but never in place of somebody's own. Returns
        (picture, prompt, count), for A and B (checkpoint, adapter, precision, decoding, note), and
        why a preset cannot be.
        """
        target: Any = event.target
        preset = target.elem_id.removeprefix("preset-")
        try:
            pair = self.presets.pair(preset, checkpoint)
        except UserError as error:
            skipped = [gr.skip()] * 13
            return *skipped, markup.notice(str(error), "warning")
        picture, text = self._preset_examples.bring(preset, image, prompt)
        taken = (
            gr.skip() if picture is None else str(picture),
            gr.skip() if text is None else text,
        )
        filled = [value for side in pair for value in self._filled(side)]
        return *taken, str(FEWEST), *filled, ""

    def as_asked(
        self,
        size: str,
        variant: str,
        resolution: str,
        precision: str,
        adapter: str | None,
        *decoding: float | UserError | None,
    ) -> tuple[Any, ...]:
        """Side A as what the tab Ask would answer with: (checkpoint, adapter, precision, decoding,
        note). Where that cannot be used, it decodes as at the start and the note says why."""
        checkpoint = find_checkpoint(self._backend.catalog, size, variant, resolution)
        said = ""
        try:
            value = decoding_value(decoding)
        except UserError as error:
            value, said = GREEDY, markup.notice(str(error), "warning")
        *filled, note = self._filled(Side(checkpoint.name, adapter or "", precision, value))
        return *filled, said + note

    def _filled(self, side: Side) -> tuple[Any, ...]:
        known = self._backend.adapters(side.checkpoint)
        adapters = [("None", NO_ADAPTER), *((name, name) for name in known)]
        return (
            side.checkpoint,
            gr.update(choices=adapters, value=side.adapter),
            side.precision,
            gr.update(choices=decoding_choices(side.decoding), value=side.decoding),
            self._note(side.checkpoint, side.precision),
        )


def _key(session: gr.Request) -> str:
    """Of the comparison of a page: what runs on its other tab goes on beside it."""
    return f"{session.session_hash or ''}#compare"


def _sides(count: int | str, fields: Sequence[str]) -> list[Side]:
    number = int(count)
    if not FEWEST <= number <= MOST:
        raise UserError(f"There are {number} sides.", f"Use {FEWEST} to {MOST}.")
    groups = [fields[at : at + 4] for at in range(0, 4 * number, 4)]
    return [
        Side(str(name), str(adapter or NO_ADAPTER).strip(), str(precision), str(decoding))
        for name, adapter, precision, decoding in groups
    ]
