"""Linear layers in float32 on a CPU, by oneDNN.

torch takes MKL for float32 products, which leaves half of what AVX-512 can do unused on processors
that are not Intel's. oneDNN, which torch brings along for other formats, does not. Numbers differ
by rounding alone.
"""

from __future__ import annotations

import torch


class Linear(torch.nn.Linear):
    """`torch.nn.Linear` for inference; a single row is left to torch, which is as fast there."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """float32[..., in_features] -> float32[..., out_features]."""
        if states.numel() == self.in_features or torch.is_grad_enabled():
            return super().forward(states)
        return torch.ops.mkldnn._linear_pointwise(states, self.weight, self.bias, "none", [], "")


def hasten(model: torch.nn.Module) -> None:
    """Make a model's float32 layers on a CPU use oneDNN, where torch was built with it."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is not torch.nn.Linear:
            continue
        weight = module.weight
        if weight.dtype is torch.float32 and weight.device.type == "cpu":
            module.__class__ = Linear
