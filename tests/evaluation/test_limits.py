"""What the benchmark counts is what is computed and read."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from evaluation.speed import limits
from models.catalog.checkpoints import NANO
from models.engine.inputs import pixel_values
from models.layers.decoder import Decoder
from models.layers.vision import VisionTower
from models.loading.loader import read_model
from training.nano.scenes.scene import HELD_OUT, draw


@torch.no_grad()
def test_operations_are_those_that_torch_counts(nano):
    model = read_model(NANO.path, "fp32", torch.device("cpu")).eval().requires_grad_(False)
    pixels = pixel_values(nano, draw(HELD_OUT).image)
    counter = FlopCounterMode(display=False)
    with counter:
        *_, (features,) = VisionTower(model).encode(pixels)
        for _ in Decoder(model, 1, len(features) + 1).prefill([features], [0]):
            pass
    assert limits.prefix_operations(NANO) == pytest.approx(counter.get_total_flops(), rel=0.002)


def test_bytes_are_those_of_the_weights_that_a_token_needs():
    text = NANO.shape.text
    everything = text.linear_parameters + text.vocabulary * text.width
    cache = NANO.image_tokens * text.cache_values
    assert limits.token_bytes(NANO, "bf16", True, False) == 2 * (everything + cache)
    assert limits.token_bytes(NANO, "fp32", True, False) == 4 * (everything + cache)
    plain = limits.token_bytes(NANO, "nf4", True, False)
    small = limits.token_bytes(NANO, "nf4", True, True)
    assert plain - small == round(text.vocabulary * text.width * (2 - 0.53125))


def test_limits_are_rates(monkeypatch):
    monkeypatch.setattr(limits, "NUMBERS", 2**22)
    monkeypatch.setattr(limits, "SIDE", 512)
    found = limits.measure(torch.device("cpu"), {"fp32": torch.float32})
    assert found.bytes_per_s > 1e9
    assert set(found.operations_per_s) == {"fp32"}
    assert found.operations_per_s["fp32"] > 1e9
