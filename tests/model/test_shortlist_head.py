"""The head of a 4-bit model scores what is likely as the plain head does."""

from __future__ import annotations

import pytest
import torch
from bitsandbytes.functional import has_avx512bf16
from transformers import LogitsProcessorList

from models.catalog.checkpoints import NANO
from models.engine.engine import generate
from models.engine.inputs import prepare
from models.engine.sampling import logits_processors
from models.layers import shortlist_head
from models.layers.shortlist_head import MAX_STATES, SHORTLIST, ShortlistHead, use_shortlist
from models.loading.loader import read_model
from tests.choosing import load
from training.nano.scenes.scene import HELD_OUT, draw

CPU = torch.device("cpu")
fast = pytest.mark.skipif(
    not has_avx512bf16(), reason="this processor has no fast kernels for 4 bits"
)


@pytest.fixture
def plain() -> torch.nn.Linear:
    """A head of several parts, the last of them not a whole number of units."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(128, 2 * 16_384 + 5, bias=False, dtype=torch.bfloat16)
    return linear.requires_grad_(False)


@fast
@torch.inference_mode()
def test_what_is_likely_has_the_plain_score(plain):
    states = torch.randn(3, 2, 128).bfloat16()
    expected = plain(states)
    use_shortlist(plain)
    assert isinstance(plain, ShortlistHead) and len(plain.parts) == 3
    found = plain(states)
    assert found.shape == expected.shape and found.dtype is torch.bfloat16
    assert torch.equal(found.argmax(-1), expected.argmax(-1))
    likeliest = found.topk(SHORTLIST // 4).indices
    assert torch.allclose(found.gather(-1, likeliest), expected.gather(-1, likeliest), atol=0.01)
    assert 0 < (found - expected).abs().mean() < 0.1 * expected.std()


@fast
@torch.inference_mode()
def test_many_states_at_once_take_the_plain_head(plain):
    states = torch.randn(MAX_STATES + 1, 128).bfloat16()
    expected = plain(states)
    use_shortlist(plain)
    assert torch.equal(plain(states), expected)


def test_without_fast_kernels_or_sixteen_bits_nothing_changes(plain, monkeypatch):
    monkeypatch.setattr(shortlist_head, "has_avx512bf16", lambda: False)
    use_shortlist(plain)
    assert type(plain) is torch.nn.Linear
    monkeypatch.undo()
    wide = torch.nn.Linear(128, 64, bias=False)
    use_shortlist(wide)
    assert type(wide) is torch.nn.Linear


@fast
def test_in_four_bits_answers_are_those_of_transformers(ask):
    """Which reads all of the head in 16 bits."""
    stock = read_model(NANO.path, "nf4", CPU).eval()
    nano = load("nf4")
    assert isinstance(nano.model.lm_head, ShortlistHead)
    for number, prompt in enumerate(("caption en", "describe en", "detect cat ; dog", "ocr")):
        for options in ({}, {"temperature": 1.0, "top_k": 20, "seed": number}):
            request = ask(prompt, tokens=24, image=draw(HELD_OUT + number).image, **options)
            inputs = prepare(nano, request.image, prompt)
            with torch.inference_mode():
                output = stock.generate(
                    **inputs,
                    max_new_tokens=24,
                    do_sample=False,
                    logits_processor=LogitsProcessorList(logits_processors(request.decoding)),
                )
            ids = output[0, inputs["input_ids"].shape[1] :].tolist()
            *tokens, end = generate(nano, request)
            assert [each.token_id for each in tokens] == ids[: end.tokens], prompt
