"""Linear layers on a CPU, by oneDNN, with what follows a product done while it is at hand.

torch takes MKL for float32 products, which leaves half of what AVX-512 can do unused on processors
that are not Intel's; oneDNN, which torch brings along for bfloat16, does not. And where torch reads
and writes a whole product again for each operation that follows, oneDNN does some of them to a part
of it before that leaves the processor, in float32. Numbers differ by rounding alone.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch

_STEP = 8  # rows


class OneDnnLinear(torch.nn.Linear):
    """`torch.nn.Linear` for inference, made by `use_onednn`: its products can go through oneDNN."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), in float32, or by torch itself in bfloat16."""
        if states.dtype is torch.float32 and _takes_onednn(self, states):
            return torch.ops.mkldnn._linear_pointwise(
                states, self.weight, self.bias, "none", [], ""
            )
        return super().forward(states)


def use_onednn(model: torch.nn.Module) -> None:
    """Make a model's layers on a CPU use oneDNN, where torch was built with it."""
    if not torch.backends.mkldnn.is_available():
        return
    formats = {torch.float32}
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        formats.add(torch.bfloat16)
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            weight = module.weight
            if weight.dtype in formats and weight.device.type == "cpu":
                module.__class__ = OneDnnLinear


def pad_rows(states: torch.Tensor) -> torch.Tensor:
    """(rows, width) with rows of zeros after them, up to a number of rows that comes up often.

    oneDNN prepares itself for each number of rows that it meets, and keeps up to a megabyte for
    each. Those that are added take next to no time: up to 8 a power of two, then a multiple of 8.
    """
    rows = len(states)
    wanted = 1 << (rows - 1).bit_length() if rows < _STEP else -(-rows // _STEP) * _STEP
    return states if rows == wanted else torch.nn.functional.pad(states, (0, 0, 0, wanted - rows))


def without_idle_adapters(layer: torch.nn.Module) -> torch.nn.Module:
    """The layer that PEFT wrapped, where none of the adapters that are on has a part in it.

    PEFT wraps a layer when the first adapter with a part in it is loaded, and leaves it wrapped.
    Whoever uses the base, or an adapter without a part in it, must get the numbers of the plain
    layer, whatever else is loaded.
    """
    wrapped: Any = layer
    base = getattr(layer, "base_layer", None)
    if base is None or wrapped.merged:
        return layer
    if wrapped.disable_adapters:
        return base
    has_part = any(name in wrapped.lora_A for name in wrapped.active_adapters)
    return layer if has_part else base


def linear_gelu(layer: torch.nn.Module, states: torch.Tensor) -> torch.Tensor:
    """gelu(layer(states)), approximated by tanh; at once where the layer is an `OneDnnLinear`."""
    layer = without_idle_adapters(layer)
    if _takes_onednn(layer, states):
        return torch.ops.mkldnn._linear_pointwise(
            states, layer.weight, layer.bias, "gelu", [], "tanh"
        )
    return torch.nn.functional.gelu(layer(states), approximate="tanh")


def linear_mul(layer: torch.nn.Module, states: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """layer(states) · factor, of the same shape; at once where the layer is an `OneDnnLinear`."""
    layer = without_idle_adapters(layer)
    if _takes_onednn(layer, states):
        return _binary(layer, states, factor, "mul")
    return layer(states).mul_(factor)


def linear_add(layer: torch.nn.Module, states: torch.Tensor, summand: torch.Tensor) -> torch.Tensor:
    """layer(states) + summand, of the same shape; at once where the layer is an `OneDnnLinear`."""
    layer = without_idle_adapters(layer)
    if _takes_onednn(layer, states):
        return _binary(layer, states, summand, "add")
    return layer(states).add_(summand)


def _takes_onednn(layer: torch.nn.Module, states: torch.Tensor) -> TypeGuard[OneDnnLinear]:
    """A single row is left to torch, which is as fast there."""
    return (
        isinstance(layer, OneDnnLinear)
        and states.numel() != layer.in_features
        and not torch.is_grad_enabled()
    )


def _binary(
    layer: OneDnnLinear, states: torch.Tensor, other: torch.Tensor, how: str
) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise.binary(states, other, layer.weight, layer.bias, how)
