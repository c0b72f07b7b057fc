"""What happens when somebody does something on the page. Verbs; they know no layout.

Each handler takes plain values and returns plain values or updates, so that it can also be called
through the API. The work itself is the backend's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from models.generate.asking import notes_of
from models.images import OpenedImage
from models.prompts import grammar
from models.prompts.grammar import Task
from models.schema import (
    Decoding,
    Request,
    Result,
    StatusEvent,
    TokenEvent,
    UserError,
)
from models.serving.backend import Backend
from ui import markup
from ui.answers import ENDED, blank, finished, partial, waiting
from ui.choices import DEFAULT_DECODING, DEFAULT_PRECISION, NO_ADAPTER, find_checkpoint
from ui.components import as_error, usable
from ui.examples import Example
from ui.explain_handlers import ExplainHandlers
from ui.history import HistoryHandlers
from ui.model_handlers import ModelHandlers
from ui.part import Edge, percent_box
from ui.refusals import NOT_TAKEN, OWN_FAILURE
from ui.runs import Runs
from ui.save_handlers import SaveHandlers
from ui.several import Upload, open_all

logger = logging.getLogger(__name__)

# Between two updates of all pages together, as every update takes time from the model; and what one
# page waits at most, however many there are.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.04, 0.5


def build_prompt(
    task: str,
    language: str | None,
    question: str | None,
    answer: str | None,
    objects: str | None,
    box_percent: tuple[Edge, Edge, Edge, Edge],
    text: str | None,
) -> str:
    """The prompt of the page's fields; UserError where one that the task needs is empty or one.

    What the other fields hold does not matter."""
    if task not in set(Task):
        raise UserError(f"There is no task {task!r}.", f"Choose one of {', '.join(Task)}.")
    return grammar.build(
        Task(task),
        language=language or "en",
        question=question or "",
        answer=answer or "",
        objects=objects or "",
        box=percent_box(*box_percent) if Task(task) is Task.REGION else None,
        text=text or "",
    )


def whole(name: str, value: float | UserError | None) -> int:
    """A field's whole number, 0 where it is empty; UserError where it is none."""
    number = usable(value) or 0
    if number != number or abs(number) == float("inf") or number != int(number):
        raise UserError(f"{name} is {value}.", "Use a whole number.")
    return int(number)


class Handlers:
    """The page's handlers over one backend."""

    def __init__(self, backend: Backend, examples: tuple[Example, ...]):
        self._backend = backend
        self._examples = examples
        self.model = ModelHandlers(backend)
        self.runs = Runs()
        self.explaining = ExplainHandlers(backend, self.runs)
        self.saving = SaveHandlers(self.model, self.answer)
        self.history = HistoryHandlers(backend)

    def answer(
        self,
        image: OpenedImage | UserError | None,
        task: str,
        language: str,
        question: str,
        answer: str,
        objects: str,
        box_left: Edge,
        box_top: Edge,
        box_right: Edge,
        box_bottom: Edge,
        text: str,
        size: str,
        variant: str,
        resolution: str,
        precision: str,
        adapter: str | None,
        max_new_tokens: float | UserError,
        temperature: float | UserError,
        top_k: float | UserError,
        top_p: float | UserError,
        num_beams: float | UserError,
        seed: float | UserError | None,
        session: gr.Request,
        more_images: Sequence[Upload] = (),
    ) -> Iterator[tuple[Any, ...]]:
        """Answer one prompt about a picture, and about further ones, as it is written.

        Yields (status, answer text, annotated image, table, figures, details); the last one is
        the whole result.
        """
        self.runs.arrive(session.session_hash or "")
        shown = None
        try:
            if isinstance(image, UserError):
                raise image
            if image is None:
                raise UserError("There is no picture yet.", "Upload, paste or take one first.")
            checkpoint = find_checkpoint(self._backend.catalog, size, variant, resolution)
            edges = (box_left, box_top, box_right, box_bottom)
            prompt = build_prompt(task, language, question, answer, objects, edges, text)
            missing = self._backend.missing(checkpoint.name, precision or "auto")
            if missing:
                # The page says why in the note on the model; a program is told here.
                shown = f"{checkpoint.name} cannot run here; the note above “Run” says why."
                raise UserError(missing)
            pictures = open_all(image, more_images)
            request = Request(
                image=image.image,
                prompt=prompt,
                more_images=tuple(each.image for each in pictures[1:]),
                checkpoint=checkpoint.name,
                precision=precision or "auto",
                adapter=adapter or None,
                decoding=Decoding(
                    max_new_tokens=whole("max_new_tokens", max_new_tokens)
                    or grammar.default_max_new_tokens(Task(task), checkpoint.variant),
                    temperature=float(usable(temperature)),
                    top_k=whole("top_k", top_k),
                    top_p=float(usable(top_p)),
                    num_beams=whole("num_beams", num_beams),
                    seed=whole("seed", seed),
                ),
            )
            yield from self._stream(request, session.session_hash or "", notes_of(pictures))
        except UserError as error:
            # The notice stays on the page after the message has gone.
            yield blank(markup.notice(shown or str(error), "error"))
            raise as_error(error) from None
        except Exception:
            logger.exception("answer failed")
            yield blank(markup.notice(str(OWN_FAILURE), "error"))
            raise as_error(OWN_FAILURE) from None

    def _stream(
        self, request: Request, session: str, notes: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        """The backend's events as page updates; closing this stops the backend's work."""
        first_token_s = None
        with closing(self.events(request, session)) as events:
            for event in events:
                if isinstance(event, TokenEvent):
                    if first_token_s is None:
                        first_token_s = event.elapsed_s
                    yield partial(request, event, first_token_s)
                elif isinstance(event, Result):
                    is_nano = self._backend.catalog.find(request.checkpoint).size == "nano"
                    yield finished(request, event, notes, is_nano)
                else:
                    yield waiting(request, event)

    def events(
        self, request: Request, session: str
    ) -> Generator[TokenEvent | StatusEvent | Result, None, None]:
        """Those of the backend's events that are worth showing; closing this, or Stop, ends the
        backend's work."""
        with self.runs.open(session) as stop:
            events = self._backend.answer(request)
            shown_at, said = 0.0, None
            try:
                for event in events:
                    if stop.is_set():
                        return
                    if isinstance(event, TokenEvent):
                        if time.monotonic() - shown_at >= self._pause_s():
                            yield event
                            shown_at = time.monotonic()
                    elif isinstance(event, Result):
                        yield event
                    elif (
                        isinstance(event, StatusEvent) and event != said
                    ):  # it comes again and again, for this to look at `stop`
                        said = event
                        yield event
            finally:
                events.close()

    def _pause_s(self) -> float:
        return min(SHORTEST_PAUSE_S * max(1, self.runs.count), LONGEST_PAUSE_S)

    def begin(self, session: gr.Request) -> tuple[Any, ...]:
        """Updates of (Run, Stop, status) for a new answer; an older one of the same page gives way.

        The status is emptied, keeping its line, so that an error that comes again is said again.
        """
        self.runs.begin(session.session_hash or "")
        run, stop = gr.update(value="Running …", interactive=False), gr.update(interactive=True)
        return run, stop, markup.status("\N{NO-BREAK SPACE}")

    def begin_own(self, session: gr.Request) -> tuple[Any, ...]:
        """As `begin`, for an answer of which no example says what is expected."""
        return *self.begin(session), ""

    def end(self, session: gr.Request) -> tuple[dict[str, Any], dict[str, Any]]:
        """Updates of (Run, Stop) after an answer, unless the next one is already being written."""
        if self.runs.is_running(session.session_hash or ""):
            return gr.skip(), gr.skip()
        return gr.update(value="Run", interactive=True), gr.update(interactive=False)

    def fail(self, session: gr.Request) -> tuple[Any, ...]:
        """As `end`, and the status, after an answer that failed or, unsaid, never arrived."""
        key = session.session_hash or ""
        is_silent = self.runs.is_on_its_way(key)
        self.runs.forget(key)
        said = markup.notice(str(NOT_TAKEN), "error") if is_silent else gr.skip()
        return *self.end(session), said

    def stop(self, session: gr.Request) -> str:
        """Stop the visitor's running answers; what was written so far stays on the page."""
        self.runs.stop(session.session_hash or "")
        self.runs.forget(session.session_hash or "")
        return self.say_stopped()

    def say_stopped(self) -> str:
        """The status after Stop."""
        return markup.status(ENDED["cancelled"])

    def leave(self, session: gr.Request) -> None:
        """Stop the work for a page that was closed."""
        self.runs.stop(session.session_hash or "")
        self.runs.forget(session.session_hash or "", is_gone=True)

    def inspect(self, image: OpenedImage | UserError | None) -> tuple[Any, str]:
        """(The picture, which goes where it is refused; what was done to it or why it is refused).

        A browser would show its sign of a broken picture for what cannot be opened.
        """
        if isinstance(image, UserError):
            return None, markup.notice(str(image), "error")
        return gr.skip(), markup.notice(" ".join(image.notes)) if image else ""

    def refuse_picture(self) -> tuple[None, str]:
        """As `inspect`, where looking at a picture failed for no reason of its own."""
        return None, markup.notice(
            "This file could not be looked at. Upload it again, or another picture.", "error"
        )

    def show_inputs(self, task: str, is_marked: bool = False) -> tuple[dict[str, Any], ...]:
        """Visibility of (language, question, answer, objects, box, free prompt) for a task.

        Where a part of the picture is marked, the box shows for every task.
        """
        needed = {*grammar.inputs_of(Task(task)), *(["box"] if is_marked else [])}
        names = ("language", "question", "answer", "objects", "box", "text")
        return tuple(
            gr.update(visible=True if name in needed else False if name == "box" else "hidden")
            for name in names
        )

    def preview(
        self,
        task: str,
        language: str,
        question: str,
        answer: str,
        objects: str,
        box_left: Edge,
        box_top: Edge,
        box_right: Edge,
        box_bottom: Edge,
        text: str,
        more_images: Sequence[Upload] = (),
    ) -> dict[str, Any]:
        """The prompt as it would be sent now, or in its place what is still missing."""
        try:
            edges = (box_left, box_top, box_right, box_bottom)
            prompt = build_prompt(task, language, question, answer, objects, edges, text)
        except UserError as error:
            return gr.update(value="", placeholder=str(error))
        return gr.update(value=markup.sent(prompt, 1 + len(more_images)), placeholder="")

    def engine_figures(self) -> str:
        """What the loaded models do now."""
        return markup.engine_figures(self._backend.snapshots())

    def use_example(self, event: gr.EventData, is_marked: bool = False) -> tuple[Any, ...]:
        """Fill the page from the example whose button was pressed, and decode as it expects.

        Returns (picture, its note, task, language, question, answer, objects, left, top, right,
        bottom, free prompt, precision, the six of decoding, expected), what `show` returns, no
        further pictures, and the box's row. The fields of its task show with their values: later
        they would move what is being read.
        """
        target: Any = event.target
        example = self._examples[int(target.elem_id.removeprefix("example-"))]
        parsed, checkpoint = example.parsed, example.checkpoint
        box = parsed.box
        edges: tuple[Any, ...] = (gr.skip(),) * 4
        if box is not None:
            in_order = (box.x_min, box.y_min, box.x_max, box.y_max)
            edges = tuple(round(edge * 100, 2) for edge in in_order)
        *fields, box_row, text = self.show_inputs(str(parsed.task), is_marked)
        given = (parsed.language, parsed.question, parsed.answer, parsed.objects, parsed.text)
        filled = [
            {**field, "value": value} if value else field
            for field, value in zip((*fields, text), given, strict=True)
        ]
        return (
            str(example.image),
            "",
            str(parsed.task),
            *filled[:-1],
            *edges,
            filled[-1],
            DEFAULT_PRECISION,
            *DEFAULT_DECODING,
            markup.expected(example.expect),
            *self.model.show(
                checkpoint.size,
                checkpoint.variant,
                str(checkpoint.resolution),
                DEFAULT_PRECISION,
                example.adapter or NO_ADAPTER,
            ),
            [],
            box_row,
        )
