"""A checkpoint that one GPU cannot hold is divided among GPUs alone, or refused."""

from __future__ import annotations

import pytest
import torch

from models.catalog.checkpoints import NANO
from models.catalog.memory import weight_bytes
from models.loading.device_map import split
from models.schema import UserError

BF16 = torch.bfloat16
WHOLE = weight_bytes(NANO, "bf16")


def test_layers_are_divided_among_the_gpus():
    found = split(NANO.path, "bf16", BF16, {0: WHOLE, 1: WHOLE})
    assert set(found.values()) == {0, 1}


def test_in_4_bits_less_room_is_enough():
    room = {gpu: round(0.62 * WHOLE) for gpu in (0, 1)}
    with pytest.raises(UserError, match="cannot be divided"):
        split(NANO.path, "bf16", BF16, room)
    assert set(split(NANO.path, "nf4", BF16, room).values()) <= {0, 1}


def test_gpus_that_suffice_only_in_sum_are_refused_in_words():
    """Each is too small for the embeddings, which are not divided."""
    with pytest.raises(UserError, match=r"0\.0 GB, .* are free\. Choose nf4"):
        split(NANO.path, "bf16", BF16, dict.fromkeys(range(40), WHOLE // 20))
