"""The format that training computes in: bfloat16 where the device has instructions for it."""

from __future__ import annotations

import platform

import torch


def has_bf16_instructions(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without, it takes several times as long."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def bf16_autocast(device: torch.device) -> torch.autocast:
    """Computes in bfloat16 within, where the device has instructions for it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16_instructions(device))


def autocast_dtype(device: torch.device) -> torch.dtype:
    """The format inside such a context."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32
