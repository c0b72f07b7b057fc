"""What happens when somebody compares; verbs that know no layout."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import gradio as gr
from PIL import Image

from models.images import OpenedImage
from models.masks.repeats import distinct
from models.prompts import grammar, tokens
from models.results import timings_to_json
from models.schema import Detection, Request, Result, UserError
from models.serving.backend import Backend
from ui import compare_markup, markup
from ui.choices import NO_ADAPTER, find_checkpoint
from ui.differences import mark_words, match_boxes
from ui.examples import Example
from ui.found_picture import FoundPicture
from ui.handlers import LONGEST_PAUSE_S, SHORTEST_PAUSE_S
from ui.pictures import distinct_colours, distinct_labels
from ui.preset_examples import PresetExamples
from ui.refusals import OWN_FAILURE
from ui.runs import Runs
from ui.side_by_side import SideAnswer, answer_side_by_side
from ui.sides import (
    FEWEST,
    GREEDY,
    LETTERS,
    MOST,
    Presets,
    Side,
    decoding_choices,
    decoding_value,
    describe,
    request_of,
)

STARTED = "Answering side by side …"
STOPPED = "Stopped."


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
            *_padded(_cards(about, answers)),
            *_padded(pictures),
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
            cards = _cards(about, answers)
            updates = [each if i in changed else gr.skip() for i, each in enumerate(cards)]
            yield gr.skip(), *_padded(updates), *[gr.skip()] * MOST, gr.skip()
            drawn_at = now
            changed.clear()
        yield _compared(image, prompt, about, requests, answers)

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


def _padded(updates: Sequence[Any]) -> list[Any]:
    return [*updates, *[gr.skip()] * (MOST - len(updates))]


def _hidden() -> Any:
    return gr.update(value=None, visible=False)


def _cards(about: Sequence[Sequence[str]], answers: dict[int, SideAnswer]) -> list[str]:
    return [
        compare_markup.card(LETTERS[index], words, answers[index])
        for index, words in enumerate(about)
    ]


def _compared(
    image: Image.Image,
    prompt: str,
    about: Sequence[Sequence[str]],
    requests: dict[int, Request],
    answers: dict[int, SideAnswer],
) -> tuple[Any, ...]:
    """The last update: whole answers beside each other, with what differs marked."""
    results = {
        i: replace(each.result, detections=distinct(each.result.detections))
        for i, each in answers.items()
        if each.result is not None
    }
    texts = {index: tokens.readable(result.text) for index, result in results.items()}
    cards = []
    for index, words in enumerate(about):
        parts = None
        if index in texts:
            parts = mark_words(texts[index], *_others(index, texts))
        cards.append(compare_markup.card(LETTERS[index], words, answers[index], parts))
    missing = _missing({index: result.detections for index, result in results.items()})
    letters = [LETTERS[index] for index in results]
    lonely = sum(bool(each) for without in missing.values() for each in without)
    boxes = sum(len(result.detections) for result in results.values())
    said = compare_markup.difference(letters, list(texts.values()), lonely, boxes)
    if any(answer.is_stopped for answer in answers.values()):
        said = f"{STOPPED} {said}" if len(results) > 1 else STOPPED
    return (
        markup.status(said),
        *_padded(cards),
        *_padded(_pictures(image, results, missing, len(about))),
        compare_markup.votes(letters, _record(image, prompt, requests, results)),
    )


def _others(index: int, values: dict[int, Any]) -> list[Any]:
    """What a side is compared with: the first with all others, each other with the first."""
    first = min(values)
    return [value for key, value in values.items() if key != index and first in (key, index)]


def _missing(found: dict[int, tuple[Detection, ...]]) -> dict[int, list[str]]:
    """For each side's detections the letters of those compared with that do not have them."""
    without: dict[int, list[str]] = {}
    first = min(found, default=0)
    for index, detections in found.items():
        names = [""] * len(detections)
        for other in found:
            if other == index or first not in (other, index):
                continue
            for at, partner in enumerate(match_boxes(detections, found[other])):
                names[at] += LETTERS[other] if partner is None else ""
        without[index] = names
    return without


def _pictures(
    image: Image.Image, results: dict[int, Result], missing: dict[int, list[str]], count: int
) -> list[Any]:
    """The picture with each side's boxes; what matches has the colour that it has on the first."""
    if not any(result.detections for result in results.values()):
        return [gr.skip() if index in results else _hidden() for index in range(count)]
    updates = [_hidden() for _ in range(count)]
    first = min(results)
    base = distinct_colours(image, results[first].detections)
    for index, result in results.items():
        colours = distinct_colours(image, result.detections)
        if index != first:
            for at, partner in enumerate(match_boxes(result.detections, results[first].detections)):
                colours[at] = colours[at] if partner is None else base[partner]
        labels = [
            f"{label} (not in {', '.join(letters)})" if letters else label
            for label, letters in zip(
                distinct_labels(result.detections), missing[index], strict=True
            )
        ]
        kinds = ["alone" if letters else "" for letters in missing[index]]
        value = FoundPicture.saved(image, result.detections, labels, colours, kinds)
        updates[index] = gr.update(value=value, visible=True)
    return updates


def _record(
    image: Image.Image, prompt: str, requests: dict[int, Request], results: dict[int, Result]
) -> dict[str, Any]:
    """What is kept with a vote; the picture's digest is of its RGB bytes, row by row."""
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    return {
        "id": uuid.uuid4().hex,
        "prompt": prompt,
        "picture": {"sha256": digest, "width": image.width, "height": image.height},
        "answers": {
            LETTERS[index]: {
                "checkpoint": result.checkpoint,
                "adapter": result.adapter,
                "precision": requests[index].precision,
                "decoding": asdict(requests[index].decoding),
                "text": result.text,
                "timings": timings_to_json(result.timings),
            }
            for index, result in results.items()
        },
    }
