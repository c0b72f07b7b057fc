"""What a system is, how this process comes to know it, and its answers, kept for the next run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from data.items import Item
from evaluation.compare import item_answers
from evaluation.compare.comparison import answered
from evaluation.compare.systems import System, parse, resolved
from models.catalog.catalog import Catalog
from models.hub import adapters
from models.prompts.tokens import parse_detections
from models.schema import UserError
from tests.choosing import load

NANO = "nano-224"
CATALOG = Catalog()
PICTURES = Path(__file__).parents[2] / "examples"
EXAMPLES = {
    each["image"]: each for each in json.loads((PICTURES / "examples.json").read_text("utf-8"))
}


def item(picture: str) -> Item:
    """One of the page's examples, which nano answers right."""
    each = EXAMPLES[picture]
    return Item(PICTURES / picture, each["prompt"], each["answer"], (each["answer"],))


def refuse(catalog):
    raise AssertionError("asked again")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """The folder of an adapter of nano that changes what it says."""
    model = load().model
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    folder = tmp_path_factory.mktemp("run") / "adapter"
    get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nano-224", ("nano-224", None, "auto")),
        ("nano-224+easy-vqa", ("nano-224", "easy-vqa", "auto")),
        ("nano-224@nf4", ("nano-224", None, "nf4")),
        ("nano-224+runs/easy/adapter@bf16", ("nano-224", "runs/easy/adapter", "bf16")),
        ("runs/full=nano-224", ("runs/full=nano-224", None, "auto")),
        ("me/mine@v1=3b-pt-448@nf4", ("me/mine@v1=3b-pt-448", None, "nf4")),
        ("me/mine@v1=3b-pt-448+me/lora", ("me/mine@v1=3b-pt-448", "me/lora", "auto")),
    ],
)
def test_a_system_is_read_from_how_it_is_written(text, parts):
    assert parse(text) == System(text, *parts)


@pytest.mark.parametrize("text", ["", "+easy-vqa", "nano-224+", "nano-224@", "@nf4"])
def test_what_is_no_system_is_refused(text):
    with pytest.raises(UserError, match="is no system"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nano-1000", "no checkpoint 'nano-1000'"),
        ("nano-224@int3", "no precision 'int3'"),
        ("nano-224+dog", "no adapter 'dog'"),
        ("nano-224+runs/none/adapter", "no folder runs/none/adapter"),
        ("./none=nano-224", "no folder ./none"),
    ],
)
def test_a_part_that_does_not_exist_is_named(text, words):
    with pytest.raises(UserError, match=words):
        resolved(parse(text), CATALOG)


def test_folders_are_in_the_catalog_of_their_system(tmp_path, adapter, nano_checkpoint):
    tuned = tmp_path / "tuned"
    shutil.copytree(nano_checkpoint, tuned)
    system = resolved(parse(f"{tuned}=nano-224+{adapter}@bf16"), CATALOG)
    assert system.checkpoint.path == tuned
    assert (system.checkpoint.name, system.adapter.name) == ("tuned", adapter.parent.name)
    assert system.precision == "bf16"
    assert system.catalog.find("tuned") == system.checkpoint
    assert system.adapter in system.catalog.adapters_of(system.checkpoint)


def test_an_adapter_is_not_taken_for_another_of_its_name(tmp_path, adapter, nano_checkpoint):
    tuned = tmp_path / "tuned"
    shutil.copytree(nano_checkpoint, tuned)
    name = adapter.parent.name
    shutil.copytree(adapter, tuned / "adapters" / name)
    own = resolved(parse(f"{tuned}=nano-224+{adapter}"), CATALOG).adapter
    assert own.name == f"{name}-own"
    assert adapters.fetch(own) == adapter
    shipped = resolved(parse(f"{tuned}=nano-224+{name}"), CATALOG).adapter
    assert adapters.fetch(shipped) == tuned / "adapters" / name


def test_answers_come_in_the_order_of_the_items_and_are_kept(tmp_path):
    items = [item(each) for each in ("read.png", "count.png", "detect.png")]
    items = [items[0], items[1], items[0], items[2]]
    first = answered(parse(NANO), items, CATALOG, tmp_path)
    assert [each.answer.text for each in first.answers] == [each.suffix for each in items]
    assert all(each.answer.finished for each in first.answers)
    assert (first.answers[0].width, first.answers[0].height) == items[0].open().size
    assert (first.precision, first.dtype) == ("fp32", "float32") or first.device == "cuda"
    again = answered(parse(NANO), items, CATALOG, tmp_path, open_backend=refuse)
    assert again.answers == first.answers


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(item_answers, "ITEMS_AT_ONCE", 1)
    items = [item("read.png"), item("count.png")]
    broken = replace(items[1], picture=tmp_path / "none.png")
    with pytest.raises(UserError, match="none"):
        answered(parse(NANO), [items[0], broken], CATALOG, tmp_path / "work")
    assert len(list((tmp_path / "work").glob("*.json"))) == 1
    found = answered(parse(NANO), items[:1], CATALOG, tmp_path / "work", open_backend=refuse)
    assert found.answers[0].answer.text == items[0].suffix


def test_other_adapters_precisions_and_lengths_are_asked_anew(tmp_path, adapter):
    items = [item("count.png")]
    answered(parse(NANO), items, CATALOG, tmp_path)
    for text, length in ((f"{NANO}+{adapter}", None), (f"{NANO}@bf16", None), (NANO, 1)):
        with pytest.raises(AssertionError, match="asked again"):
            answered(parse(text), items, CATALOG, tmp_path, length, refuse)


def test_an_adapter_answers_for_itself(adapter):
    items = [item("caption.png")]
    plain = answered(parse(NANO), items, CATALOG).answers[0].answer
    adapted = answered(parse(f"{NANO}+{adapter}"), items, CATALOG, max_new_tokens=4)
    with_adapter = adapted.answers[0].answer
    assert not plain.text.startswith(with_adapter.text)
    assert not with_adapter.finished


def test_objects_have_the_scores_of_their_tokens(tmp_path):
    found = answered(parse(NANO), [item("detect.png"), item("segment.png")], CATALOG, tmp_path)
    for each, count, has_mask in zip(found.answers, (2, 1), (False, True), strict=True):
        objects = each.objects(found.codec)
        assert each.parsed()[1] == 0
        assert [thing.label for thing, _ in objects] == [
            thing.label for thing in parse_detections(each.answer.text).objects
        ]
        assert len(objects) == count
        assert all(0 < score <= 1 for _, score in objects)
        assert all((thing.mask is not None) == has_mask for thing, _ in objects)
