"""How the next token is chosen from logits: greedily, or drawn with a seed per row.

Temperature, top-k and top-p are transformers' own; drawing has a random generator for each row, so
that rows that sample beside each other do not disturb each other's seed.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from models.schema import Decoding


class Draw(LogitsProcessor):
    """Sampling by the Gumbel-max trick: noise on the scores, then the largest is taken.

    The same distribution as drawing from the softmax.
    """

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """`scores` (1, vocabulary) with noise; `input_ids` do not matter."""
        uniform = torch.rand(scores.shape, generator=self._generator, dtype=torch.float64)
        noise = -torch.log(-torch.log(uniform.clamp_(1e-300, 1 - 1e-16)))
        return scores + noise.to(scores)


def warpers(decoding: Decoding) -> LogitsProcessorList:
    """What is done to scores before the largest is taken, in the order in which `generate` does it.

    Empty for greedy decoding.
    """
    steps = LogitsProcessorList()
    if decoding.temperature > 0:
        steps.append(TemperatureLogitsWarper(float(decoding.temperature)))
        if decoding.top_k > 0:
            steps.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            steps.append(TopPLogitsWarper(decoding.top_p))
        steps.append(Draw(decoding.seed))
    return steps


def draw(logits: torch.Tensor, steps: LogitsProcessorList) -> int:
    """The next token's id, from logits (vocabulary,) in any format and what `warpers` gave.

    As `generate` does, scores are computed in float32.
    """
    ids: Any = None  # what was written so far, which none of `warpers` reads
    return int(steps(ids, logits.float()[None]).argmax())


def log_probability(logits: torch.Tensor, token_id: int) -> float:
    """Natural logarithm of the probability that the model itself gives a token, without warpers."""
    return float(torch.log_softmax(logits.float(), dim=-1)[token_id])
