"""Muon in float32 where bfloat16 is slow.

`torch.optim.Muon` orthogonalizes in bfloat16 alone, which takes a CPU without instructions for it
much longer than float32 does. The step is the same as torch's.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from training.autocast import has_bf16_instructions

# Of the quintic iteration by Keller Jordan, as in torch.
A, B, C = 3.4445, -4.7750, 2.0315
EPSILON = 1e-7


class Float32Muon(torch.optim.Muon):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"` and Nesterov's momentum, computed in
    the format of the parameters; either goes on from the other's state."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # no closure is used
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        direction = orthogonal(gradient.lerp(buffer, group["momentum"]), group["ns_steps"])
        rate = group["lr"] * 0.2 * math.sqrt(max(parameter.shape))
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)


def orthogonal(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """A matrix of about the same singular vectors whose singular values are all near 1."""
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if is_tall else matrix
    found = found / found.norm().clamp(min=EPSILON)
    for _ in range(steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=B, alpha=C), found, beta=A)
    return found.T if is_tall else found


def muon(params: list[dict], weight_decay: float, ns_steps: int) -> torch.optim.Optimizer:
    """torch's Muon where the parameters' device is quick at bfloat16, else `Float32Muon`; either
    scales its steps to the size of AdamW's."""
    kind = torch.optim.Muon if has_bf16_instructions(params[0]["params"][0].device) else Float32Muon
    return kind(
        params, weight_decay=weight_decay, ns_steps=ns_steps, adjust_lr_fn="match_rms_adamw"
    )
