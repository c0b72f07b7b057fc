"""The answers of this browser: kept there and nowhere else, restored and cleared by a click.

The server knows none of them. One that is restored is sent back as the picture, the fields and the
result's JSON, and shown as if it had just been answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from models.images import OpenedImage
from models.schema import Request, UserError
from models.serving.backend import Backend
from ui import markup
from ui.answers import blank, finished
from ui.events import PRIVATE, SCRIPTED, call
from ui.save_handlers import answered
from ui.several import Upload, open_all

LIST = (
    '<ul id="history-list" aria-label="Answers"></ul><p class="none">Nothing yet.</p>'
    '<p id="history-note" role="status"></p>'
)
RECALLED_AT_ONCE = 2  # each holds a picture in memory


@dataclass(frozen=True)
class History:
    """The list is `scripts/history.js`'s; it presses `recall`, which nobody sees."""

    recall: gr.Button
    clear: gr.Button


def history_panel() -> History:
    """Folded: a list of thumbnails, and a way to clear it."""
    with gr.Accordion("History: kept in this browser only", open=False, elem_id="history"):
        gr.HTML(LIST, padding=False)
        clear = gr.Button("Clear history", size="sm", elem_id="clear-history", min_width=0, scale=0)
    recall = gr.Button("Show an answer again", elem_id="recall")
    return History(recall, clear)


class HistoryHandlers:
    """The handler of the page's history, over a backend."""

    def __init__(self, backend: Backend):
        self._backend = backend

    def recall(
        self,
        image: OpenedImage | UserError | None,
        details: Any,
        more_images: Sequence[Upload] = (),
    ) -> tuple[Any, ...]:
        """What `Handlers.answer` yielded last for the answer whose JSON `details` is, and an empty
        place for what an example expects."""
        try:
            opened, result = answered(image, details)
            checkpoint = self._backend.catalog.find(result.checkpoint)
            request = Request(
                image=opened.image,
                prompt=result.prompt,
                checkpoint=result.checkpoint,
                adapter=result.adapter,
                more_images=tuple(each.image for each in open_all(opened, more_images)[1:]),
            )
            # The prompt, too, may have been changed into one that is none.
            return *finished(request, result, is_nano=checkpoint.size == "nano"), ""
        except UserError as error:
            return *blank(markup.notice(str(error), "error")), ""


def wire_history(
    handlers: HistoryHandlers,
    history: History,
    question: Sequence[Any],
    outputs: Sequence[Any],
    asked: str,
    recalled: str,
    choose: Callable[..., Any],
) -> None:
    """A chosen answer fills the page as it was asked, then stands there as it was answered.

    `outputs` are those of an answer and what an example expects, `asked` is the script that says
    what an answer belongs to, `recalled` the one that gives what was asked, and
    `choose(event)` lets the model's pickers follow. The script begins with the next answer only
    when it is told that this one stands there, or cannot.
    """
    image, further, details = question[0], question[-1], outputs[-2]
    filled = history.recall.click(fn=None, js=recalled, outputs=list(question), **SCRIPTED)
    chosen = choose(filled)
    marked = chosen.then(fn=None, js=asked, inputs=list(question), **SCRIPTED)
    shown = marked.then(
        fn=handlers.recall,
        js=call("recallAnswer"),
        inputs=[image, details, further],
        outputs=list(outputs),
        concurrency_limit=RECALLED_AT_ONCE,
        concurrency_id="recall",
        **PRIVATE,
    )
    shown.success(fn=None, js=call("recalled"), **SCRIPTED)
    shown.failure(fn=None, js=call("recallFailed"), **SCRIPTED)
    history.clear.click(fn=None, js=call("clearHistory"), **SCRIPTED)
