"""The head of a 4-bit model on a CPU: four bits find the likeliest tokens, sixteen score them.

The head of the larger models is their embedding, which stays in 16 bits when the layers are
quantized; reading all of it for every token takes longer than all 4-bit layers of the 3B together.
Here a 4-bit copy of it gives every token a rough score, and the rows of the likeliest are read in
16 bits. What is likely has the score that the plain head gives it; the others are rough.
"""

from __future__ import annotations

import torch

EXACT = 64  # tokens that are scored in 16 bits
MOST_STATES = 16  # at one time; for more than these the plain head is as fast
_PART = 16_384  # tokens that are quantized at one time: packing takes eight times their memory
_UNIT = 32  # the kernel takes rows by this number


class Head(torch.nn.Linear):
    """`torch.nn.Linear` for inference, faster for a few states; made by `shrink`."""

    parts: tuple[torch.nn.Module, ...]  # 4-bit layers, each of some tokens

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """bfloat16[..., width] -> bfloat16[..., vocabulary]."""
        flat = states.reshape(-1, self.in_features)
        if len(flat) > MOST_STATES or torch.is_grad_enabled():
            return super().forward(states)
        # 1. Every token, roughly.
        scores = torch.cat([part(flat) for part in self.parts], dim=-1)
        scores = scores[:, : self.out_features]  # (states, vocabulary)
        # 2. The likeliest, exactly.
        likeliest = scores.topk(min(EXACT, self.out_features), sorted=False).indices
        for each, state, tokens in zip(scores, flat, likeliest, strict=True):
            each[tokens] = torch.nn.functional.linear(state, self.weight[tokens])
        return scores.view(*states.shape[:-1], self.out_features)


def shrink(linear: torch.nn.Linear) -> None:
    """Make a bfloat16 head on a CPU a `Head`, where the processor has fast kernels for 4 bits.

    It keeps its weight; the copy takes about 0.53 bytes per parameter beside it.
    """
    from bitsandbytes.functional import has_avx512bf16

    if linear.weight.dtype is not torch.bfloat16 or not has_avx512bf16():
        return
    parts = tuple(_in_four_bits(rows) for rows in linear.weight.detach().split(_PART))
    linear.__class__ = Head
    linear.parts = parts


def _in_four_bits(weight: torch.Tensor) -> torch.nn.Module:
    """A 4-bit layer of (tokens, width), with rows of zeros after them where it needs them."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    weight = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % _UNIT))
    with torch.device("meta"):
        layer = Linear4bit(
            weight.shape[1],
            weight.shape[0],
            bias=False,
            compute_dtype=weight.dtype,
            compress_statistics=False,
            quant_type="nf4",
        )
    layer.weight = Params4bit(
        weight, requires_grad=False, compress_statistics=False, quant_type="nf4"
    )
    layer = layer.to(weight.device).eval()
    with torch.inference_mode():
        layer(weight.new_zeros(1, weight.shape[1]))  # packs its weight
    return layer
