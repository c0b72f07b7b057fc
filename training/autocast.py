"""The format that training computes in: bfloat16 where the device is quick at it."""

from __future__ import annotations

import platform

import torch


def is_quick(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without, it takes several times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def quick(device: torch.device) -> torch.autocast:
    """A context that computes in bfloat16 where the device is quick at it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=is_quick(device))


def format_of(device: torch.device) -> torch.dtype:
    """The format inside such a context."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32
