"""What a LoRA adapter's weights are for: the modules that they name, checked against the model.

The names in the file say exactly which modules are adapted and the shapes say with which rank; the
configuration has to agree. Nothing of the model is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from models.hub import adapter_config
from models.hub.adapter_config import Lora

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROJECTOR = "model.multi_modal_projector.linear"
_EMBEDDING, _HEAD = "model.language_model.embed_tokens", "lm_head"

# How names in a file end, and what that part is.
_PARTS = {
    ".lora_A.weight": "a",
    ".lora_B.weight": "b",
    ".lora_embedding_A": "a",
    ".lora_embedding_B": "b",
    ".lora_magnitude_vector": "magnitude",
    ".base_layer.weight": "weight",
    ".base_layer.bias": "bias",
    ".weight": "weight",
    ".bias": "bias",
}
# Names of modules in older versions of transformers, the announcement's adapter among them: before
# 5, and before 4.52.
_OLDER = (
    {"model.vision_tower.": "model.vision_tower.vision_model."},
    {
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.multi_modal_projector.": "multi_modal_projector.",
        "model.language_model.": "language_model.model.",
        "lm_head": "language_model.lm_head",
    },
)


@dataclass(frozen=True)
class Matrices:
    """LoRA beside a module: (rank, in), (out, rank), DoRA's magnitudes (out,), and the scale."""

    a: torch.Tensor
    b: torch.Tensor
    magnitude: torch.Tensor | None
    scale: float

    @property
    def rank(self) -> int:
        """The rank."""
        return len(self.a)


@dataclass(frozen=True)
class Weights:
    """By names of the model's modules: LoRA, and parameters that replace the module's own."""

    lora: dict[str, Matrices]
    replaced: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The model's own module where PEFT has put a layer around it."""
    layer: Any = module
    return layer.get_base_layer() if hasattr(layer, "lora_A") else module


def modules_of(model: torch.nn.Module, prefix: str = "") -> dict[str, torch.nn.Module]:
    """The model's own modules by name, as if no adapter were loaded."""
    found = {}
    for name, child in model.named_children():
        own = unwrapped(child)
        found[prefix + name] = own
        found.update(modules_of(own, f"{prefix}{name}."))
    return found


def read(folder: Path, config: Lora, model: PreTrainedModel) -> Weights:
    """The weights of an adapter that fits the model; UserError saying what does not."""
    try:
        with safe_open(folder / adapter_config.WEIGHTS, framework="pt") as file:
            names = file.keys()
            return _checked(config, {name: file.get_tensor(name) for name in names}, model)
    except (SafetensorError, OSError):
        reason = f"its {adapter_config.WEIGHTS} cannot be read"
    except ValueError as error:
        reason = str(error)
    raise adapter_config.refused(folder, reason) from None


def _checked(config: Lora, tensors: Mapping[str, torch.Tensor], model: PreTrainedModel) -> Weights:
    """The weights by module; ValueError saying what does not fit."""
    # 1. The parts of each module, by the names of the file.
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, part = _split(key)
        if part in parts.setdefault(name, {}):
            raise ValueError(f"it has two weights {key!r}")
        parts[name][part] = tensor
    # 2. Those modules in the model, and what the configuration says of them.
    modules = modules_of(model)
    layout = _layout(parts, modules)
    adapted = [name for name, own in parts.items() if "a" in own or "b" in own]
    if not adapted:
        raise ValueError("it has no LoRA weights")
    scales = _agreed(config, parts, adapted, layout, modules)
    # 3. The shapes and the values.
    lora, replaced = {}, {}
    for name, own in parts.items():
        module = modules[layout[name]]
        for part, tensor in own.items():
            _check_values(name, part, tensor, model.dtype)
        if name in scales:
            lora[layout[name]] = _matrices(name, own, module, scales[name], config.use_dora)
        elif "magnitude" in own:
            raise ValueError(f"{name} has a magnitude and no LoRA")
        own = {part: own[part] for part in ("weight", "bias") if part in own}
        own = _replacing(layout[name], own, module, config)
        if own:
            replaced[layout[name]] = own
    _check_saved(config, layout, parts)
    return Weights(lora, replaced)


def _split(key: str) -> tuple[str, str]:
    """The module and the part of it that a name in the file stands for."""
    if key.endswith("dora_scale"):
        raise ValueError("its DoRA is that of LyCORIS (dora_scale) and not that of PEFT")
    if key.endswith(".lora_B.bias"):
        raise ValueError("it uses lora_bias, which is not supported here")
    for end, part in _PARTS.items():
        if key.endswith(end) and ".lora_" not in key.removesuffix(end):
            return key.removesuffix(end).removeprefix("base_model.model."), part
    raise ValueError(f"its weight {key[:120]!r} is unknown")


def _layouts(modules: Mapping[str, torch.nn.Module]) -> list[dict[str, str]]:
    """Names of the model's modules by those of a version of transformers, the present one first."""
    found = [{name: name for name in modules}]
    for older in _OLDER:
        renamed = {}
        for name in modules:
            now = next((now for now in older if name.startswith(now)), "")
            renamed[older.get(now, "") + name.removeprefix(now)] = name
        found.append(renamed)
    return found


def _layout(parts: Mapping[str, object], modules: Mapping[str, torch.nn.Module]) -> dict[str, str]:
    """The layout in which the file names modules; ValueError naming one that is in none."""
    layouts = _layouts(modules)
    for layout in layouts:
        if parts.keys() <= layout.keys():
            return layout
    known = set().union(*layouts)
    unknown = sorted(parts.keys() - known)
    if not unknown:
        raise ValueError("its weights are named as in several versions of transformers")
    raise ValueError(f"{len(unknown)} of its modules are unknown, such as {unknown[0][:120]}")


def _agreed(
    config: Lora,
    parts: Mapping[str, Mapping[str, torch.Tensor]],
    adapted: list[str],
    layout: Mapping[str, str],
    modules: Mapping[str, torch.nn.Module],
) -> dict[str, float]:
    """The scale of each adapted module, by its name in the file.

    The configuration may name modules as the file does or as transformers does now. ValueError
    where it does not agree with the weights.
    """
    errors = []
    for names in (layout, *(each for each in _layouts(modules) if each != layout)):
        in_names = {now: name for name, now in names.items()}
        own = {in_names[layout[name]]: name for name in adapted}
        try:
            wanted = config.ranks(own)
            ranks = {name: _rank(file_name, parts[file_name]) for name, file_name in own.items()}
            for name, rank in ranks.items():
                if rank != wanted[name]:
                    raise ValueError(
                        f"{name} has rank {rank} in its weights"
                        f" and {wanted[name]} in its configuration"
                    )
            _check_targets(config, own, names, modules)
            return {own[name]: scale for name, scale in config.scales(ranks).items()}
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _check_targets(
    config: Lora,
    own: Mapping[str, str],
    names: Mapping[str, str],
    modules: Mapping[str, torch.nn.Module],
) -> None:
    """ValueError where the weights are not for those modules that the configuration names."""
    linear = [name for name, now in names.items() if hasattr(modules[now], "in_features")]
    embeddings = [name for name, now in names.items() if now == _EMBEDDING]
    wanted = config.targets([*linear, *embeddings], linear)
    if wanted is None:
        return
    for what, missing in (("missing", wanted - own.keys()), ("too many", own.keys() - wanted)):
        if missing:
            raise ValueError(
                f"for {len(missing)} of its modules weights are {what}, such as {min(missing)}"
            )


def _rank(name: str, own: Mapping[str, torch.Tensor]) -> int:
    a = own.get("a")
    if a is None or "b" not in own:
        raise ValueError(f"{name} has only one of its two matrices, the other is missing")
    return len(a) if a.ndim else 0


def _matrices(
    name: str,
    own: Mapping[str, torch.Tensor],
    module: torch.nn.Module,
    scale: float,
    use_dora: bool,
) -> Matrices:
    """A module's matrices; ValueError where they are not of its shape."""
    if isinstance(module, torch.nn.Embedding):
        inside, out = module.num_embeddings, module.embedding_dim
    elif isinstance(module, torch.nn.Linear):
        inside, out = module.in_features, module.out_features
    else:
        raise ValueError(f"{name} is neither a linear layer nor the embedding")
    if isinstance(module, torch.nn.Embedding) and not name.endswith("embed_tokens"):
        raise ValueError(f"{name} is not the embedding of the text")
    if use_dora != ("magnitude" in own):
        raise ValueError(f"{name} has {'no' if use_dora else 'a'} lora_magnitude_vector")
    if use_dora and not module.weight.is_floating_point():
        raise ValueError("DoRA needs a base that is not quantized; choose bf16 or fp32")
    rank = len(own["a"])
    wanted = {"a": (rank, inside), "b": (out, rank), "magnitude": (out,)}
    for part, shape in wanted.items():
        if part in own and tuple(own[part].shape) != shape:
            raise ValueError(
                f"the shape of {name} is {tuple(own[part].shape)} in its weights and {shape} here"
            )
    return Matrices(own["a"], own["b"], own.get("magnitude"), scale)


def _check_values(name: str, part: str, tensor: torch.Tensor, dtype: torch.dtype) -> None:
    """ValueError where a tensor has no finite numbers, or too large ones for the model."""
    if not tensor.is_floating_point():
        raise ValueError(f"{name} has weights of type {tensor.dtype}")
    if not tensor.numel():
        raise ValueError(f"{name} has empty weights, of rank 0 or not gathered when saved")
    if not torch.isfinite(tensor.to(dtype)).all():
        raise ValueError(f"{name} has weights that are no finite numbers in {dtype}")


def _replacing(
    name: str, own: dict[str, torch.Tensor], module: torch.nn.Module, config: Lora
) -> dict[str, torch.Tensor]:
    """What replaces a module's own parameters; ValueError where that cannot be."""
    for part, tensor in list(own.items()):
        present = getattr(module, part, None)
        if present is None or present.shape != tensor.shape:
            raise ValueError(f"the {part} of {name} is of another shape or there is none here")
        if torch.equal(present, tensor.to(present)):
            del own[part]  # PEFT saves the embedding and the head beside a LoRA on them
        elif part == "weight" and name in (_EMBEDDING, _HEAD):
            raise ValueError(f"it brings all of {name}, other than that of this checkpoint")
        elif part == "weight" and name != PROJECTOR:
            raise ValueError(f"it replaces {name}; only the projector can be")
        elif part == "bias" and name != PROJECTOR and not config.has_biases:
            raise ValueError(f"it changes the bias of {name}, and its configuration says none")
    return own


def _check_saved(
    config: Lora,
    layout: Mapping[str, str],
    parts: Mapping[str, Mapping[str, torch.Tensor]],
) -> None:
    """ValueError where `modules_to_save` are other modules than those that the file holds whole."""
    projector = next(name for name, now in layout.items() if now == PROJECTOR)
    names = projector, projector.rpartition(".")[0]
    for saved in config.modules_to_save:
        if not any(name == saved or name.endswith(f".{saved}") for name in names):
            raise ValueError(f"its modules_to_save has {saved[:60]!r}; only the projector can be")
    if ("weight" in parts.get(projector, {})) != bool(config.modules_to_save):
        raise ValueError("modules_to_save and the weights disagree about the projector")
