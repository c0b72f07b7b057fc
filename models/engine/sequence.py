"""A request while it is answered, and how its answer ended."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field

import torch
from transformers import LogitsProcessorList

from models.catalog.adapter import Adapter
from models.engine.detokenizer import Detokenizer
from models.schema import Request, TokenScore


@dataclass(frozen=True)
class Finished:
    """The end of an answer; `finish_reason` is one of `schema.FINISH_REASONS`.

    `tokens` are those of the text, without the end token. `first_token_s` counts from the start of
    the work on the picture, `decode_s` from there to the last token of the text. Beams settle
    their text at the end: all of the time is `first_token_s` then and `decode_s` is 0. `scores` are
    of the tokens of the text, none with beams. `notes` are sentences about the answer for whoever
    asked.
    """

    text: str
    finish_reason: str
    tokens: int
    first_token_s: float
    decode_s: float
    notes: tuple[str, ...] = ()
    scores: tuple[TokenScore, ...] = ()
    token_ids: tuple[int, ...] = ()  # end tokens are not among them
    prompt_tokens: int = 0  # those of the pictures among them


@dataclass(eq=False)  # one is found by identity, not by comparing pictures
class Sequence:
    """A request while it is answered: its slot in the cache, and its tokens so far."""

    request: Request
    cancelled: threading.Event
    detokenizer: Detokenizer
    processors: LogitsProcessorList
    started: float
    adapter: Adapter | None = None
    taken_slot: int | None = None  # with beams it takes none
    prefix: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))  # ids
    pictures: tuple[Hashable, ...] = ()  # the keys of their features
    length: int = 0  # tokens in the cache
    ids: list[int] = field(default_factory=list)
    scores: list[TokenScore] = field(default_factory=list)  # none with beams
    failure: Exception | None = None
    first_token_s: float = 0.0
    last_token_s: float = 0.0

    @property
    def slot(self) -> int:
        """The slot of the cache, for a sequence that has taken one."""
        assert self.taken_slot is not None
        return self.taken_slot

    def must_stop(self) -> str | None:
        """Why no further token is wanted, None where one is."""
        if self.cancelled.is_set():
            return "cancelled"
        limit_s = self.request.deadline_s
        limit_s = math.inf if limit_s is None else limit_s
        return "deadline" if time.monotonic() >= self.started + limit_s else None
