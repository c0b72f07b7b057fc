"""Adapters that cannot be used, as PEFT and others write them: a sentence says why.

And what is unusual but right: other number formats, other folder names, another base's name.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.catalog.adapter import ANNOUNCED
from models.catalog.catalog import Catalog
from models.hub import adapter_config, adapters
from models.schema import UserError
from tests.choosing import answer, beside_nano, load, nano_in, select

NANO = "nano-224"
QV = ["q_proj", "v_proj"]
Q0 = "base_model.model.model.language_model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of nano's weights, for adapters beside them."""
    return beside_nano(tmp_path_factory.mktemp("refusals"))


@pytest.fixture(scope="module")
def loaded(root):
    return load(checkpoint=nano_in(root))


def save(config, folder: Path) -> None:
    """What PEFT makes of a configuration, with all random."""
    from peft import get_peft_model

    torch.manual_seed(0)
    get_peft_model(load().model, config).save_pretrained(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("plain")
    save(LoraConfig(r=4, lora_alpha=64, target_modules=QV, init_lora_weights=False), folder)
    return folder


@pytest.fixture
def write(root, plain) -> Callable[..., str]:
    """Writes a copy of a plain adapter with other settings or weights."""

    def write(name: str = "copy", change=dict, **settings) -> str:
        folder = root / "adapters" / name
        folder.mkdir(exist_ok=True)
        config = json.loads((plain / adapter_config.CONFIG).read_text())
        (folder / adapter_config.CONFIG).write_text(json.dumps({**config, **settings}))
        weights = load_file(plain / adapter_config.WEIGHTS)
        save_file(change(weights), folder / adapter_config.WEIGHTS)
        return name

    return write


@pytest.fixture(autouse=True)
def no_adapter_stays(loaded, root):
    yield
    for name in adapters.loaded(loaded.model):
        adapters.evict(loaded.model, name)


def parameters(model) -> dict[str, tuple[type, int]]:
    """Each module's class and where its parameters are: what an adapter must leave as it was."""
    found = {name: (type(module), id(module)) for name, module in model.named_modules()}
    return {**found, **{name: (type(each), id(each)) for name, each in model.named_parameters()}}


def _of_peft() -> dict[str, Callable]:
    """By kind what makes its configuration, and words of the sentence that refuses it."""
    import peft

    lora = peft.LoraConfig
    return {
        "pissa": (
            lambda: lora(target_modules=QV, layers_to_transform=[0], init_lora_weights="pissa"),
            "pissa",
        ),
        "olora": (
            lambda: lora(target_modules=QV, layers_to_transform=[0], init_lora_weights="olora"),
            "olora",
        ),
        "lora_bias": (
            lambda: lora(target_modules=["fc1"], lora_bias=True, init_lora_weights=False),
            "lora_bias",
        ),
        "tokens": (
            lambda: lora(target_modules=QV, trainable_token_indices=[5, 6]),
            "trainable_token_indices",
        ),
        "whole head": (
            lambda: lora(target_modules=QV, modules_to_save=["lm_head"]),
            "'lm_head'; only the projector",
        ),
        "whole embedding": (
            lambda: lora(target_modules=QV, modules_to_save=["embed_tokens"]),
            "'embed_tokens'; only the projector",
        ),
        "convolution": (
            lambda: lora(target_modules=["patch_embedding", "q_proj"]),
            "weights are too many, such as .*patch_embedding",
        ),
        "ia3": (
            lambda: peft.IA3Config(target_modules=["v_proj"], feedforward_modules=[]),
            "'IA3' and not LORA",
        ),
        "loha": (lambda: peft.LoHaConfig(target_modules=QV), "'LOHA' and not LORA"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "pissa",
        "olora",
        "lora_bias",
        "tokens",
        "whole head",
        "whole embedding",
        "convolution",
        "ia3",
        "loha",
    ],
)
def test_what_peft_saves_and_cannot_be_used_is_refused(kind, root, loaded):
    make, words = _of_peft()[kind]
    save(make(), root / "adapters" / kind)
    before = parameters(loaded.model)
    with pytest.raises(UserError, match=words) as caught:
        select(loaded, kind)
    assert "ignore_mismatched_sizes" not in str(caught.value)
    assert parameters(loaded.model) == before


def _with(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
    return lambda weights: {**weights, name: change(weights[name]).contiguous()}


@pytest.mark.parametrize(
    "change, words",
    [
        (_with(f"{Q0}.lora_A.weight", lambda each: each * float("nan")), "no finite numbers"),
        (_with(f"{Q0}.lora_A.weight", lambda each: each.to(torch.int32)), "torch.int32"),
        (_with(f"{Q0}.lora_A.weight", lambda each: each[:0]), "rank 0 in its weights"),
        (_with(f"{Q0}.lora_A.weight", lambda each: each[0]), "rank|shape"),
        (_with(f"{Q0}.lora_A.weight", lambda each: each.repeat(2, 1)), "rank 8 in its weights"),
        (_with(f"{Q0}.lora_A.weight", lambda each: each.repeat(1, 2)), "shape"),
        (lambda all: {**all, f"{Q0}.dora_scale": torch.ones(1)}, "LyCORIS"),
        (lambda all: {**all, f"{Q0}.lora_B.bias": torch.ones(1)}, "lora_bias"),
        (lambda all: {**all, f"{Q0}.bias": torch.ones(256)}, "another shape or there is none"),
        (lambda all: {**all, f"{Q0}.weight": torch.ones(1)}, "another shape or there is none"),
        (
            lambda all: {
                **all,
                "base_model.model.lm_head.base_layer.weight": torch.zeros(9153, 256),
            },
            "all of lm_head",
        ),
        (
            lambda all: {n.replace("lora_A", "lora_A.default"): each for n, each in all.items()},
            r"lora_A.default.weight' is unknown",
        ),
        (lambda all: {**all, f"{Q0[17:]}.lora_A.weight": torch.ones(4, 256)}, "two weights"),
        (lambda all: {"hada_w1": torch.ones(1)}, "'hada_w1' is unknown"),
        (lambda all: {}, "no LoRA weights"),
    ],
)
def test_weights_that_cannot_be_used_are_refused(change, words, write, loaded):
    name = write(change=change)
    before = parameters(loaded.model)
    with pytest.raises(UserError, match=words):
        select(loaded, name)
    assert parameters(loaded.model) == before


def test_weights_in_several_files_are_refused(write, root, loaded):
    folder = root / "adapters" / write()
    (folder / adapter_config.WEIGHTS).unlink()
    index = folder / f"{adapter_config.WEIGHTS}.index.json"
    index.write_text("{}")
    with pytest.raises(UserError, match="several files"):
        select(loaded, "copy")
    index.unlink()


def test_a_configuration_may_begin_with_a_mark(write, root, loaded):
    path = root / "adapters" / write() / adapter_config.CONFIG
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert select(loaded, "copy").is_new


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, "float8_e4m3fn"])
def test_weights_may_be_in_other_formats(dtype, write, loaded):
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    name = write(change=lambda all: {key: each.to(dtype) for key, each in all.items()})
    select(loaded, name)
    layer = loaded.model.model.language_model.layers[0].self_attn.q_proj
    (inside,) = layer.lora_A.values()
    assert inside.weight.dtype == torch.float32 and inside.weight.abs().sum() > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "nf4"])
def test_an_adapter_that_was_evicted_leaves_the_model_as_it_was(precision, root, write):
    name = write(target_modules=QV)
    loaded = load(precision, nano_in(root))
    before = parameters(loaded.model)
    select(loaded, name)
    assert parameters(loaded.model) != before
    adapters.evict(loaded.model, name)
    assert parameters(loaded.model) == before


def test_those_that_made_room_are_named(write, loaded, monkeypatch):
    monkeypatch.setattr(adapters, "MOST_RESIDENT", 2)
    first, second, third = (write(name) for name in ("one", "two", "three"))
    for name in (first, second, first):
        assert select(loaded, name).evicted == ()
    assert select(loaded, third).evicted == (second,)
    assert adapters.loaded(loaded.model) == (first, third)


@pytest.mark.parametrize(
    "name",
    ["my adapter", "red, blue", "Füße", "Fu\u0308ße", "a.b", "x" * 100, "lora_A", "#1 (new)"],
)
def test_a_folder_may_have_any_name(name, write, loaded):
    write(name)
    offered = [each.name for each in Catalog().adapters_of(loaded.checkpoint)]
    shown = next(each for each in offered if each in (name, "Füße"))
    assert select(loaded, shown).is_new
    assert adapters.loaded(loaded.model) == (shown,)


@pytest.mark.parametrize(
    "base, is_told",
    [
        (None, False),
        ("", False),
        (NANO, False),
        ("checkpoints/nano-224/", False),
        (r"C:\models\Nano-224", False),
        ("someone/nano-224", False),
        ("/cache/models--someone--nano-224/snapshots/0123abcd", False),
        ("nano-448", True),
        ("google/paligemma2-3b-pt-448", True),
    ],
)
def test_an_adapter_of_another_base_is_told(base, is_told, write, loaded, ask):
    name = write(base_model_name_or_path=base)
    for _ in range(2):  # not only when it is loaded
        notice = select(loaded, name).notice
        assert bool(notice) == is_told
    *_, end = answer(loaded, dataclasses.replace(ask("caption en", tokens=1), adapter=name))
    assert end.notes == ((notice,) if is_told else ())
    if is_told:
        assert base in notice and NANO in notice


def test_the_announced_adapter_counts_as_googles():
    checkpoint = Catalog().find("3b-pt-448")
    name = ANNOUNCED.name
    assert adapters.notice(name, "gv-hf/paligemma2-3b-pt-448", checkpoint) is None
    assert "224" in adapters.notice(name, "google/paligemma2-3b-pt-224", checkpoint)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"peft_type": None}, "names no peft_type"),
        ({"lora_alpha": "16"}, "its lora_alpha is '16' and not a number"),
        ({"r": "4"}, "its r is '4' and not a rank"),
        ({"r": 10**100}, "and not a rank"),
    ],
)
def test_a_value_that_is_wrong_is_shown_as_it_is_written(change, words, write, loaded):
    with pytest.raises(UserError, match=words) as caught:
        select(loaded, write(**change))
    assert len(str(caught.value)) < 250
