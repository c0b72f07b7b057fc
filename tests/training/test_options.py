"""What a fine-tune may be told."""

from __future__ import annotations

import pytest

from models.catalog.catalog import Catalog
from models.schema import UserError
from training.finetune.cli import main
from training.finetune.options import EASY_VQA_EPOCHS, Options


def check(options: Options) -> None:
    options.check(Catalog().find(options.checkpoint))


def settled(**given) -> Options:
    """Options with what suits their checkpoint filled in."""
    options = Options(**given)
    return options.settled(Catalog().find(options.checkpoint))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"method": "prefix"}, "lora, qlora, full"),
        ({"freeze": ["tail"]}, "vision_tower"),
        ({"freeze": ["vision_tower", "projector", "language_model"]}, "Every part"),
        ({"method": "full", "merge": True}, "no adapter"),
        ({"method": "full", "rank": 4}, "belong to LoRA"),
        ({"method": "full", "precision": "bf16"}, "--autocast"),
        ({"method": "qlora", "precision": "fp32"}, "4 bits"),
        ({"task": "detect"}, "COCO"),
        ({"data": "a.json", "task": "caption"}, "detect, segment"),
        ({"images": "pictures"}, "COCO"),
        ({"negatives": 0.5}, "COCO"),
        ({"prompt": "all", "data": "a.jsonl"}, "COCO"),
        ({"data": "a.json", "prompt": "some"}, "each, all"),
        ({"data": "a.json", "negatives": -1.0}, "0 to 100"),
        ({"data": "a.json", "negatives": float("nan")}, "0 to 100"),
        ({"data": "a.jsonl", "template": "{question}"}, "columns"),
        ({"public": True}, "--push"),
        ({"push": "receipts"}, "owner/name"),
        ({"data": "a.jsonl", "split": "test"}, "all of it"),
        ({"half": "third"}, "first or second"),
        ({"warmup": 1.0}, "0 to 0.99"),
        ({"rank": 257}, "0 to 256"),
        ({"dropout": 1.0}, "0 to 0.9"),
        ({"accumulate": 0}, "1 to"),
        ({"pack": 4, "data": "owner/name"}, "no names"),
        ({"pack": 4, "checkpoint": "3b-pt-896"}, "4,096 tokens"),
        ({"seed": -1}, "0 to"),
        ({"save_steps": 0}, "1 to"),
    ],
)
def test_contradictions_and_values_out_of_range_are_refused_in_words(given, word):
    with pytest.raises(UserError, match=word):
        check(Options(**given))


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
@pytest.mark.parametrize("freeze", [[], ["vision_tower"], ["vision_tower", "projector"]])
def test_every_method_goes_with_every_part_frozen_but_the_last(method, freeze):
    check(Options(method=method, freeze=freeze))


def test_the_rate_suits_method_and_size_unless_it_is_given():
    rates = [
        settled(method=method, checkpoint=checkpoint).rate
        for checkpoint in ("nano-224", "3b-pt-224")
        for method in ("lora", "full")
    ]
    assert rates == [2e-3, 3e-4, 2e-4, 2e-5]
    assert settled(rate=0.5).rate == 0.5


def test_the_rank_suits_the_size_and_alpha_the_rank_unless_they_are_given():
    assert (settled().rank, settled(checkpoint="3b-pt-224").rank) == (16, 8)
    assert (settled(rank=4).rank, settled(rank=4).alpha) == (4, 4.0)
    assert settled(rank=4, alpha=8.0).alpha == 8.0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, (16, 4, EASY_VQA_EPOCHS)),
        ({"checkpoint": "3b-pt-448"}, (1, 16, EASY_VQA_EPOCHS)),
        ({"data": "owner/name"}, (1, 16, 1)),
        ({"data": "mine.jsonl"}, (16, 4, 1)),
        ({"data": "boxes.json"}, (1, 16, 1)),
        ({"pack": 1, "batch": 2, "epochs": 0.5}, (1, 2, 0.5)),
    ],
)
def test_rows_and_epochs_suit_checkpoint_and_data_unless_they_are_given(given, wanted):
    options = settled(**given)
    assert (options.pack, options.batch, options.times(1000)) == wanted


def test_a_folder_keeps_to_the_options_of_its_run(tmp_path):
    Options(out=str(tmp_path), rank=4).keep()
    Options(out=str(tmp_path), rank=4, log_steps=1).keep()
    Options(out=str(tmp_path), rank=4, push="me/it", public=True).keep()
    with pytest.raises(UserError, match="rank"):
        Options(out=str(tmp_path), rank=8).keep()
    with pytest.raises(UserError, match="processes"):  # a step would have other items
        Options(out=str(tmp_path), rank=4).keep(processes=2)
    with pytest.raises(UserError, match="other items"):
        Options(out=str(tmp_path), rank=4).keep("digest of others")


def test_a_folder_that_cannot_be_written_or_read_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="another --out"):
        Options(out=str(tmp_path / "file")).keep()
    (tmp_path / "options.json").write_text('{"rank": ')
    with pytest.raises(UserError, match="damaged"):
        Options(out=str(tmp_path)).keep()


def test_the_command_refuses_before_it_loads_anything(capsys):
    assert main(["--epoch_count", "3"]) == 2
    assert "no option --epoch_count" in capsys.readouterr().err
    assert main(["--method", "full", "--merge"]) == 2
    assert "no adapter to merge" in capsys.readouterr().err


def test_the_announcements_preset_is_one_half_of_the_validation_questions():
    source = Options(data="vqav2-small", limit=10).source()
    assert (source.name, source.split, source.half) == ("merve/vqav2-small", "validation", "first")
    assert source.template == "answer en {question}"
    assert source.answer == "multiple_choice_answer"
    assert source.limit == 10
