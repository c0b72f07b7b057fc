"""Several requests answered at once, and what is known of each answer so far.

Each has a thread that reads its events, so that none waits for another; the backend decodes those
of one model as rows of one batch.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from models.schema import Request, Result, StatusEvent, TokenEvent, UserError
from models.serving.backend import Backend, Event
from ui.refusals import OWN_FAILURE

logger = logging.getLogger(__name__)

WAITING = StatusEvent("Waiting …")


@dataclass(frozen=True)
class SideAnswer:
    """An answer so far: `text` is raw, `tokens` how many came and `seconds` since prefill began.

    `result` is there once it is whole; `error` is why there is none.
    """

    status: StatusEvent = WAITING
    text: str = ""
    tokens: int = 0
    seconds: float | None = None
    result: Result | None = None
    error: UserError | None = None
    is_stopped: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self.is_stopped or self.result is not None or self.error is not None


def answer_side_by_side(
    backend: Backend, requests: Mapping[int, Request], stop: threading.Event
) -> Iterator[tuple[int, SideAnswer]]:
    """Each request's answer whenever more of it is known, by the request's key, until all are over.

    One that fails ends alone. `stop`, also set when this is closed, ends them all within a step.
    """
    found: queue.SimpleQueue[tuple[int, Event | UserError | None]] = queue.SimpleQueue()
    for key, request in requests.items():
        # Of the visitor's call: ZeroGPU looks there for whose time is spent.
        context = contextvars.copy_context()
        work = (backend, key, request, stop, found)
        threading.Thread(target=context.run, args=(_read, *work), daemon=True).start()
    answers = {key: SideAnswer() for key in requests}
    try:
        while not all(answer.is_over for answer in answers.values()):
            key, event = found.get()
            answers[key] = _with(answers[key], event)
            yield key, answers[key]
    finally:
        stop.set()


def _read(
    backend: Backend,
    key: int,
    request: Request,
    stop: threading.Event,
    found: queue.SimpleQueue[tuple[int, Event | UserError | None]],
) -> None:
    """Put a request's events, or why it fails, and None at the end."""
    try:
        events = backend.answer(request)
        try:
            for event in events:
                if stop.is_set():
                    break
                found.put((key, event))
        finally:
            events.close()
    except UserError as error:
        found.put((key, error))
    except Exception:
        logger.exception("answering %s failed", request.checkpoint)
        found.put((key, OWN_FAILURE))
    found.put((key, None))


def _with(answer: SideAnswer, event: Event | UserError | None) -> SideAnswer:
    if isinstance(event, StatusEvent):
        return replace(answer, status=event)
    if isinstance(event, TokenEvent):
        return replace(
            answer,
            status=StatusEvent("Writing …"),
            text=event.text,
            tokens=event.index + 1,
            seconds=event.elapsed_s,
        )
    if isinstance(event, Result):
        spent = event.timings
        seconds = spent.first_token_s + spent.decode_s
        return replace(answer, text=event.text, tokens=spent.tokens, seconds=seconds, result=event)
    if isinstance(event, UserError):
        return replace(answer, error=event)
    return replace(answer, is_stopped=not answer.is_over)
