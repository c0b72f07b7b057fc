"""4-bit layers called directly give what bitsandbytes gives."""

from __future__ import annotations

import pytest
import torch
from bitsandbytes.functional import has_avx512bf16
from bitsandbytes.nn import Linear4bit, LinearFP4

from models.catalog.checkpoints import NANO
from models.layers.nf4_cpu import FourBitLinear, is_packed, quantize, use_direct_kernel
from tests.choosing import load

pytestmark = pytest.mark.skipif(
    not has_avx512bf16(), reason="this processor has no fast kernels for 4 bits"
)


@pytest.fixture
def layer() -> FourBitLinear:
    torch.manual_seed(0)
    return quantize(torch.randn(96, 128).bfloat16())


@pytest.mark.parametrize("shape", [(128,), (1, 128), (3, 128), (2, 17, 128)])
@torch.inference_mode()
def test_numbers_are_those_of_bitsandbytes(layer, shape):
    states = torch.randn(shape).bfloat16()
    found = layer(states)
    layer.__class__ = Linear4bit
    assert found.shape == (*shape[:-1], 96)
    assert torch.equal(found, layer(states))


@torch.inference_mode()
def test_states_and_results_may_lie_apart(layer):
    apart = torch.randn(128, 5).bfloat16().T  # (5, 128), not in order
    expected = layer(apart.contiguous())
    assert torch.equal(layer(apart), expected)
    wide = torch.zeros(5, 200, dtype=torch.bfloat16)
    layer.multiply(apart.contiguous(), wide[:, 50:146])
    assert torch.equal(wide[:, 50:146], expected)
    assert not wide[:, :50].any() and not wide[:, 146:].any()


@torch.inference_mode()
def test_float32_goes_to_bitsandbytes(layer):
    states = torch.randn(3, 128)
    found = layer(states)
    layer.__class__ = Linear4bit
    assert found.dtype is torch.float32
    assert torch.equal(found, layer(states))


@torch.inference_mode()
def test_a_state_dict_leaves_the_layer_as_it_is(layer):
    """bitsandbytes' own scrambles the scales; an adapter's load asks for one."""
    states = torch.randn(2, 128).bfloat16()
    expected = layer(states)
    assert set(layer.state_dict()) == {"weight"}
    assert is_packed(layer)
    assert torch.equal(layer(states), expected)


def test_a_wrong_width_is_an_error(layer):
    with torch.inference_mode(), pytest.raises(RuntimeError, match="shape"):
        layer(torch.randn(2, 256).bfloat16())


def test_rows_are_filled_up_to_a_unit_with_zeros():
    layer = quantize(torch.ones(33, 64).bfloat16())
    with torch.inference_mode():
        found = layer(torch.ones(1, 64).bfloat16())
    assert layer.out_features == 64
    assert (found[0, :33] == 64).all() and not found[0, 33:].any()


def test_what_is_not_packed_nf4_is_left_alone():
    unpacked = Linear4bit(64, 64, bias=False, quant_type="nf4")
    other = LinearFP4(64, 64, bias=False)
    for each in (unpacked, other):
        model = torch.nn.Sequential(each.to("cpu").eval())
        use_direct_kernel(model)
        assert type(model[0]) is type(each)


def test_all_quantized_layers_of_a_loaded_model_call_the_kernel():
    model = load("nf4").model
    layers = [each for each in model.modules() if isinstance(each, Linear4bit)]
    assert len(layers) == 7 * NANO.shape.text.layers
    assert all(type(each) is FourBitLinear for each in layers)
