"""What the machine could do at best, measured, and what an answer asks of it, counted.

A token cannot come sooner than the weights can be read, nor the first one sooner than the products
of the prefix can be computed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from evaluation.speed.stopwatch import stopwatch
from models.catalog.checkpoints import Checkpoint
from models.catalog.memory import BYTES_PER_PARAMETER

TIMES = 7
NUMBERS = 2**28  # float32 numbers, a gigabyte: more than any cache holds
SIDE = 4096  # of a product, so large that its speed is that of the arithmetic
_PACKED = 0.5 + 2 / 64  # bytes per 4-bit parameter as bitsandbytes packs it for a CPU


@dataclass(frozen=True)
class Limits:
    """Bytes per second that a sum reads, and the operations per second of a square product."""

    bytes_per_s: float
    operations_per_s: dict[str, float]


def measure(device: torch.device, dtypes: dict[str, torch.dtype]) -> Limits:
    """Medians of TIMES runs on a device."""
    numbers = torch.ones(NUMBERS, device=device)
    read_s = _median(numbers.sum, device)
    rates = {}
    for name, dtype in dtypes.items():
        square = torch.randn(SIDE, SIDE, device=device).to(dtype)
        product_s = _median(partial(_product, square), device)
        rates[name] = 2 * SIDE**3 / product_s
    return Limits(numbers.nbytes / read_s, rates)


def _product(square: torch.Tensor) -> torch.Tensor:
    """By oneDNN where it is a CPU's float32, as in `models.layers.onednn`; else torch's choice."""
    is_float32 = square.device.type == "cpu" and square.dtype is torch.float32
    if is_float32 and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(square, square, None, "none", [], "")
    return square @ square


def _median(work: Callable[[], torch.Tensor], device: torch.device) -> float:
    found = []
    for _ in range(TIMES + 1):
        seconds = stopwatch()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(seconds())
    return statistics.median(found[1:])


def token_bytes(checkpoint: Checkpoint, precision: str, on_cpu: bool, has_small_head: bool) -> int:
    """Bytes that one further token reads: the text model's layers, the head, and the cache.

    `has_small_head` says that the head is a 4-bit copy of itself (`models.layers.shortlist_head`).
    """
    text = checkpoint.shape.text
    linear, other = BYTES_PER_PARAMETER[precision]
    if precision == "nf4" and on_cpu:
        linear = _PACKED
    head = text.vocabulary * text.width * (_PACKED if has_small_head else other)
    cache = checkpoint.image_tokens * text.cache_values * other
    return round(text.linear_parameters * linear + head + cache)


def prefix_operations(checkpoint: Checkpoint) -> int:
    """Multiplications and additions from a picture to the first token, as in the engine.

    In the last layer only one token attends and goes on; plain `generate` does a little more.
    """
    vision, text = checkpoint.shape.vision, checkpoint.shape.text
    tokens = checkpoint.image_tokens
    patches = 3 * vision.patch**2 * vision.width
    layer = 4 * vision.width**2 + 2 * vision.width * vision.mlp + 2 * tokens * vision.width
    projector = vision.width * text.width
    scores = 2 * tokens * text.heads * text.head_dim
    rest_of_last = scores + text.width * (text.heads * text.head_dim + 3 * text.mlp)
    decoder = text.linear_parameters + text.layers * scores
    per_token = patches + vision.layers * layer + projector + decoder
    once = text.vocabulary * text.width
    return 2 * (tokens * per_token - (tokens - 1) * rest_of_last + once)
