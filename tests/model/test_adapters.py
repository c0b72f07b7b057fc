"""LoRA adapters: what fits is used per request, what does not is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.catalog.catalog import Catalog
from models.engine.engine import generate
from models.engine.inputs import prepare
from models.hub import adapter_config, adapters
from models.schema import UserError
from tests.choosing import adapter_of, beside_nano, load, nano_in, select

TARGETS = ["q_proj", "v_proj"]  # of the text model and of the tower


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of nano's folder with two adapters that change its answers."""
    from peft import LoraConfig, get_peft_model

    root = beside_nano(tmp_path_factory.mktemp("adapters"))
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        model = load().model
        config = LoraConfig(r=4, lora_alpha=64, target_modules=TARGETS, init_lora_weights=False)
        get_peft_model(model, config).save_pretrained(root / "adapters" / name)
    return root


@pytest.fixture
def broken(folder):
    """A copy of the first adapter to spoil; removed after the test."""
    copy = folder / "adapters" / "broken"
    shutil.copytree(folder / "adapters" / "first", copy)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture(scope="module")
def model(folder):
    """A nano of this module's own: adapters change it."""
    return load(checkpoint=nano_in(folder))


@pytest.fixture
def logits(model, picture):
    """The scores of the first token under the adapter that is on."""
    inputs = prepare(model, picture, "caption en")

    def compute() -> torch.Tensor:
        with torch.inference_mode():
            return model.model(**inputs).logits[0, -1]

    return compute


def spoil(folder: Path, **settings) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def rewrite(folder: Path, change) -> None:
    path = folder / "adapter_model.safetensors"
    weights = change(load_file(path))
    path.unlink()
    save_file(weights, path)


def names(checkpoint) -> list[str]:
    return [each.name for each in Catalog().adapters_of(checkpoint)]


def test_adapters_are_listed_by_checkpoint(folder):
    assert names(nano_in(folder)) == ["first", "second"]
    assert names(Catalog().find("3b-pt-448")) == ["merve/paligemma2-3b-vqav2"]
    assert names(Catalog().find("10b-pt-448")) == []


def test_an_unknown_adapter_is_answered_with_the_valid_ones(folder):
    with pytest.raises(UserError, match="first, second"):
        Catalog().find_adapter(nano_in(folder), "../first")


def test_an_adapter_that_the_request_does_not_name_is_a_bug(model, ask):
    with pytest.raises(ValueError, match="'second'"):
        list(generate(model, ask(adapter="second"), adapter=adapter_of(model, "first")))


def test_adapters_go_on_and_off(model, logits):
    select(model, None)
    plain = logits()
    seen = {}
    for name in ("first", "second", "first", None):
        select(model, name)
        scores = logits()
        assert torch.equal(seen.setdefault(name, scores), scores)
    assert torch.equal(seen[None], plain)
    assert not torch.allclose(seen["first"], plain, atol=1e-3)
    assert not torch.allclose(seen["first"], seen["second"], atol=1e-3)


def test_an_adapter_does_what_peft_alone_does_with_it(folder, model, logits, picture):
    from peft import PeftModel

    alone = load()
    adapted = PeftModel.from_pretrained(alone.model, folder / "adapters" / "first").eval()
    with torch.inference_mode():
        expected = adapted(**prepare(alone, picture, "caption en")).logits[0, -1]
    select(model, "first")
    assert torch.allclose(logits(), expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": 0}, "rank"),
        ({"r": "8"}, "rank"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "lora_alpha"),
        ({"target_modules": []}, "target_modules"),
        ({"target_modules": None}, "target_modules"),
        ({"target_modules": [3]}, "target_modules"),
        ({"target_modules": ["q_proj"]}, "too many, such as .*v_proj"),
        ({"target_modules": ["q_proj", "v_proj", "embed_tokens"]}, "missing, such as .*embed_tok"),
        ({"target_modules": r".*\.(q|v|k)_proj"}, "missing, such as .*k_proj"),
        ({"exclude_modules": ["v_proj"]}, "too many, such as .*v_proj"),
        ({"exclude_modules": r".*layers\.1\..*"}, "too many, such as .*layers.1."),
        ({"layers_to_transform": [0]}, "too many"),
        ({"use_dora": True}, "has no lora_magnitude_vector"),
        ({"modules_to_save": ["lm_head"]}, "'lm_head'; only the projector"),
        ({"modules_to_save": ["multi_modal_projector"]}, "disagree about the projector"),
        ({"bias": "some"}, "bias"),
        ({"r": 100_000}, "rank"),
        ({"r": True}, "rank"),
        ({"r": 8}, "rank 4 in its weights and 8"),
        ({"rank_pattern": {"q_proj": 8}}, "rank 4 in its weights and 8"),
        ({"rank_pattern": {"k_proj": 8}}, "'k_proj' fits none of its modules"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern of 'q_proj'"),
        ({"rank_pattern": ["q_proj"]}, "rank_pattern"),
        ({"alpha_pattern": {"(a+)+$": 8}}, "fits none"),
        ({"alpha_pattern": {"(?P<x>q)_proj": 8}}, "is not understood"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern of 'q_proj'"),
        ({"layers_to_transform": ["1"]}, "layers_to_transform"),
        ({"layers_pattern": "(a+)+$"}, "layers_pattern"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4, which changes the base"),
        ({"init_lora_weights": "olora"}, "changes the base"),
        ({"init_lora_weights": "corda"}, "changes the base"),
        ({"init_lora_weights": "loftq"}, "changes the base"),
        ({"init_lora_weights": "lora_ga"}, "changes the base"),
        ({"lora_bias": True}, "uses lora_bias"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication"),
        ({"trainable_token_indices": [1, 2]}, "uses trainable_token_indices"),
        ({"ensure_weight_tying": True}, "uses ensure_weight_tying"),
        ({"use_something_newer": True}, "uses use_something_newer"),
    ],
)
def test_configurations_that_cannot_be_used_are_refused(broken, model, settings, words):
    spoil(broken, **settings)
    with pytest.raises(UserError, match=words) as caught:
        select(model, "broken")
    assert caught.value.remedy
    assert "broken" not in adapters.loaded(model.model)


def test_options_that_turn_nothing_on_are_ignored(broken, model, logits):
    select(model, "first")
    expected = logits()
    spoil(broken, use_newer=None, newer_config={}, newer_size=16, newer_way="plain", lora_bias=None)
    spoil(broken, lora_dropout=0.1, eva_config={"rho": 2.0}, init_lora_weights="eva")
    # A pattern that is not understood, as the weights name the modules.
    spoil(broken, target_modules=r"(?P<any>.*)_proj", rank_pattern=None)
    select(model, "broken")
    assert torch.equal(logits(), expected)
    adapters.evict(model.model, "broken")


def test_a_configuration_that_is_no_json_is_refused(broken):
    (broken / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        adapter_config.read(broken)


def test_pickled_weights_are_refused(broken):
    (broken / "adapter_model.safetensors").rename(broken / "adapter_model.bin")
    with pytest.raises(UserError, match="can run code"):
        adapter_config.read(broken)


def rename_all(weights):
    return {name.replace("q_proj", "query"): tensor for name, tensor in weights.items()}


def drop_one(weights):
    weights.pop(min(weights))
    return weights


def add_one(weights):
    return {**weights, "base_model.model.elsewhere.lora_A.weight": torch.zeros(4, 4)}


def widen(weights):
    return {name: torch.cat([tensor, tensor]) for name, tensor in weights.items()}


def of_a_wider_base(weights):
    return {
        name: torch.cat([tensor, tensor], 1) if "lora_A" in name else tensor
        for name, tensor in weights.items()
    }


@pytest.mark.parametrize("change", [rename_all, drop_one, add_one, widen, of_a_wider_base])
def test_weights_that_do_not_fit_exactly_are_refused_and_forgotten(broken, model, logits, change):
    select(model, None)
    plain = logits()
    rewrite(broken, change)
    for _ in range(2):  # a second try must not find remains of the first
        with pytest.raises(UserError, match="does not fit"):
            select(model, "broken")
    assert "broken" not in adapters.loaded(model.model)
    select(model, None)
    assert torch.equal(logits(), plain)
    select(model, "first")
    assert not torch.allclose(logits(), plain, atol=1e-3)


def test_damaged_weights_are_refused(broken, model):
    path = broken / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        select(model, "broken")


def test_weights_that_are_too_large_are_refused(broken, monkeypatch):
    monkeypatch.setattr(adapter_config, "LARGEST_BYTES", 1000)
    with pytest.raises(UserError, match="at most"):
        adapter_config.read(broken)


def older_names(weights):
    """As saved with transformers before 4.52, the announcement's adapter among them."""
    return {
        name.replace("model.language_model.", "language_model.model.").replace(
            "model.vision_tower.", "vision_tower.vision_model."
        ): tensor
        for name, tensor in weights.items()
    }


def test_names_of_older_transformers_are_understood(broken, model, logits):
    select(model, "first")
    expected = logits()
    rewrite(broken, older_names)
    names = load_file(broken / "adapter_model.safetensors")
    assert any("language_model.model.layers" in name for name in names)
    assert any("vision_tower.vision_model.encoder" in name for name in names)
    select(model, "broken")
    assert torch.equal(logits(), expected)
    adapters.evict(model.model, "broken")


def test_the_longest_unused_adapter_makes_room(model, logits, monkeypatch):
    select(model, "first")
    expected = logits()
    adapters.evict(model.model, "second")
    monkeypatch.setattr(adapters, "MOST_RESIDENT", 1)
    select(model, "second")
    assert adapters.loaded(model.model) == ("second",)
    select(model, "first")
    assert adapters.loaded(model.model) == ("first",)
    assert torch.equal(logits(), expected)


def test_visitors_may_name_adapters_only_where_the_owner_lets_them(folder):
    nano = nano_in(folder)
    with pytest.raises(UserError, match="has no adapter"):
        Catalog().find_adapter(nano, "someone/lora")
    free = Catalog(any_adapter=True)
    assert free.find_adapter(nano, "someone/lora").is_visitors
    assert not free.find_adapter(nano, "first").is_visitors
    for name in ("../lora", "someone", "a/b/c", "some one/lora", "someone/..", "https://x/y"):
        with pytest.raises(UserError, match="owner/name"):
            free.find_adapter(nano, name)
