"""Soft-capped attention that never holds the whole score matrix.

Gemma 2 squashes its scores with a tanh before the softmax, which the fused kernels of torch do not
do; written plainly, H heads of S tokens hold H × S² scores. Here one head's queries come in blocks,
so that memory grows with S alone and stays in a processor's caches. A block sees all of its
keys at once: no running softmax is needed, and the numbers are those of the plain way.
"""

from __future__ import annotations

import torch

from models.catalog.memory import ATTENTION_BLOCK_BYTES

FEW_QUERIES = 16  # queries, for which torch would spend most of its time on a copy of 16-bit keys


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    softcap: float | None,
    masked: torch.Tensor | None = None,
    block_bytes: int | None = None,
) -> torch.Tensor:
    """softmax(softcap · tanh(query · keyᵀ · scale / softcap)) · value, in the format of `query`.

    `query` is (rows, heads, queries, head_dim); `key` and `value` are (rows, key_heads, keys,
    head_dim), where heads is a multiple of key_heads and neighbouring heads share one. `masked` is
    bool(rows, keys), True where a key is not to be seen. The softmax is taken in float32. No more
    than about `block_bytes` of scores are held at one time, by default what suits the device.
    Source: `eager_attention_forward` of transformers' Gemma 2.
    """
    rows, heads, queries, head_dim = query.shape
    key_heads, keys = key.shape[1:3]
    if query.is_cuda and softcap is None and masked is None:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, scale=scale, enable_gqa=heads != key_heads
        )
    block_bytes = block_bytes or ATTENTION_BLOCK_BYTES[query.device.type]
    # 1. The heads that share a key stand below each other, so that keys need no copy.
    stacked = query.reshape(rows, key_heads, -1, head_dim)
    key = key.transpose(2, 3)  # (rows, key_heads, head_dim, keys)
    if masked is not None:
        masked = masked[:, None, None, :]  # (rows, 1, 1, keys)
    # 2. Few scores: all at once.
    if 4 * rows * heads * queries * keys <= block_bytes:
        mixed, _ = _attend_at_once(stacked, key, value, scale, softcap, masked)
        return mixed.view(query.shape)
    # 3. Many: row by row, head by head, and of each as many queries as fit.
    block = max(1, block_bytes // (4 * keys))
    out = torch.empty_like(stacked)
    for row in range(rows):
        row_mask = None if masked is None else masked[row, 0]  # (1, keys)
        for head in range(key_heads):
            parts = out[row, head].split(block)
            for part, into in zip(stacked[row, head].split(block), parts, strict=True):
                own = key[row, head], value[row, head]
                into.copy_(_attend_at_once(part, *own, scale, softcap, row_mask)[0])
    return out.view(query.shape)


def attend_with_weights(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    softcap: float | None,
    masked: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `attend` of one row, with the weights: (heads, queries, head_dim) and
    (heads, queries, keys).

    All scores are held, so queries should be few. `masked` is bool(queries, keys).
    """
    heads, queries, head_dim = query.shape
    stacked = query.reshape(len(key), -1, head_dim)  # the heads that share a key, below each other
    masked = masked.repeat(heads // len(key), 1)
    mixed, weights = _attend_at_once(stacked, key.mT, value, scale, softcap, masked)
    return mixed.view(query.shape), weights.view(heads, queries, -1)


def _attend_at_once(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    softcap: float | None,
    masked: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention and its weights, of query (…, queries, head_dim) and key (…, head_dim, keys)."""
    if query.shape[-2] <= FEW_QUERIES:
        scores = torch.matmul(key.mT, query.mT).mT  # (…, queries, keys)
    else:
        scores = torch.matmul(query, key)
    scores.mul_(scale)
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    if masked is not None:
        scores.masked_fill_(masked, float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return torch.matmul(weights, value), weights  # (…, queries, head_dim), (…, queries, keys)
