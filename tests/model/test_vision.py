"""The tower by layers and blocks is transformers'."""

from __future__ import annotations

import pytest
import torch

from models.engine.inputs import pixel_values
from models.layers import chunking
from models.layers.vision import VisionTower
from training.nano.scenes.scene import HELD_OUT, draw


@pytest.mark.parametrize("max_tokens", [1024, 50])
@torch.inference_mode()
def test_what_it_sees_is_what_transformers_sees(nano, monkeypatch, max_tokens):
    monkeypatch.setattr(chunking, "MAX_TOKENS", max_tokens)
    pixels = pixel_values(nano, draw(HELD_OUT).image)
    *between, (features,) = VisionTower(nano.model).encode(pixels)
    assert between == [None] * nano.model.config.vision_config.num_hidden_layers
    expected = nano.model.get_image_features(pixels).pooler_output[0]
    assert torch.allclose(features, expected, atol=1e-4)


def test_blocks_are_of_about_the_same_size_and_in_step():
    states, other = torch.zeros(1030, 3), torch.arange(1030)
    parts = list(chunking.chunks(states, other))
    assert [len(part) for part, _ in parts] == [515, 515]
    assert torch.equal(chunking.concatenate([each for _, each in parts], 0), other)
    assert len(list(chunking.chunks(states[:1024]))) == 1
