"""The page as a whole, built over a backend: a head, and a tab for each thing it does."""

from __future__ import annotations

import gradio as gr

from models.serving.backend import Backend
from ui.ask import build_ask
from ui.batch.tab import build_batch
from ui.compare import build_compare
from ui.endpoints import add_endpoints
from ui.events import PRIVATE
from ui.examples import Example
from ui.handlers import Handlers
from ui.head import header
from ui.social import TITLE

RENEWED_S = 2.0


def build_page(
    backend: Backend,
    examples: tuple[Example, ...],
    cache_s: tuple[int, int],
    has_batch: bool = True,
) -> gr.Blocks:
    """The page over a backend; `cache_s` is how often and after which age uploads are deleted.

    Examples whose checkpoint cannot be used here are not offered.
    """
    usable = tuple(each for each in examples if backend.missing(each.checkpoint.name) is None)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=cache_s) as page:
        gr.HTML(header(), padding=False)
        handlers = Handlers(backend, usable)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Ask", id="ask", elem_id="ask-tab"):
                ask = build_ask(page, backend, handlers, usable)
            with gr.Tab("Compare", id="compare", elem_id="compare-tab") as compare_tab:
                build_compare(page, compare_tab, backend, handlers, usable, ask)
            if has_batch:
                with gr.Tab("Batch", id="batch", elem_id="batch-tab") as batch_tab:
                    build_batch(batch_tab, ask)
        add_endpoints(backend, handlers, ask.inputs.image)
        if backend.catalog.metrics:
            owner_panel(handlers)
    return page


def owner_panel(handlers: Handlers) -> None:
    """What the loaded models do, a table that is renewed every other second."""
    with gr.Accordion("Engine", open=False, elem_id="engine"):
        figures = gr.HTML(handlers.engine_figures(), padding=False)
        gr.Timer(RENEWED_S).tick(handlers.engine_figures, None, figures, **PRIVATE)
