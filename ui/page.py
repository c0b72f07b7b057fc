"""The page as a whole, built over a backend."""

from __future__ import annotations

import gradio as gr

from models.serving.backend import Backend
from ui.examples import Example
from ui.handlers import Handlers
from ui.layout import (
    controls_panel,
    examples_panel,
    inputs_panel,
    model_panel,
    outputs_panel,
)
from ui.social import TITLE
from ui.wiring import PRIVATE, wire

RENEWED_S = 2.0
HEADER = (
    '<header class="masthead"><h1>PaliGemma 2</h1>'
    "<p>Give it a picture, choose a task, and read the answer as it is written.</p></header>"
)


def build_page(
    backend: Backend, examples: tuple[Example, ...], cache_s: tuple[int, int]
) -> gr.Blocks:
    """The page over a backend; `cache_s` is how often and after which age uploads are deleted.

    Examples whose checkpoint cannot be used here are not offered.
    """
    usable = tuple(each for each in examples if backend.missing(each.checkpoint.name) is None)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=cache_s) as page:
        gr.HTML(HEADER, padding=False)
        with gr.Row(equal_height=False, elem_id="table"):
            with gr.Column(scale=6, min_width=320, elem_id="ask-panel"):
                inputs = inputs_panel()
                controls = controls_panel(backend.catalog)
                model = model_panel(backend)
            with gr.Column(scale=5, min_width=320, elem_id="answer-panel"):
                outputs = outputs_panel()
                cards = examples_panel(usable)
        handlers = Handlers(backend, usable)
        if backend.catalog.metrics:
            owner_panel(handlers)
        wire(page, handlers, inputs, controls, model, outputs, cards)
    return page


def owner_panel(handlers: Handlers) -> None:
    """What the loaded models do, a table that is renewed every other second."""
    with gr.Accordion("Engine", open=False, elem_id="engine"):
        figures = gr.HTML(handlers.engine_figures(), padding=False)
        gr.Timer(RENEWED_S).tick(handlers.engine_figures, None, figures, **PRIVATE)
