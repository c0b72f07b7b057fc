"""The head of a 4-bit model on a CPU: four bits find the likeliest tokens, sixteen score them.

The head of the larger models is their embedding, which stays in 16 bits when the layers are
quantized; reading all of it for every token takes longer than all 4-bit layers of the 3B together.
Here a 4-bit copy of it gives every token a rough score, and the rows of the likeliest are read in
16 bits. What is likely has the score that the plain head gives it; the others are rough. As
`models.layers.nf4_cpu`, this is only imported for models in 4 bits.
"""

from __future__ import annotations

from typing import cast

import torch
from bitsandbytes.functional import has_avx512bf16

from models.layers.nf4_cpu import FourBitLinear, quantize

SHORTLIST = 64  # tokens that are scored in 16 bits
MAX_STATES = 16  # at one time; for more than these the plain head is as fast
_PART_TOKENS = (
    16_384  # tokens that are quantized at one time: packing takes eight times their memory
)


class ShortlistHead(torch.nn.Linear):
    """`torch.nn.Linear` for inference, faster for a few states; made by `use_shortlist`."""

    parts: tuple[FourBitLinear, ...]  # each of some tokens

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """bfloat16[..., width] -> bfloat16[..., vocabulary]."""
        flat = states.reshape(-1, self.in_features).contiguous()
        if len(flat) > MAX_STATES or torch.is_grad_enabled():
            return super().forward(states)
        # 1. Every token, roughly.
        sizes = [part.out_features for part in self.parts]
        scores = flat.new_empty(len(flat), sum(sizes))
        for part, into in zip(self.parts, scores.split(sizes, dim=1), strict=True):
            part.multiply(flat, into)
        scores = scores[:, : self.out_features]  # (states, vocabulary)
        # 2. The likeliest, exactly.
        likeliest = scores.topk(min(SHORTLIST, self.out_features), sorted=False).indices
        for each, state, tokens in zip(scores, flat, likeliest, strict=True):
            each[tokens] = torch.nn.functional.linear(state, self.weight[tokens])
        return scores.view(*states.shape[:-1], self.out_features)


def use_shortlist(linear: torch.nn.Linear) -> None:
    """Make a bfloat16 head on a CPU a `ShortlistHead`, where there are fast kernels for 4 bits.

    It keeps its weight; the copy takes about 0.53 bytes per parameter beside it.
    """
    if linear.weight.dtype is not torch.bfloat16 or not has_avx512bf16():
        return
    parts = tuple(quantize(rows) for rows in linear.weight.detach().split(_PART_TOKENS))
    linear.__class__ = ShortlistHead
    cast(ShortlistHead, linear).parts = parts
