"""A nano that is given other words or more pixels still knows what it knew."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoProcessor, PaliGemmaForConditionalGeneration

from training.nano import tokenizer
from training.nano.grow import grow
from training.nano.model import PATCH

TEXTS = ["two cats on a blue background"] * 4


@pytest.fixture(scope="module")
def old(nano_checkpoint):
    model = PaliGemmaForConditionalGeneration.from_pretrained(nano_checkpoint, dtype=torch.float32)
    return model, AutoProcessor.from_pretrained(nano_checkpoint)


def test_with_the_same_words_and_pixels_nothing_changes(old):
    model, processor = old
    grown = grow(model, processor, processor, 224)
    before, after = model.state_dict(), grown.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_known_pieces_keep_their_embedding(old):
    model, processor = old
    new = tokenizer.processor(tokenizer.train(TEXTS, pieces=400), 224, PATCH)
    grown = grow(model, processor, new, 224)
    table, before = grown.lm_head.weight, model.lm_head.weight
    assert len(table) == len(new.tokenizer) == grown.config.text_config.vocab_size
    known, wanted = processor.tokenizer.get_vocab(), new.tokenizer.get_vocab()
    for piece in ("<loc0512>", "<seg007>", "<image>", "<eos>", "A", "\n"):
        assert torch.equal(table[wanted[piece]], before[known[piece]])
    unknown = [piece for piece in wanted if piece not in known]
    assert all(table[wanted[piece]].abs().sum() > 0 for piece in unknown)
    assert grown.config.image_token_index == wanted["<image>"]


def test_positions_of_more_patches_lie_between_the_old_ones(old):
    model, processor = old
    larger = tokenizer.processor(processor.tokenizer, 448, PATCH)
    grown = grow(model, processor, larger, 448)
    name = next(n for n in model.state_dict() if n.endswith("position_embedding.weight"))
    before = model.state_dict()[name].view(14, 14, -1)
    after = grown.state_dict()[name].view(28, 28, -1)
    means = after.view(14, 2, 14, 2, -1).mean((1, 3))
    alike = torch.nn.functional.cosine_similarity(means, before, dim=-1)
    assert alike.min() > 0.8 and alike.mean() > 0.95
    assert grown.config.text_config.num_image_tokens == larger.image_seq_length == 784
