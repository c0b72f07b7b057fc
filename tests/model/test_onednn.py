"""Products with what follows them give what torch gives for one after the other."""

from __future__ import annotations

import pytest
import torch

from models.layers.onednn import (
    OneDnnLinear,
    linear_add,
    linear_gelu,
    linear_mul,
    pad_rows,
    use_onednn,
)

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)
WAYS = {
    "gelu": lambda layer, states, other: linear_gelu(layer, states),
    "times": linear_mul,
    "plus": linear_add,
}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.02}


def _all(layer, states, other) -> dict[str, torch.Tensor]:
    found = {name: way(layer, states, other) for name, way in WAYS.items()}
    return found | {"alone": layer(states)}


@needs_onednn
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 33])
@torch.inference_mode()
def test_what_follows_a_product_is_the_same_at_once(dtype, bias, rows):
    if dtype is torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this processor")
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 48, bias=bias, dtype=dtype)
    states, other = torch.randn(rows, 64, dtype=dtype), torch.randn(rows, 48, dtype=dtype)
    kept = other.clone()
    product = torch.nn.functional.linear(
        states.double(), layer.weight.double(), layer.bias.double() if bias else None
    )
    expected = {
        "alone": product,
        "gelu": torch.nn.functional.gelu(product, approximate="tanh"),
        "times": product * other,
        "plus": product + other,
    }
    before = _all(layer, states, other)
    use_onednn(layer)
    assert type(layer) is OneDnnLinear
    for found in (before, _all(layer, states, other)):
        for name, result in found.items():
            assert result.dtype is dtype
            most = TOLERANCE[dtype] * expected[name].abs().max()
            assert (result - expected[name]).abs().max() < most, name
    assert torch.equal(other, kept)


def test_other_formats_and_other_layers_are_left_alone():
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 8, dtype=torch.float64), torch.nn.LayerNorm(8), torch.nn.Linear(8, 8)
    )
    use_onednn(model)
    assert type(model[0]) is torch.nn.Linear
    assert type(model[1]) is torch.nn.LayerNorm


@needs_onednn
def test_gradients_are_those_of_torch():
    torch.manual_seed(0)
    layer, states = torch.nn.Linear(8, 4), torch.randn(3, 8)
    layer(states).square().sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    use_onednn(layer)
    layer(states).square().sum().backward()
    assert torch.equal(layer.weight.grad, expected)


@pytest.mark.parametrize(
    ("rows", "full"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16), (16, 16), (257, 264)]
)
def test_rows_are_filled_up_to_few_numbers(rows, full):
    states = torch.randn(rows, 3)
    found = pad_rows(states)
    assert found.shape == (full, 3)
    assert torch.equal(found[:rows], states) and not found[rows:].any()
