"""Questions about one picture in a row: each learns as if the others were not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from data.items import Item
from data.sources import Source, read
from models.schema import UserError
from training.finetune.collate import IGNORED, Collator, suffix_loss
from training.finetune.pack import Packer, in_rows


@pytest.fixture(scope="module")
def questions():
    """Three about one picture, of several lengths."""
    first = next(iter(read(Source("easy-vqa", limit=1))))
    return (
        first,
        replace(first, prefix="answer en what?", suffix="blue and a little green"),
        replace(first, prefix="is there a circle in it?", suffix="yes"),
    )


@pytest.fixture(scope="module")
def packer(nano):
    return Packer(nano.processor)


def scores(nano, batch) -> list[torch.Tensor]:
    """Of every row, float[learnt tokens, vocabulary]."""
    given = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        logits = nano.model(**given).logits[:, :-1]
    return [
        each[labels != IGNORED] for each, labels in zip(logits, batch["labels"][:, 1:], strict=True)
    ]


def test_items_of_a_file_come_together_and_in_order(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    made = [Item(path, f"q{i}", "a") for i, path in enumerate((one, two, one, one, two))]
    found = [[item.prefix for item in row] for row in in_rows(made, 2)]
    assert found == [["q0", "q2"], ["q3"], ["q1", "q4"]]
    unnamed = [Item(lambda: Image.new("RGB", (8, 8)), "q", "a")] * 2
    assert [len(row) for row in in_rows(unnamed, 2)] == [1, 1]


def test_every_picture_of_easy_vqa_has_its_questions_in_a_row():
    items = read(Source("easy-vqa", "test"))
    found = in_rows(items, 16)
    assert sum(map(len, found)) == len(items) == 9673
    assert all(len({item.picture for item in row}) == 1 for row in found)
    assert {Path(row[0].picture) for row in found} == {item.picture for item in items}


def test_a_row_of_one_question_is_what_the_model_is_asked(nano, packer, questions):
    """Tokens, places, mask, labels and so the scores are those of transformers' own mask."""
    plain = Collator(nano.processor)
    for item in questions:
        ours, theirs = packer([(item,)]), plain([item])
        assert torch.equal(ours["input_ids"], theirs["input_ids"])
        assert torch.equal(ours["labels"], theirs["labels"])
        first, second = scores(nano, ours)[0], scores(nano, theirs)[0]
        assert torch.allclose(first, second, atol=1e-4)


def test_questions_do_not_see_each_other(nano, packer, questions):
    """Without the first, or after another, the others' scores are the same."""
    one, two, three = questions
    whole = scores(nano, packer([questions]))[0]
    without = scores(nano, packer([(two, three)]))[0]
    assert torch.allclose(whole[-len(without) :], without, atol=1e-4)
    turned = scores(nano, packer([(three, two)]))[0]
    end = len(scores(nano, packer([(three,)]))[0])
    assert torch.allclose(torch.cat([turned[end:], turned[:end]]), without, atol=1e-4)
    assert not torch.allclose(without[:end], turned[:end], atol=1e-2)
    assert one.suffix != two.suffix


def test_rows_of_several_lengths_do_not_change_each_other(nano, packer, questions):
    together = scores(nano, packer([questions, questions[:1]]))
    assert torch.allclose(together[0], scores(nano, packer([questions]))[0], atol=1e-4)
    assert torch.allclose(together[1], scores(nano, packer([questions[:1]]))[0], atol=1e-4)


def test_no_suffix_token_is_seen_before_its_turn(nano, packer, questions):
    batch = packer([questions])
    place = batch["input_ids"].shape[1] - 1  # the last question's EOS
    changed = batch["input_ids"].clone()
    changed[0, place] = 5
    before, after = scores(nano, batch)[0], scores(nano, batch | {"input_ids": changed})[0]
    assert torch.equal(before, after)


def test_every_suffix_is_learnt_and_nothing_else(nano, packer, questions):
    labels = packer([questions])["labels"]
    tokenizer = nano.processor.tokenizer
    learnt = tokenizer.decode(labels[labels != IGNORED].tolist())
    assert learnt.split(tokenizer.eos_token)[:-1] == [each.suffix for each in questions]
    given = {k: v for k, v in packer([questions]).items() if k != "labels"}
    with torch.no_grad():
        assert suffix_loss(nano.model(**given), labels) > 0


@pytest.mark.parametrize(("prefix", "suffix"), [("", "yes"), ("ocr", " ")])
def test_an_item_that_cannot_be_asked_is_refused(packer, prefix, suffix):
    with pytest.raises(UserError):
        packer([(Item(lambda: Image.new("RGB", (8, 8)), prefix, suffix),)])
