"""Attention by blocks is attention."""

from __future__ import annotations

import types

import pytest
import torch
from transformers.models.gemma2.modeling_gemma2 import eager_attention_forward

from models.layers.attention import attend

SCALE = 0.125


def plain(query, key, value, softcap, masked=None) -> torch.Tensor:
    """transformers' own, with every score at once."""
    module = types.SimpleNamespace(
        num_key_value_groups=query.shape[1] // key.shape[1], training=False, head_dim=0
    )
    mask = None
    if masked is not None:
        mask = torch.zeros(masked.shape).masked_fill(masked, float("-inf"))[:, None, None, :]
    mixed, _ = eager_attention_forward(
        module, query, key, value, mask, scaling=SCALE, softcap=softcap
    )
    return mixed.transpose(1, 2)


def tensors(rows: int, queries: int, keys: int, dtype=torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, 4, queries, 32), (rows, 2, keys, 32), (rows, 2, keys, 32))
    # Large enough for the tanh to matter.
    return [(8 * torch.randn(each, generator=generator)).to(dtype) for each in shapes]


@pytest.mark.parametrize("softcap", [50.0, None])
@pytest.mark.parametrize("block_bytes", [1, 4 * 2 * 37 * 5, 10**9])
def test_blocks_give_what_all_scores_at_once_give(softcap, block_bytes):
    query, key, value = tensors(1, 37, 37)
    found = attend(query, key, value, SCALE, softcap, block_bytes=block_bytes)
    assert torch.allclose(found, plain(query, key, value, softcap), atol=1e-3)


def test_soft_capping_changes_the_result():
    query, key, value = tensors(1, 5, 5)
    capped = attend(query, key, value, SCALE, 50.0)
    assert not torch.allclose(capped, attend(query, key, value, SCALE, None), atol=1e-2)


def test_masked_keys_do_not_matter():
    query, key, value = tensors(3, 1, 20)
    masked = torch.arange(20) >= torch.tensor([[20], [7], [1]])
    found = attend(query, key, value, SCALE, 50.0, masked)
    assert torch.allclose(found, plain(query, key, value, 50.0, masked), atol=1e-4)
    key[1, :, 7:], value[1, :, 7:] = 1e4, -1e4
    assert torch.equal(attend(query, key, value, SCALE, 50.0, masked), found)


def test_bfloat16_keeps_its_format_and_a_softmax_in_float32():
    query, key, value = tensors(1, 16, 16, torch.bfloat16)
    found = attend(query, key, value, SCALE, 50.0, block_bytes=512)
    assert found.dtype is torch.bfloat16
    assert torch.equal(found, plain(query, key, value, 50.0))
