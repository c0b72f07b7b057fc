"""The tab "Ask": one picture, one prompt, one answer."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from models.serving.backend import Backend
from ui.examples import Example
from ui.handlers import Handlers
from ui.layout import (
    Controls,
    Inputs,
    Model,
    controls_panel,
    examples_panel,
    inputs_panel,
    model_panel,
    outputs_panel,
)
from ui.model_bar import model_bar
from ui.wiring import wire


@dataclass(frozen=True)
class AskTab:
    """What other tabs may take from this one, and the button that leads to a comparison."""

    inputs: Inputs
    controls: Controls
    model: Model
    compare: gr.Button


def build_ask(
    page: gr.Blocks, backend: Backend, handlers: Handlers, examples: tuple[Example, ...]
) -> AskTab:
    """Put the tab's components in place and connect them; called inside its `gr.Tab`."""
    with gr.Row(equal_height=False, elem_id="table"):
        with gr.Column(scale=6, min_width=320, elem_id="ask-panel"):
            inputs = inputs_panel()
            bar = model_bar(backend)
            controls = controls_panel()
            model = model_panel(backend, bar)
        with gr.Column(scale=5, min_width=320, elem_id="answer-panel"):
            outputs = outputs_panel()
            compare = gr.Button("Compare with another model", size="sm", elem_id="compare-this")
            cards = examples_panel(examples)
    wire(page, handlers, inputs, controls, model, outputs, cards)
    return AskTab(inputs, controls, model, compare)
