"""How the next token is chosen from logits: greedily, or sampled with a seed per sequence.

Temperature, top-k and top-p are transformers' own; each sequence has a random generator of
its own, so that sequences that are sampled side by side do not disturb each other's seed.
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


class GumbelNoise(LogitsProcessor):
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


def logits_processors(decoding: Decoding) -> LogitsProcessorList:
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
        steps.append(GumbelNoise(decoding.seed))
    return steps


def sample(logits: torch.Tensor, processors: LogitsProcessorList) -> int:
    """The next token's id, from logits (vocabulary,) in any dtype and `logits_processors`.

    As `generate` does, scores are computed in float32.
    """
    ids: Any = None  # what was written so far, which none of `processors` reads
    return int(processors(ids, logits.float()[None]).argmax())
