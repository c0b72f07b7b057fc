"""The bar above Run: size, resolution, variant and adapter in sight, and how ready they are."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from models.serving.backend import Backend
from ui import choices
from ui.components import OpenRadio
from ui.model_handlers import ModelHandlers


@dataclass(frozen=True)
class ModelBar:
    """The pickers, the line below them, and what keeps the choice from being used."""

    size: gr.Radio
    resolution: gr.Radio
    variant: gr.Radio
    adapter: gr.Dropdown
    settings: gr.HTML
    defaults: gr.Button
    link: gr.Button
    notice: gr.HTML


def model_bar(backend: Backend) -> ModelBar:
    """A row of groups, each one tab stop with arrows inside; two lines on a phone."""
    start = choices.start(backend.catalog)
    chosen = start.checkpoint
    notices = ModelHandlers(backend)
    may_name = backend.catalog.any_adapter
    with gr.Row(elem_id="model-bar"):
        size = gr.Radio(
            choices.size_choices(backend.catalog), value=chosen.size, label="Size", elem_id="size"
        )
        resolution = OpenRadio(
            list(start.resolutions),
            value=str(chosen.resolution),
            label="Resolution",
            elem_id="resolution",
        )
        variant = OpenRadio(
            list(start.variants), value=chosen.variant, label="Variant", elem_id="variant"
        )
        adapter = gr.Dropdown(
            choices.adapter_choices(backend.adapters(chosen.name)),
            value=choices.NO_ADAPTER,
            label="Adapter",
            info="or any public LoRA on the Hub, as owner/name" if may_name else None,
            allow_custom_value=True,
            elem_id="adapter",
        )
    with gr.Row(elem_id="settings-row"):
        settings = gr.HTML(notices.state(chosen), elem_id="settings", padding=False)
        defaults = gr.Button(
            "Back to defaults", size="sm", elem_id="defaults", visible=False, min_width=0, scale=0
        )
        link = gr.Button("Copy link", size="sm", elem_id="copy-link", min_width=0, scale=0)
    notice = gr.HTML(notices.notice(chosen.name), elem_id="model-notice", padding=False)
    return ModelBar(size, resolution, variant, adapter, settings, defaults, link, notice)
