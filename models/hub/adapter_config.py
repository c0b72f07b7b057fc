"""What a LoRA adapter's configuration must say before anything of it is loaded.

Only safetensors are read, never pickles; of the configuration only what names modules and scales is
used, so nothing in it can run, fetch or search. This module knows neither torch nor PEFT. The names
of the options are those of `peft.LoraConfig`.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from models.catalog import adapter
from models.hub import adapter_patterns
from models.schema import UserError

CONFIG, WEIGHTS = adapter.CONFIG, "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
LARGEST_RANK = 256
LARGEST_BYTES = 2_000_000_000  # of the weights; a rank of 64 on all of a 28B takes less
LARGEST_CONFIG_BYTES = 1_000_000
LARGEST_ALPHA = 10_000
# The linear modules of SigLIP, the projector and Gemma 2.
MODULES = frozenset(
    "q_proj k_proj v_proj o_proj out_proj gate_proj up_proj down_proj fc1 fc2 linear".split()
)

# What is read below, and what only counts while an adapter is trained.
_READ = frozenset(
    "peft_type r lora_alpha rank_pattern alpha_pattern target_modules exclude_modules"
    " layers_to_transform layers_pattern use_rslora use_dora bias modules_to_save"
    " init_lora_weights base_model_name_or_path".split()
)
_TRAINING_ONLY = frozenset(
    "task_type auto_mapping peft_version revision inference_mode lora_dropout fan_in_fan_out"
    " megatron_core loftq_config eva_config corda_config lora_ga_config qalora_group_size"
    " runtime_config".split()
)
# Any other start leaves a changed base behind, which an adapter alone does not carry: PiSSA, OLoRA,
# CorDA, LoftQ, LoRA-GA.
_KEEP_BASE = frozenset(("gaussian", "eva", "orthogonal", "true", "false", "none"))


@dataclass(frozen=True)
class Lora:
    """A checked configuration. None for `target_modules` is a pattern that is not understood."""

    r: int
    lora_alpha: float
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]
    target_modules: tuple[str, ...] | adapter_patterns.Pattern | None
    exclude_modules: tuple[str, ...] | adapter_patterns.Pattern | None
    layers_to_transform: tuple[int, ...]
    layers_pattern: tuple[str, ...]
    use_rslora: bool
    use_dora: bool
    has_biases: bool
    modules_to_save: tuple[str, ...]
    base: str | None = field(compare=False)

    def ranks(self, names: Iterable[str]) -> dict[str, int]:
        """The rank of each module; ValueError where a pattern fits none."""
        return adapter_patterns.values(self.rank_pattern, names, self.r)

    def scales(self, ranks: dict[str, int]) -> dict[str, float]:
        """What each module's product is multiplied with; ValueError where a pattern fits none."""
        alphas = adapter_patterns.values(self.alpha_pattern, ranks, self.lora_alpha)
        root = math.sqrt if self.use_rslora else float
        return {name: alphas[name] / root(rank) for name, rank in ranks.items()}

    def targets(self, names: Iterable[str], linear: Iterable[str]) -> set[str] | None:
        """Those of a model's modules that are adapted, of which `linear` are linear ones.

        None where this takes a pattern that is not understood.
        """
        wanted, excluded = self.target_modules, self.exclude_modules
        if wanted is None or (excluded is None):
            return None
        if wanted == ("all-linear",):
            found = set(linear) - {name for name in linear if name.endswith("lm_head")}
        else:
            found = {name for name in names if _fits(wanted, name) and self._is_in_layers(name)}
        saved = [f".{name}." for name in self.modules_to_save]
        return {
            name
            for name in found
            if not _fits(excluded, name) and not any(each in f".{name}." for each in saved)
        }

    def _is_in_layers(self, name: str) -> bool:
        """Whether a module is in one of `layers_to_transform`: the first number counts."""
        if not self.layers_to_transform:
            return True
        parts = name.split(".")
        numbers = [
            int(number)
            for before, number in pairwise(parts[:-1])
            if number.isdecimal() and (not self.layers_pattern or before in self.layers_pattern)
        ]
        return bool(numbers) and numbers[0] in self.layers_to_transform


def read(folder: Path) -> Lora:
    """The configuration of an adapter that can be loaded; UserError saying what is wrong."""
    weights = folder / WEIGHTS
    if not weights.is_file():
        if (folder / f"{WEIGHTS}.index.json").is_file():
            raise refused(folder, "its weights are in several files and only one is read")
        raise UserError(
            f"The adapter {folder.name} has no {WEIGHTS}.",
            "Save it with safe_serialization=True; other formats can run code and are not loaded.",
        )
    if weights.stat().st_size > LARGEST_BYTES:
        raise refused(folder, too_large(weights.stat().st_size))
    try:
        with (folder / CONFIG).open("rb") as file:
            config = json.loads(file.read(LARGEST_CONFIG_BYTES).decode("utf-8-sig"))
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
        "Use a LoRA or DoRA adapter that was trained on this checkpoint.",
    )


def _checked(config: dict[str, Any]) -> Lora:
    """The parts that are used; ValueError saying why a configuration cannot be."""
    if config.get("peft_type") is None:
        raise ValueError("its configuration names no peft_type")
    if config["peft_type"] != "LORA":
        raise ValueError(f"its method is {str(config.get('peft_type'))[:60]!r} and not LORA")
    for option in sorted(config.keys() - _READ - _TRAINING_ONLY):
        # A number or a word alone turns nothing on; what newer versions add is off where it is
        # false or empty.
        if config[option] is True or (isinstance(config[option], (list, dict)) and config[option]):
            raise ValueError(f"it uses {option[:60]}, which is not supported here")
    start = str(config.get("init_lora_weights", True))
    if start.lower() not in _KEEP_BASE:
        raise ValueError(f"it began with {start[:60]}, which changes the base as well")
    if config.get("bias") not in (None, "none", "lora_only", "all"):
        raise ValueError(f"its bias is {str(config['bias'])[:60]!r}")
    rank = _rank("r", config.get("r"))
    layers = config.get("layers_to_transform")
    layers = [layers] if type(layers) is int else layers or []
    if not _is_list(layers, int):
        raise ValueError("its layers_to_transform are no numbers")
    if not config.get("target_modules"):
        raise ValueError("it names no target_modules")
    patterns = _names(config, "layers_pattern")
    if not all(each.isidentifier() for each in patterns):
        raise ValueError("its layers_pattern is no name")
    return Lora(
        r=rank,
        lora_alpha=_alpha("lora_alpha", config.get("lora_alpha")),
        rank_pattern=_by_pattern(config, "rank_pattern", _rank),
        alpha_pattern=_by_pattern(config, "alpha_pattern", _alpha),
        target_modules=_modules(config, "target_modules"),
        exclude_modules=_modules(config, "exclude_modules"),
        layers_to_transform=tuple(layers),
        layers_pattern=patterns,
        use_rslora=_flag(config, "use_rslora"),
        use_dora=_flag(config, "use_dora"),
        has_biases=config.get("bias") not in (None, "none"),
        modules_to_save=_names(config, "modules_to_save"),
        base=config["base_model_name_or_path"]
        if isinstance(config.get("base_model_name_or_path"), str)
        else None,
    )


def _rank(option: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= LARGEST_RANK:
        shown = reprlib.repr(value)
        raise ValueError(f"its {option} is {shown} and not a rank of 1 to {LARGEST_RANK}")
    return value


def _alpha(option: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < LARGEST_ALPHA:
        shown = reprlib.repr(value)
        raise ValueError(f"its {option} is {shown} and not a number of 0 to {LARGEST_ALPHA}")
    return value


def _flag(config: dict[str, Any], option: str) -> bool:
    if config.get(option) not in (None, False, True):
        raise ValueError(f"its {option} is neither true nor false")
    return bool(config.get(option))


def _by_pattern(
    config: dict[str, Any], option: str, checked: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """Ranks or alphas by patterns, in the order of the file, which decides where several fit."""
    found = config.get(option) or {}
    if not isinstance(found, dict):
        raise ValueError(f"its {option} is no table")
    return {key: checked(f"{option} of {key[:60]!r}", value) for key, value in found.items()}


def _names(config: dict[str, Any], option: str) -> tuple[str, ...]:
    names = config.get(option) or []
    names = [names] if isinstance(names, str) else names
    if not _is_list(names, str):
        raise ValueError(f"its {option} are no names")
    return tuple(names)


def _modules(
    config: dict[str, Any], option: str
) -> tuple[str, ...] | adapter_patterns.Pattern | None:
    """Names, a pattern, or None where the pattern is not understood."""
    value = config.get(option)
    if not isinstance(value, str) or value.lower() == "all-linear":
        return tuple(map(str.lower, (value,))) if isinstance(value, str) else _names(config, option)
    try:
        return adapter_patterns.understood(value)
    except ValueError:
        return None  # the weights name the modules


def _fits(wanted: tuple[str, ...] | adapter_patterns.Pattern, name: str) -> bool:
    """PEFT's rule: a pattern is all of the name, a listed name its end."""
    if isinstance(wanted, adapter_patterns.Pattern):
        return wanted.is_all_of(name)
    return any(name == each or name.endswith(f".{each}") for each in wanted)


def _is_list(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)
