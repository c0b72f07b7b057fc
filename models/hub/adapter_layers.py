"""A loaded model and the adapters on it: put one on, take it off, answer with one or with none.

Which adapter is on is state of the model, so only the thread that owns a model may call this.
Modules that no adapter touches any more are the model's own again.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch

from models.hub.adapter_weights import Matrices, Weights, modules_of, unwrapped

# On a module: by adapter its own parameters, and under None those of the model.
_PARAMETERS = "adapter_parameters"


def loaded(model: Any) -> tuple[str, ...]:
    """The keys of the adapters on a model, the longest unused first."""
    return tuple(getattr(model, "peft_config", {}))


def base_of(model: Any, key: str) -> str | None:
    """What the configuration of a loaded adapter calls its base."""
    return model.peft_config[key].base_model_name_or_path


def put_on(model: Any, key: str, weights: Weights, use_dora: bool, base: str | None) -> None:
    """Load an adapter that was checked; the model is as before where that fails.

    `base` is the name that its configuration has for its base.
    """
    from peft import LoraConfig
    from peft.functional import inject_adapter_in_model

    ranks = {name: own.rank for name, own in weights.lora.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    config = LoraConfig(
        r=usual,
        target_modules=list(weights.lora),
        rank_pattern=_by_rank(ranks, usual),
        use_dora=use_dora,
        inference_mode=True,
        base_model_name_or_path=base,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an embedding is tied, which is meant
            inject_adapter_in_model(config, model, key)
        layers = {name: model.get_submodule(name) for name in weights.lora}
        for name, own in weights.lora.items():
            _fill(layers[name], key, own)
        modules = modules_of(model)
        for name, parameters in weights.replaced.items():
            _add_parameters(modules[name], key, parameters)
        model.eval()
    except BaseException:
        take_off(model, key)
        raise


def take_off(model: Any, key: str) -> None:
    """Remove all of an adapter, be it loaded in part."""
    answer_with(model, None)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            layer: Any = child
            if hasattr(layer, "lora_A"):
                layer.set_adapter([])
                layer.delete_adapter(key)
                if not layer.lora_A and not layer.lora_embedding_A:
                    setattr(parent, name, unwrapped(layer))
    for module in model.modules():
        parameters = getattr(module, _PARAMETERS, {})
        if parameters.pop(key, None) and len(parameters) == 1:
            delattr(module, _PARAMETERS)
    if hasattr(model, "peft_config"):
        model.peft_config.pop(key, None)
        if not model.peft_config:
            del model.peft_config


def answer_with(model: Any, key: str | None) -> None:
    """Turn one adapter on, and all others off."""
    for module in model.modules():
        if hasattr(module, "lora_A"):
            module.enable_adapters(key is not None)
            if key is not None:
                module.set_adapter(key, inference_mode=True)
        parameters = getattr(module, _PARAMETERS, None)
        if parameters:
            for part, own in {**parameters[None], **parameters.get(key, {})}.items():
                setattr(module, part, own)
    if key is not None:
        model.peft_config[key] = model.peft_config.pop(key)  # the most recently used stands last


def is_touched(part: torch.nn.Module) -> bool:
    """Whether an adapter that is loaded changes a part of the model."""
    return any(hasattr(each, "lora_A") or hasattr(each, _PARAMETERS) for each in part.modules())


def _by_rank(ranks: dict[str, int], usual: int) -> dict[str, int]:
    """The modules whose rank is not the usual one, as one pattern a rank."""
    names: dict[int, list[str]] = {}
    for name, rank in ranks.items():
        if rank != usual:
            names.setdefault(rank, []).append(re.escape(name))
    return {"|".join(each): rank for rank, each in names.items()}


@torch.no_grad()
def _fill(layer: Any, key: str, own: Matrices) -> None:
    """Copy matrices into a layer of PEFT's, whose shapes are the same."""
    layer.scaling[key] = own.scale
    for parameter, tensor in _pairs(layer, key, own):
        parameter.copy_(tensor)
    if own.magnitude is not None:
        _settle_norm(layer, key)


def _pairs(
    layer: Any, key: str, own: Matrices
) -> Iterator[tuple[torch.nn.Parameter, torch.Tensor]]:
    if key in layer.lora_embedding_A:
        yield layer.lora_embedding_A[key], own.a
        yield layer.lora_embedding_B[key], own.b
    else:
        yield layer.lora_A[key].weight, own.a
        yield layer.lora_B[key].weight, own.b
    if own.magnitude is not None:
        yield layer.lora_magnitude_vector[key].weight, own.magnitude


def _settle_norm(layer: Any, key: str) -> None:
    """Compute once what PEFT's DoRA computes at every token: the norms of the adapted weight."""
    dora, base = layer.lora_magnitude_vector[key], unwrapped(layer)
    if key in layer.lora_embedding_A:
        product = (layer.lora_embedding_A[key].T @ layer.lora_embedding_B[key].T).T
    else:
        product = dora.get_lora_weight(layer.lora_A[key], layer.lora_B[key])
    product = product.to(base.weight.dtype)
    norm = dora.get_weight_norm(base.weight, product, layer.scaling[key])
    dora.get_lora_weight = lambda *_, **__: norm  # only handed on to the next
    dora.get_weight_norm = lambda *_, **__: norm


def _add_parameters(module: Any, key: str, tensors: dict[str, torch.Tensor]) -> None:
    """Keep parameters of an adapter beside those of the module; `answer_with` exchanges them."""
    parameters = getattr(module, _PARAMETERS, None)
    if parameters is None:
        parameters = {None: {}}
        setattr(module, _PARAMETERS, parameters)
    for part in tensors:
        parameters[None].setdefault(part, getattr(module, part))
    own = {
        part: torch.nn.Parameter(tensor.to(parameters[None][part]), requires_grad=False)
        for part, tensor in tensors.items()
    }
    parameters[key] = own
