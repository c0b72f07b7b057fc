"""Explaining the answer on the page: a request about it, and the outcome as HTML."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from models.images import OpenedImage
from models.limits import MAX_NEW_TOKENS
from models.schema import Explanation, Request, StatusEvent, UserError
from models.serving.backend import Backend
from ui import markup
from ui.explanation import to_html
from ui.refusals import OWN_FAILURE
from ui.runs import Runs
from ui.several import Upload, open_all

logger = logging.getLogger(__name__)

NO_ANSWER = UserError("There is no whole answer to explain.", "Press Run first.")


class ExplainHandlers:
    """The handlers of the page's explanation, over a backend and the page's running answers."""

    def __init__(self, backend: Backend, runs: Runs):
        self._backend, self._runs = backend, runs

    def explain(
        self,
        image: OpenedImage | UserError | None,
        details: Any,
        precision: str | None,
        session: gr.Request,
        more_images: Sequence[Upload] = (),
    ) -> Iterator[str]:
        """HTML: what is going on, at last the explanation of the answer whose JSON `details` is."""
        try:
            request = _request(image, details, precision, more_images)
            with self._runs.open(session.session_hash or "") as stop:
                events = self._backend.answer(request)
                said = None
                try:
                    for event in events:
                        if stop.is_set():
                            return
                        if isinstance(event, Explanation):
                            yield to_html(event, request.images)
                        elif isinstance(event, StatusEvent) and event != said:
                            said = event
                            yield markup.status(event.message, event.share)
                finally:
                    events.close()
        except UserError as error:
            yield markup.notice(str(error), "error")
        except Exception:
            logger.exception("explaining failed")
            yield markup.notice(str(OWN_FAILURE), "error")

    def clear(self) -> str:
        """Nothing, for a new answer."""
        return ""


def _request(image: Any, details: Any, precision: str | None, further: Sequence[Upload]) -> Request:
    """The request about an answer; UserError where the page has no such answer."""
    if isinstance(image, UserError):
        raise image
    details = details if isinstance(details, dict) else {}
    ids: Any = details.get("token_ids")
    is_answer = (
        isinstance(ids, list)
        and 0 < len(ids) <= MAX_NEW_TOKENS
        and all(type(each) is int for each in ids)
        and all(isinstance(details.get(name), str) for name in ("prompt", "checkpoint"))
        and isinstance(details.get("adapter"), str | None)
    )
    if image is None or not is_answer:
        raise NO_ANSWER
    return Request(
        image=image.image,
        more_images=tuple(each.image for each in open_all(image, further)[1:]),
        prompt=details["prompt"],
        checkpoint=details["checkpoint"],
        precision=precision or "auto",
        adapter=details["adapter"],
        answer_ids=tuple(ids),
    )
