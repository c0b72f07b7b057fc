"""Soft-capped attention that never holds the whole score matrix.

Gemma 2 squashes its scores with a tanh before the softmax, which the fused kernels of torch do not
do; written plainly, H heads of S tokens hold H × S² scores. Here the queries come in blocks, so
that what is held grows with S alone. A block sees all of its keys at once: no running softmax is
needed, and the numbers are those of the plain way.
"""

from __future__ import annotations

import torch

from models.memory import ATTENTION_BLOCK_BYTES


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    softcap: float | None,
    hidden: torch.Tensor | None = None,
    block_bytes: int = ATTENTION_BLOCK_BYTES,
) -> torch.Tensor:
    """softmax(softcap · tanh(query · keyᵀ · scale / softcap)) · value, in the format of `query`.

    `query` is (rows, heads, queries, head_dim); `key` and `value` are (rows, key_heads, keys,
    head_dim), where heads is a multiple of key_heads and neighbouring heads share one. `hidden` is
    bool(rows, keys), True where a key is not to be seen. The softmax is taken in float32. No more
    than about `block_bytes` of scores are held at one time. Source:
    `eager_attention_forward` of transformers' Gemma 2.
    """
    rows, heads, queries, head_dim = query.shape
    key_heads, keys = key.shape[1:3]
    group = heads // key_heads
    # 1. The heads that share a key stand below each other, so that keys need no copy.
    stacked = query.reshape(rows, key_heads, group * queries, head_dim)
    key = key.transpose(2, 3)  # (rows, key_heads, head_dim, keys)
    if hidden is not None:
        hidden = hidden[:, None, None, :]  # (rows, 1, 1, keys)
    # 2. Block by block.
    block = max(1, block_bytes // (4 * rows * key_heads * keys))
    parts = []
    for part in stacked.split(block, dim=2):
        scores = torch.matmul(part, key).mul_(scale)  # (rows, key_heads, block, keys)
        if softcap is not None:
            scores.div_(softcap).tanh_().mul_(softcap)
        if hidden is not None:
            scores.masked_fill_(hidden, float("-inf"))
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        parts.append(torch.matmul(weights, value))  # (rows, key_heads, block, head_dim)
    out = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return out.view(rows, heads, queries, head_dim)
