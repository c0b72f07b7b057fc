"""The format that training computes in: bfloat16 where the device is quick at it."""

from __future__ import annotations

import torch


def quick(device: torch.device) -> torch.autocast:
    """A context that computes in bfloat16; in float32 on a CPU without instructions for it, which
    would take several times as long."""
    is_quick = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=is_quick)


def format_of(device: torch.device) -> torch.dtype:
    """The format inside such a context."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32
