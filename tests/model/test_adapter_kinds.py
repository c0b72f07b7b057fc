"""Adapters of every kind that PEFT makes: the same text as with PEFT alone, or a reason why not.

References are made with `peft` and `generate` alone; what is compared goes through the engine, one
request after the other and several side by side.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.engine.engine import Engine
from models.engine.inputs import prepare
from tests.choosing import adapter_of, answer, beside_nano, load, nano_in

NANO = "nano-224"
PROMPT = "describe en"
TOKENS = 8
QV = ["q_proj", "v_proj"]


def _without_prefix(name: str) -> str:
    return name.removeprefix("base_model.model.")


def _as_before_4_52(name: str) -> str:
    name = name.replace("model.language_model.", "language_model.model.")
    return name.replace("model.vision_tower.", "vision_tower.vision_model.")


def _as_before_5(name: str) -> str:
    return name.replace("model.vision_tower.", "model.vision_tower.vision_model.")


@dataclass(frozen=True)
class Kind:
    """Options of `LoraConfig`, how many times the usual the random weights are, new names."""

    options: dict = field(default_factory=dict)
    times: float = 1.0
    rename: Callable[[str], str] = str


KINDS = {
    "plain": Kind(),
    "without prefix": Kind(rename=_without_prefix),
    "names before 4.52": Kind(rename=_as_before_4_52),
    "names before 5": Kind(rename=_as_before_5),
    "all-linear": Kind({"target_modules": "all-linear", "lora_alpha": 8}),
    "rslora": Kind({"use_rslora": True, "r": 16, "lora_alpha": 32}),
    "some layers": Kind({"layers_to_transform": [1, 3], "layers_pattern": "layers"}),
    "target pattern": Kind(
        {"target_modules": r"^(?!.*vision_tower).*layers\.[02-4]\..*(q|v)_proj"}
    ),
    "exclude pattern": Kind({"exclude_modules": r".*vision_tower.*layers\.\d+\..*"}),
    "ranks": Kind({"rank_pattern": {r"layers\.[01]\.self_attn\.q_proj": 2, "v_proj": 7}}),
    "alphas": Kind({"alpha_pattern": {"q_proj": 16, r"language_model.*v_proj": 96}}),
    "dora": Kind({"use_dora": True, "lora_alpha": 16}),
    "projector": Kind({"modules_to_save": ["multi_modal_projector"]}),
    "own biases": Kind({"bias": "lora_only", "lora_alpha": 0.5}, times=10),
    "all biases": Kind({"bias": "all", "lora_alpha": 0.5}, times=5),
    "embedding": Kind({"target_modules": ["embed_tokens", "q_proj"]}, times=0.3),
    "head": Kind({"target_modules": ["lm_head", "v_proj"], "lora_alpha": 16}),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder of nano's weights beside adapters."""
    return beside_nano(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module")
def loaded(root):
    """The model of the engine, on which all kinds come and go."""
    return load(checkpoint=nano_in(root))


@pytest.fixture(scope="module")
def make(root, nano_checkpoint, picture) -> Callable[[str], list[int]]:
    """Saves an adapter of a kind, once, and gives the tokens that PEFT's model answers with."""
    from peft import LoraConfig, get_peft_model

    made: dict[str, list[int]] = {}

    def make(name: str) -> list[int]:
        if name not in made:
            kind, alone = KINDS[name], load()
            torch.manual_seed(list(KINDS).index(name))
            defaults = {"r": 4, "lora_alpha": 64, "target_modules": QV}
            config = LoraConfig(**{**defaults, **kind.options}, init_lora_weights=False)
            model = get_peft_model(alone.model, config).eval()
            _shake(model, kind)
            folder = root / "adapters" / name
            model.save_pretrained(folder)
            _rename(folder / "adapter_model.safetensors", kind.rename)
            made[name] = _answer(model, prepare(alone, picture, PROMPT))
        return made[name]

    return make


def _shake(model: torch.nn.Module, kind: Kind) -> None:
    """Change all that this kind trains, so that nothing is as it was."""
    for name, parameter in model.named_parameters():
        if "lora_embedding" in name:
            parameter.data.mul_(kind.times)
        elif parameter.requires_grad and "lora_A" not in name and "lora_B" not in name:
            size = 1 if name.endswith("bias") else parameter.abs().mean()
            parameter.data.add_(0.3 * kind.times * size * torch.randn_like(parameter))


def _rename(path: Path, rename: Callable[[str], str]) -> None:
    weights = {rename(name): tensor for name, tensor in load_file(path).items()}
    path.unlink()
    save_file(weights, path)


@torch.inference_mode()
def _answer(model, inputs) -> list[int]:
    output = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return output[0, inputs["input_ids"].shape[1] :].tolist()


def _ids(events) -> list[int]:
    return [each.token_id for each in events if hasattr(each, "token_id")]


@pytest.fixture(scope="module")
def base_tokens(loaded, picture) -> list[int]:
    """What nano answers with no adapter, before any was loaded."""
    return _answer(loaded.model, prepare(loaded, picture, PROMPT))


@pytest.mark.parametrize("name", KINDS)
def test_an_adapter_answers_as_with_peft_alone(name, make, loaded, base_tokens, ask):
    expected = make(name)
    assert expected != base_tokens
    request = dataclasses.replace(ask(PROMPT, tokens=TOKENS), adapter=name)
    found = _ids(answer(loaded, request))
    assert found == expected[: len(found)]
    plain = _ids(answer(loaded, dataclasses.replace(request, adapter=None)))
    assert plain == base_tokens[: len(plain)]


@pytest.mark.slow
def test_all_kinds_answer_side_by_side(make, loaded, base_tokens, ask):
    engine = Engine(loaded, max_slots=6)
    wanted = {None: base_tokens, **{name: make(name) for name in KINDS}}
    names = list(wanted)
    for start in range(0, len(names), 5):
        chosen = [*names[start : start + 5], None]
        answers = [
            engine.answer(
                dataclasses.replace(ask(PROMPT, tokens=TOKENS), adapter=name),
                threading.Event(),
                adapter=adapter_of(loaded, name),
            )
            for name in chosen
        ]
        found: list[list] = [[] for _ in answers]
        going = list(range(len(answers)))
        while going:
            for index in list(going):
                event = next(answers[index], StopIteration)
                while event is not None and event is not StopIteration:
                    found[index].append(event)
                    event = next(answers[index], StopIteration)
                if event is StopIteration:
                    going.remove(index)
            engine.step()
        for name, events in zip(chosen, found, strict=True):
            ids = _ids(events)
            assert ids and ids == wanted[name][: len(ids)], name
