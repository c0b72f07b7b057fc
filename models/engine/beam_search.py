"""Beam search, which runs alone: `generate` of transformers does it, watched at each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from models.loading.loader import LoadedModel
from models.schema import Decoding


@dataclass
class _Watch(StoppingCriteria):
    """Asked after each step whether to stop; remembers why it said so."""

    must_stop: Callable[[], str | None]
    reason: str | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.reason = self.must_stop()
        stop = self.reason is not None
        return torch.full((input_ids.shape[0],), stop, device=input_ids.device, dtype=torch.bool)


def search(
    loaded: LoadedModel,
    inputs: dict[str, torch.Tensor],
    decoding: Decoding,
    must_stop: Callable[[], str | None],
) -> tuple[list[int], str | None]:
    """The best beam's new ids, padding after its end included, and why it was stopped early.

    `must_stop` is asked after each step, and gives a reason or None.
    """
    watch = _Watch(must_stop)
    model: Any = loaded.model  # its `generate` is typed for other arguments than it takes
    output = model.generate(
        **inputs,
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        num_beams=decoding.num_beams,
        stopping_criteria=StoppingCriteriaList([watch]),
    )
    return output[0, inputs["input_ids"].shape[1] :].tolist(), watch.reason
