"""The tab "Ask": one picture, one prompt, one answer."""

from __future__ import annotations

import gradio as gr

from models.serving.backend import Backend
from ui.examples import Example
from ui.handlers import Handlers
from ui.layout import controls_panel, examples_panel, inputs_panel, model_panel, outputs_panel
from ui.model_bar import model_bar
from ui.wiring import wire


def build_ask(
    page: gr.Blocks, backend: Backend, handlers: Handlers, examples: tuple[Example, ...]
) -> None:
    """Put the tab's components in place and connect them; called inside its `gr.Tab`."""
    with gr.Row(equal_height=False, elem_id="table"):
        with gr.Column(scale=6, min_width=320, elem_id="ask-panel"):
            inputs = inputs_panel()
            bar = model_bar(backend)
            controls = controls_panel()
            model = model_panel(backend, bar)
        with gr.Column(scale=5, min_width=320, elem_id="answer-panel"):
            outputs = outputs_panel()
            cards = examples_panel(examples)
    wire(page, handlers, inputs, controls, model, outputs, cards)
