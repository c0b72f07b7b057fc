"""LoRA adapters: listing, checking, loading, and switching them on a loaded model.

An adapter is a folder `adapters/NAME` beside the checkpoint, the one of the announcement, or one
that the deployment lists, with `adapter_config.json` and `adapter_model.safetensors`. PEFT keeps
which adapter is on as state of the model, so only the thread that owns a model may call `select`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import catalog, deployment, hub
from models.deployment import Adapter
from models.schema import UserError

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration

# The adapter of the announcement names another base in its own configuration; this one is meant.
ANNOUNCED = Adapter("merve/paligemma2-3b-vqav2", "3b-pt-448", hub_id="merve/paligemma2-3b-vqav2")
LARGEST_RANK = 256

_FOLDER = Path(__file__).parent
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
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


def listed(checkpoint: str) -> dict[str, Adapter]:
    """The adapters that exist for a checkpoint, by name; those in its folder come first."""
    root = _root(checkpoint)
    folders = sorted(root.iterdir()) if root.is_dir() else []
    local = [
        Adapter(each.name, checkpoint, path=each)
        for each in folders
        if (each / _CONFIG).is_file() and _NAME.fullmatch(each.name)
    ]
    found: dict[str, Adapter] = {}
    for each in (*local, ANNOUNCED, *deployment.current().adapters):
        if each.checkpoint == checkpoint:
            found.setdefault(each.name, each)
    return found


def names(checkpoint: str) -> tuple[str, ...]:
    """The names of the adapters that exist for a checkpoint."""
    return tuple(listed(checkpoint))


def check_name(checkpoint: str, name: str) -> None:
    """UserError naming the valid ones where a checkpoint has no such adapter."""
    valid = names(checkpoint)
    if name not in valid:
        remedy = f"Choose one of {', '.join(valid)}." if valid else "Use none."
        raise UserError(f"{checkpoint} has no adapter {name!r}.", remedy)


def check_folder(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter that can be loaded; UserError saying what is wrong."""
    if not (folder / _WEIGHTS).is_file():
        raise UserError(
            f"The adapter {folder.name} has no {_WEIGHTS}.",
            "Save it with safe_serialization=True; other formats can run code and are not loaded.",
        )
    try:
        config = json.loads((folder / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise _refused(folder, f"its {_CONFIG} cannot be read")
    if config.get("peft_type") != "LORA":
        raise _refused(folder, f"it is {config.get('peft_type')!r} and not LORA")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or not 1 <= rank <= LARGEST_RANK:
        raise _refused(folder, f"its rank is {rank!r} and not 1 to {LARGEST_RANK}")
    if not isinstance(alpha, (int, float)) or not 0 < alpha < 10_000:
        raise _refused(folder, f"its lora_alpha is {alpha!r}")
    if not config.get("target_modules"):
        raise _refused(folder, "it names no target_modules")
    if config.get("bias", "none") != "none":
        raise _refused(folder, "it changes biases")
    for option in _UNSUPPORTED:
        if config.get(option):
            raise _refused(folder, f"it uses {option}")
    return config


def select(
    model: PaliGemmaForConditionalGeneration,
    checkpoint: str,
    name: str | None,
    status: hub.Status = lambda message: None,
) -> None:
    """Make `model` answer with an adapter, or with none; loads it on first use.

    `status` gets a sentence where a download is needed. UserError where the adapter cannot be
    used.
    """
    has_any = getattr(model, "_hf_peft_config_loaded", False)
    if name is None:
        if has_any:
            model.disable_adapters()
        return
    check_name(checkpoint, name)
    key = _key(name)
    if not has_any or key not in model.peft_config:
        _load(model, _folder(checkpoint, name, status), key)
    model.enable_adapters()
    model.set_adapter(key)


def _root(checkpoint: str) -> Path:
    found = catalog.find(checkpoint)
    return (found.path or _FOLDER / found.name) / "adapters"


def _folder(checkpoint: str, name: str, status: hub.Status) -> Path:
    adapter = listed(checkpoint)[name]
    if adapter.path is not None:
        return adapter.path
    return hub.fetch(
        adapter.hub_id,
        status,
        files=hub.ADAPTER_FILES,
        probe=_CONFIG,
        revision=adapter.revision,
    )


def _key(name: str) -> str:
    """The name under which PEFT keeps an adapter: no dots, part of no parameter's name."""
    return "adapter__" + re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _load(model: PaliGemmaForConditionalGeneration, folder: Path, key: str) -> None:
    """Add an adapter to a model, refusing one whose weights do not fit it exactly."""
    from peft import LoraConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = check_folder(folder)
    try:
        weights = load_file(folder / _WEIGHTS)
    except (SafetensorError, OSError):
        raise _refused(folder, f"its {_WEIGHTS} cannot be read") from None
    config = LoraConfig(
        r=settings["r"],
        lora_alpha=settings["lora_alpha"],
        target_modules=settings["target_modules"],
        exclude_modules=settings.get("exclude_modules"),
        layers_to_transform=settings.get("layers_to_transform"),
        layers_pattern=settings.get("layers_pattern"),
        use_rslora=bool(settings.get("use_rslora")),
        fan_in_fan_out=bool(settings.get("fan_in_fan_out")),
        inference_mode=True,
    )
    try:
        report = model.load_adapter(
            adapter_name=key, peft_config=config, adapter_state_dict=weights
        )
    except (ValueError, RuntimeError, KeyError) as error:
        _forget(model, key)
        raise _refused(folder, " ".join(str(error).split())[:160]) from None
    wrong = {
        # The report also calls those of the adapters that are loaded already missing.
        "missing": [each for each in report.missing_keys if key in each],
        "unknown": report.unexpected_keys,
        "of another shape": report.mismatched_keys,
    }
    for what, keys in wrong.items():
        if keys:
            _forget(model, key)
            example = min(str(each) for each in keys)
            raise _refused(folder, f"{len(keys)} of its weights are {what}, such as {example}")
    model.eval()


def _forget(model: PaliGemmaForConditionalGeneration, key: str) -> None:
    """Remove what is left of an adapter that failed to load, so that it cannot be used by name."""
    if key in getattr(model, "peft_config", {}):
        model.delete_adapter(key)


def _refused(folder: Path, reason: str) -> UserError:
    return UserError(
        f"The adapter {folder.name} does not fit: {reason}.",
        "Use a plain LoRA that was trained on this checkpoint.",
    )
