"""4-bit layers on a CPU: bitsandbytes' kernel, called without what stands around it there.

A token of the 3B asks two hundred layers one by one. What bitsandbytes checks and converts for each
of them takes as long as the kernel needs for the smaller ones. Importing this module imports
bitsandbytes, so whoever has no 4-bit layers should not.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import torch
from bitsandbytes.cextension import lib
from bitsandbytes.nn.modules import Linear4bit, Params4bit

BLOCK = 64  # weights of a row that share a scale
UNIT = 32  # the kernel takes rows of a weight by this number


class FourBitLinear(Linear4bit):
    """`Linear4bit` for inference, made by `use_direct_kernel` or `quantize`; same numbers."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """bfloat16[..., in_features] -> bfloat16[..., out_features]; others go to Linear4bit."""
        if states.dtype is not torch.bfloat16 or states.requires_grad or not is_packed(self):
            return super().forward(states)
        flat = states.reshape(-1, self.in_features).contiguous()
        out = flat.new_empty(len(flat), self.out_features)
        self.multiply(flat, out)
        return out.view(*states.shape[:-1], self.out_features)

    def multiply(self, states: torch.Tensor, out: torch.Tensor) -> None:
        """bfloat16[n, in_features] into bfloat16[n, out_features], whose rows may lie apart."""
        weight = self.weight
        _kernel()(
            len(states),
            self.out_features,
            self.in_features,
            states.data_ptr(),
            weight.data_ptr(),
            _quant_state(self).absmax.data_ptr(),
            out.data_ptr(),
            BLOCK,
            states.stride(0),
            out.stride(0),
        )

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """The weight as it is packed, to be looked at, not to be kept in a file.

        Loading an adapter asks for it. bitsandbytes would take the packing back, with the scales in
        a wrong order, and every answer after that would be nonsense.
        """
        torch.nn.Linear._save_to_state_dict(self, destination, prefix, keep_vars)


def is_packed(layer: Linear4bit) -> bool:
    """Whether a layer's weight is in the order that the kernel reads.

    bitsandbytes packs at the first use outside training, on processors that have AVX-512 BF16.
    """
    return getattr(_quant_state(layer), "packing_format_for_cpu", False)


def _quant_state(layer: Linear4bit) -> Any:
    """What bitsandbytes notes of a quantized weight: its scales, shape and format."""
    weight: Any = layer.weight  # a Tensor to the type checker, which has no such attribute
    return weight.quant_state


def use_direct_kernel(model: torch.nn.Module) -> None:
    """Make a model's packed nf4 layers call the kernel directly."""
    for module in model.modules():
        has_bias = getattr(module, "bias", None) is not None
        if type(module) is Linear4bit and not has_bias and is_packed(module):
            state = _quant_state(module)
            if state.quant_type == "nf4" and state.blocksize == BLOCK:
                module.__class__ = FourBitLinear


def quantize(weight: torch.Tensor) -> FourBitLinear:
    """A packed layer of bfloat16[rows, width], with rows of zeros after them up to a UNIT."""
    weight = torch.nn.functional.pad(weight, (0, 0, 0, -len(weight) % UNIT))
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
        weight, requires_grad=False, blocksize=BLOCK, compress_statistics=False, quant_type="nf4"
    )
    layer = layer.to(weight.device).eval()
    with torch.inference_mode():
        layer(weight.new_zeros(1, weight.shape[1]))  # packs its weight
    use_direct_kernel(layer)
    assert isinstance(layer, FourBitLinear)
    return layer


@functools.cache
def _kernel() -> Callable[..., None]:
    """Rows, features out and in; states, weight, scales and result; BLOCK, the rows' strides."""
    library: Any = lib  # the functions in it have no types
    address: Any = ctypes.cast(library.gemv_4bit_inference_cpu_nf4_bf16, ctypes.c_void_p).value
    sizes, pointers = [ctypes.c_int64] * 3, [ctypes.c_void_p] * 4
    return ctypes.CFUNCTYPE(None, *sizes, *pointers, *sizes)(address)
