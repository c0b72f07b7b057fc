"""What a fine-tune learns from a batch: the suffix, all of it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from data.items import Item
from data.sources import Source, read
from models.schema import UserError
from training.finetune.collate import IGNORED, Collator, Items, suffix_loss


@pytest.fixture(scope="module")
def items():
    """Three questions whose prefixes and suffixes differ in length."""
    found = read(Source("easy-vqa", limit=3))
    return [
        found[0],
        replace(found[1], prefix="answer en what?", suffix="blue and a little green"),
        replace(found[2], suffix="yes"),
    ]


@pytest.fixture(scope="module")
def collator(nano):
    return Collator(nano.processor)


def forward(nano, batch):
    """Scores float[B, K, vocabulary] and the loss."""
    given = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        out = nano.model(**given)
    return out.logits, suffix_loss(out, batch["labels"])


def test_labels_are_the_suffix_and_its_end_and_nothing_of_the_prefix(nano, collator, items):
    batch = collator(items)
    tokenizer = nano.processor.tokenizer
    for item, labels in zip(items, batch["labels"], strict=True):
        learnt = labels[labels != IGNORED].tolist()
        assert tokenizer.decode(learnt[:-1]).strip() == item.suffix
        assert learnt[-1] == tokenizer.eos_token_id
    assert (batch["labels"][:, 0] == IGNORED).all()  # nothing is lost to the shift by one


def test_the_prefix_is_as_the_model_is_asked(nano, collator, items):
    from models.engine.inputs import prefix_ids

    batch = collator(items)
    for item, ids, kinds in zip(items, batch["input_ids"], batch["token_type_ids"], strict=True):
        wanted = prefix_ids(nano, item.prefix).cpu()
        assert ids[: len(wanted)].tolist() == wanted.tolist()
        assert not kinds[: len(wanted)].any()
        assert kinds[len(wanted)] == 1


def test_padding_changes_nothing(nano, collator, items):
    together, _ = forward(nano, collator(items))
    labels = collator(items)["labels"]
    losses, counts = [], []
    for row, item in enumerate(items):
        batch = collator([item])
        logits, loss = forward(nano, batch)
        own = batch["labels"][0] != IGNORED
        # The scores that predict each label stand one place before it.
        alone = logits[0, :-1][own[1:]]
        padded = together[row, :-1][(labels[row] != IGNORED)[1:]]
        assert torch.allclose(alone, padded, atol=1e-4)
        losses.append(loss * own.sum())
        counts.append(own.sum())
    _, whole = forward(nano, collator(items))
    assert torch.isclose(whole, sum(losses) / sum(counts), rtol=1e-5)


def test_the_loss_is_that_of_transformers(nano, collator, items):
    batch = collator(items[:1])
    _, loss = forward(nano, batch)
    full = torch.full_like(batch["input_ids"], IGNORED)
    full[:, -batch["logits_to_keep"] :] = batch["labels"]
    given = {k: v for k, v in batch.items() if k not in ("labels", "logits_to_keep")}
    with torch.no_grad():
        theirs = nano.model(**given, labels=full).loss
    assert torch.isclose(loss, theirs, rtol=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_no_suffix_token_is_seen_before_its_turn(nano, collator, items, mode):
    """A changed token changes the scores after it, not those before; a changed prefix all."""
    batch = collator(items[1:2])
    end = batch["input_ids"].shape[1]
    place = end - 3
    getattr(nano.model, mode)()
    try:
        before, _ = forward(nano, batch)
        changed = batch["input_ids"].clone()
        changed[0, place] = changed[0, place + 1]
        after, _ = forward(nano, batch | {"input_ids": changed})
        asked = batch["input_ids"].clone()
        asked[0, nano.processor.image_seq_length + 3] += 1
        other, _ = forward(nano, batch | {"input_ids": asked})
    finally:
        nano.model.eval()
    column = place - (end - batch["logits_to_keep"])
    assert torch.equal(before[:, :column], after[:, :column])
    assert not torch.allclose(before[:, column:], after[:, column:])
    assert not torch.allclose(before[:, 0], other[:, 0])


def test_the_loss_of_two_half_batches_is_that_of_the_whole(nano, collator, items):
    whole = collator(items)
    count = int((whole["labels"] != IGNORED).sum())
    _, loss = forward(nano, whole)
    parts = 0.0
    for half in (items[:1], items[1:]):
        batch = collator(half)
        given = {key: value for key, value in batch.items() if key != "labels"}
        with torch.no_grad():
            parts += suffix_loss(nano.model(**given), batch["labels"], count)
    assert torch.isclose(loss, parts, rtol=1e-5)


@pytest.mark.parametrize(
    ("prefix", "suffix", "word"),
    [("", "yes", "prompt is empty"), ("ocr", " ", "empty suffix"), ("<image>ocr", "A", "<image>")],
)
def test_an_item_that_cannot_be_asked_is_refused(collator, prefix, suffix, word):
    with pytest.raises(UserError, match=word):
        collator([Item(lambda: Image.new("RGB", (8, 8)), prefix, suffix)])


def test_items_are_read_by_number(items):
    assert Items(items)[1] is items[1]
    assert len(Items(items)) == 3
