"""The short endpoints for programs: /caption, /ask, /read, /detect and /segment.

Each takes a picture and few arguments and gives the result's JSON, first as far as it is written.
The page shows nothing of them, and they know nothing of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from models.images import OpenedImage
from models.prompts import grammar
from models.prompts.grammar import Task
from models.results import result_to_json
from models.schema import Decoding, Request, Result, TokenEvent, UserError, quoted
from models.serving.backend import Backend
from ui.answers import describe_start
from ui.choices import NO_ADAPTER, language_choices
from ui.components import Number, SafeImage, as_error
from ui.handlers import Handlers, whole
from ui.refusals import OWN_FAILURE
from ui.wiring import AS_ANSWERS

logger = logging.getLogger(__name__)

LENGTHS = {"short": Task.CAP, "medium": Task.CAPTION, "long": Task.DESCRIBE}
Picture = OpenedImage | UserError | None
Answers = Iterator[dict[str, Any]]


class Endpoints:
    """What the endpoints do, over a backend; `handlers` has the answers that are written."""

    def __init__(self, backend: Backend, handlers: Handlers):
        self._backend, self._handlers = backend, handlers

    def caption(
        self,
        image: Picture,
        language: str,
        length: str,
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """Say what is in a picture, in one of 35 languages: short for an alternative text, medium,
        or long."""
        length = length or "medium"
        if length not in LENGTHS:
            raise as_error(
                UserError(f"length is {quoted(length)}.", f"Use one of {', '.join(LENGTHS)}.")
            )
        asked = {"task": LENGTHS[length], "language": language or "en"}
        yield from self._answers(image, asked, model, adapter, max_new_tokens, session)

    def ask(
        self,
        image: Picture,
        question: str,
        language: str,
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """Answer a question about a picture in a few words."""
        asked = {"task": Task.ANSWER, "question": question or "", "language": language or "en"}
        yield from self._answers(image, asked, model, adapter, max_new_tokens, session)

    def read(
        self,
        image: Picture,
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """Read the text that is printed in a picture."""
        yield from self._answers(image, {"task": Task.OCR}, model, adapter, max_new_tokens, session)

    def detect(
        self,
        image: Picture,
        objects: str,
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """Find the objects of the given names in a picture: a box in pixels for each."""
        asked = {"task": Task.DETECT, "objects": objects or ""}
        yield from self._answers(image, asked, model, adapter, max_new_tokens, session)

    def segment(
        self,
        image: Picture,
        objects: str,
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """Find the objects of the given names in a picture: a box and a mask for each."""
        asked = {"task": Task.SEGMENT, "objects": objects or ""}
        yield from self._answers(image, asked, model, adapter, max_new_tokens, session)

    def _answers(
        self,
        image: Picture,
        asked: dict[str, Any],
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
        session: gr.Request,
    ) -> Answers:
        """The result's JSON as far as it is known, until it is whole."""
        try:
            if isinstance(image, UserError):
                raise image
            if image is None:
                raise UserError("There is no picture.", "Upload one and send its path.")
            request = self._request(image, asked, model, adapter, max_new_tokens)
            with closing(self._handlers.events(request, session.session_hash or "")) as events:
                for event in events:
                    if isinstance(event, TokenEvent):
                        yield describe_start(request, event.text)
                    elif isinstance(event, Result):
                        yield result_to_json(event, image.notes)
        except UserError as error:
            raise as_error(error) from None
        except Exception:
            logger.exception("an endpoint failed")
            raise as_error(OWN_FAILURE) from None

    def _request(
        self,
        image: OpenedImage,
        asked: dict[str, Any],
        model: str,
        adapter: str,
        max_new_tokens: float | UserError | None,
    ) -> Request:
        """What is asked; UserError where it cannot be answered here."""
        # As `/v1` names them. A program may send null for what the page would have a value of.
        name, _, of_name = (model or self._backend.catalog.default).partition("+")
        if adapter and of_name and adapter != of_name:
            raise UserError(
                f"model names the adapter {quoted(of_name)}, and adapter is {quoted(adapter)}.",
                "Name one.",
            )
        checkpoint = self._backend.catalog.find(name)
        missing = self._backend.missing(checkpoint.name)
        if missing:
            raise UserError(missing)
        tokens = whole("max_new_tokens", max_new_tokens)
        return Request(
            image=image.image,
            prompt=grammar.build(**asked),
            checkpoint=checkpoint.name,
            adapter=adapter or of_name or None,
            decoding=Decoding(
                tokens or grammar.default_max_new_tokens(asked["task"], checkpoint.variant)
            ),
            full_size=image.full_size,
        )


def add_endpoints(backend: Backend, handlers: Handlers, image: SafeImage) -> None:
    """Add the endpoints to the page that is being built; `image` is its field for the picture."""
    made = Endpoints(backend, handlers)
    with gr.Column(visible=False):
        language = gr.Dropdown(language_choices(), value="en", label="Language of the answer")
        length = gr.Radio(list(LENGTHS), value="medium", label="Length")
        question = gr.Textbox(None, label="Question")
        objects = gr.Textbox(None, label="Names of objects, by commas")
        model = gr.Textbox(backend.catalog.default, label="Model")
        adapter = gr.Textbox(NO_ADAPTER, label="Adapter; empty for none")
        tokens = Number(0, label="Most tokens; 0 for as many as it takes", precision=0)
        result = gr.JSON(label="Result")
        trigger = gr.Button()
    settings: list[Any] = [model, adapter, tokens]
    takes: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        "caption": (made.caption, [language, length]),
        "ask": (made.ask, [question, language]),
        "read": (made.read, []),
        "detect": (made.detect, [objects]),
        "segment": (made.segment, [objects]),
    }
    for name, (fn, fields) in takes.items():
        trigger.click(
            fn,
            inputs=[image, *fields, *settings],
            outputs=result,
            api_name=name,
            show_progress="hidden",
            **AS_ANSWERS,
        )
