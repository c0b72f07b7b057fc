"""What a LoRA adapter's folder must be like before anything of it is loaded.

Only safetensors are read, never pickles; of the configuration only what names matrices and scales
is used, so nothing in it can run, fetch or search. This module knows neither torch nor PEFT.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.schema import UserError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
LARGEST_RANK = 256
LARGEST_BYTES = 2_000_000_000  # of the weights; a rank of 64 on all of a 28B takes less
# The linear modules of SigLIP, the projector and Gemma 2.
MODULES = frozenset(
    "q_proj k_proj v_proj o_proj out_proj gate_proj up_proj down_proj fc1 fc2 linear".split()
)

_PATH = re.compile(r"([A-Za-z0-9_]+\.)*[a-z0-9_]+")
_LAYERS = re.compile(r"[A-Za-z_]+")
# Options that change more than LoRA matrices beside linear layers.
_UNSUPPORTED = (
    "use_dora",
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "lora_bias",
    "megatron_config",
    "rank_pattern",
    "alpha_pattern",
)
# First weights that come with a changed base, which an adapter alone does not carry.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq")


@dataclass(frozen=True)
class Lora:
    """A checked configuration; the names are those of `peft.LoraConfig`."""

    r: int
    lora_alpha: float
    target_modules: tuple[str, ...]
    exclude_modules: tuple[str, ...]
    layers_to_transform: tuple[int, ...]
    layers_pattern: tuple[str, ...]
    use_rslora: bool
    fan_in_fan_out: bool


def read(folder: Path) -> Lora:
    """The configuration of an adapter that can be loaded; UserError saying what is wrong."""
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(
            f"The adapter {folder.name} has no {WEIGHTS}.",
            "Save it with safe_serialization=True; other formats can run code and are not loaded.",
        )
    if weights.stat().st_size > LARGEST_BYTES:
        raise refused(folder, too_large(weights.stat().st_size))
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise refused(folder, f"its {CONFIG} cannot be read")
    try:
        return _checked(config)
    except ValueError as error:
        raise refused(folder, str(error)) from None


def too_large(size: int) -> str:
    """Why weights of `size` bytes are not read."""
    most = LARGEST_BYTES / 1e9
    return f"its weights have {size / 1e9:.1f} GB and at most {most:.0f} GB are read"


def refused(folder: Path, reason: str) -> UserError:
    """The error of an adapter that does not fit for a reason."""
    return UserError(
        f"The adapter {folder.name} does not fit: {reason}.",
        "Use a plain LoRA that was trained on this checkpoint.",
    )


def _checked(config: dict[str, Any]) -> Lora:
    """The parts that are used; ValueError saying why a configuration cannot be."""
    if config.get("peft_type") != "LORA":
        raise ValueError(f"it is {config.get('peft_type')!r} and not LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= LARGEST_RANK:
        raise ValueError(f"its rank is {rank!r} and not 1 to {LARGEST_RANK}")
    if type(alpha) not in (int, float) or not 0 < alpha < 10_000:
        raise ValueError(f"its lora_alpha is {alpha!r}")
    if config.get("bias", "none") != "none":
        raise ValueError("it changes biases")
    for option in _UNSUPPORTED:
        if config.get(option):
            raise ValueError(f"it uses {option}")
    if str(config.get("init_lora_weights", True)).lower().startswith(_CHANGE_BASE):
        how = config["init_lora_weights"]
        raise ValueError(f"it began with {how}, which changes the base as well")
    if not config.get("target_modules"):
        raise ValueError("it names no target_modules")
    return Lora(
        r=rank,
        lora_alpha=alpha,
        target_modules=_modules(config, "target_modules"),
        exclude_modules=_modules(config, "exclude_modules"),
        layers_to_transform=_layers(config.get("layers_to_transform")),
        layers_pattern=_patterns(config.get("layers_pattern")),
        use_rslora=bool(config.get("use_rslora")),
        fan_in_fan_out=bool(config.get("fan_in_fan_out")),
    )


def _modules(config: dict[str, Any], option: str) -> tuple[str, ...]:
    """Module names: a string would be a regular expression, which can hang."""
    names = config.get(option) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"its {option} are a pattern and not a list of names")
    for name in names:
        if len(name) > 200 or not _PATH.fullmatch(name) or name.split(".")[-1] not in MODULES:
            raise ValueError(f"its {option} name {name[:60]!r}, which is no linear module here")
    return tuple(names)


def _layers(numbers: Any) -> tuple[int, ...]:
    found = [numbers] if type(numbers) is int else numbers or []
    if not isinstance(found, list) or not all(type(number) is int for number in found):
        raise ValueError("its layers_to_transform are no numbers")
    return tuple(found)


def _patterns(names: Any) -> tuple[str, ...]:
    found = [names] if isinstance(names, str) and names else names or []
    if not isinstance(found, list) or not all(
        isinstance(name, str) and _LAYERS.fullmatch(name) for name in found
    ):
        raise ValueError("its layers_pattern is no name")
    return tuple(found)
