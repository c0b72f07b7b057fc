"""LoRA adapters: listing, checking, loading, and switching them on a loaded model.

An adapter is a folder `adapters/NAME` beside the checkpoint, the one of the announcement, or one
that the deployment lists, with `adapter_config.json` and `adapter_model.safetensors`. PEFT keeps
which adapter is on as state of the model, so only the thread that owns a model may call `select`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import deployment, lookup
from models.catalog.deployment import Adapter
from models.hub import adapter_config, download
from models.schema import Status, UserError

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration

# The adapter of the announcement names another base in its own configuration; this one is meant.
ANNOUNCED = Adapter("merve/paligemma2-3b-vqav2", "3b-pt-448", hub_id="merve/paligemma2-3b-vqav2")
MOST_RESIDENT = 8  # adapters on one base; the longest unused makes room

_HUB_ID = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def listed(checkpoint: str) -> dict[str, Adapter]:
    """The adapters that exist for a checkpoint, by name; those in its folder come first."""
    root = _root(checkpoint)
    folders = sorted(root.iterdir()) if root and root.is_dir() else []
    local = [
        Adapter(each.name, checkpoint, path=each)
        for each in folders
        if (each / adapter_config.CONFIG).is_file() and _NAME.fullmatch(each.name)
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
    """UserError naming the valid ones where a checkpoint has no such adapter.

    Where the deployment lets visitors name one, a Hub id is valid too.
    """
    valid = names(checkpoint)
    if name in valid:
        return
    if deployment.current().any_adapter:
        if not _HUB_ID.fullmatch(name):
            raise UserError(
                f"{name[:80]!r} is no adapter.", "Write a Hugging Face id, such as owner/name."
            )
    else:
        remedy = f"Choose one of {', '.join(valid)}." if valid else "Use none."
        raise UserError(f"{checkpoint} has no adapter {name!r}.", remedy)


def select(
    model: PaliGemmaForConditionalGeneration,
    checkpoint: str,
    name: str | None,
    status: Status = lambda event: None,
) -> bool:
    """Make `model` answer with an adapter, or with none; whether it had to be loaded for that.

    `status` gets a sentence where a download is needed. UserError where the adapter cannot be
    used.
    """
    has_any = getattr(model, "_hf_peft_config_loaded", False)
    if name is None:
        if has_any:
            model.disable_adapters()
        return False
    key = _key(name)
    is_new = not has_any or key not in model.peft_config
    if is_new:
        _load(model, fetch(checkpoint, name, status), key)
        _let_go_of_the_oldest(model)
    model.peft_config[key] = model.peft_config.pop(key)  # the most recently used stands last
    model.enable_adapters()
    model.set_adapter(key)
    return is_new


def changes_features(model: PaliGemmaForConditionalGeneration) -> bool:
    """Whether an adapter that is loaded touches what becomes of a picture before the decoder."""
    sees = (model.model.vision_tower, model.model.multi_modal_projector)
    return any(hasattr(module, "lora_A") for part in sees for module in part.modules())


def fetch(checkpoint: str, name: str, status: Status = lambda event: None) -> Path:
    """The folder of an adapter, downloaded where it is not here; UserError where it cannot be."""
    check_name(checkpoint, name)
    adapter = listed(checkpoint).get(name)
    if adapter is None:
        return _visitors(name, status)
    if adapter.path is not None:
        return adapter.path
    return download.fetch(
        adapter.hub_id,
        status,
        adapter_config.FILES,
        probe=adapter_config.CONFIG,
        revision=adapter.revision,
    )


def _root(checkpoint: str) -> Path | None:
    path = lookup.find(checkpoint).path
    return None if path is None else path / "adapters"


def _visitors(hub_id: str, status: Status) -> Path:
    """The folder of an adapter that a visitor named: public, and looked at before it is fetched."""
    size = download.public_size(hub_id, adapter_config.WEIGHTS)
    if size > adapter_config.LARGEST_BYTES:
        raise adapter_config.refused(Path(hub_id), adapter_config.too_large(size))
    return download.fetch(
        hub_id,
        status,
        adapter_config.FILES,
        size_bytes=size,
        probe=adapter_config.CONFIG,
        is_public=True,
    )


def _key(name: str) -> str:
    """The name under which PEFT keeps an adapter: no dots, part of no parameter's name.

    Two names that differ only in what is replaced differ by their hash.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if plain != name:
        plain += "__" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"adapter__{plain}"


def _load(model: PaliGemmaForConditionalGeneration, folder: Path, key: str) -> None:
    """Add an adapter to a model, refusing one whose weights do not fit it exactly."""
    from peft import LoraConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    found = adapter_config.read(folder)
    try:
        weights = load_file(folder / adapter_config.WEIGHTS)
    except (SafetensorError, OSError):
        raise adapter_config.refused(
            folder, f"its {adapter_config.WEIGHTS} cannot be read"
        ) from None
    config = LoraConfig(
        r=found.r,
        lora_alpha=found.lora_alpha,
        target_modules=list(found.target_modules),
        exclude_modules=list(found.exclude_modules) or None,
        layers_to_transform=list(found.layers_to_transform) or None,
        layers_pattern=list(found.layers_pattern) or None,
        use_rslora=found.use_rslora,
        fan_in_fan_out=found.fan_in_fan_out,
        inference_mode=True,
    )
    try:
        report = model.load_adapter(
            adapter_name=key, peft_config=config, adapter_state_dict=weights
        )
    except (ValueError, RuntimeError, KeyError) as error:
        _forget(model, key)
        raise adapter_config.refused(folder, " ".join(str(error).split())[:160]) from None
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
            raise adapter_config.refused(
                folder, f"{len(keys)} of its weights are {what}, such as {example}"
            )
    model.eval()


def _let_go_of_the_oldest(model: PaliGemmaForConditionalGeneration) -> None:
    while len(model.peft_config) > MOST_RESIDENT:
        model.delete_adapter(next(iter(model.peft_config)))


def _forget(model: PaliGemmaForConditionalGeneration, key: str) -> None:
    """Remove what is left of an adapter that failed to load, so that it cannot be used by name."""
    if key in getattr(model, "peft_config", {}):
        model.delete_adapter(key)
