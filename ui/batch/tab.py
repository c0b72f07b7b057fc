"""The tab "Batch" on the page: an empty place, which its own page fills when it is first opened."""

from __future__ import annotations

import gradio as gr

from ui.ask import AskTab
from ui.events import SCRIPTED, call

PLACE = '<div id="batch"><p class="about">Loading …</p></div>'


def build_batch(tab: gr.Tab, ask: AskTab) -> None:
    """Put the place in; called inside its `tab`. It begins with what is asked on the tab Ask."""
    gr.HTML(PLACE, padding=False)
    inputs = ask.inputs
    fields = [inputs.task, inputs.language, inputs.question, inputs.answer, inputs.objects]
    tab.select(
        fn=None,
        js=call("openBatch"),
        inputs=[*fields, inputs.text, *ask.model.settings[:5]],
        **SCRIPTED,
    )
