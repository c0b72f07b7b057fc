"""The tab "Compare": one picture and prompt, answered by several models side by side."""

from __future__ import annotations

import gradio as gr

ABOUT = (
    '<p class="about">The same picture and prompt, answered side by side by two to four models, '
    "adapters, precisions or ways of decoding.</p>"
)


def build_compare() -> None:
    """Put the tab's components in place; called inside its `gr.Tab`."""
    gr.HTML(ABOUT, padding=False)
