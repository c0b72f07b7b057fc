"""LoRA adapters: fetching, loading, and switching them on a loaded model.

An adapter is a folder with `adapter_config.json` and `adapter_model.safetensors`; which there are,
says the catalog. PEFT keeps which adapter is on as state of the model, so only the thread that owns
a model may call `select`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog.adapter import Adapter
from models.catalog.checkpoints import Checkpoint
from models.hub import adapter_config, download
from models.schema import Status

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration

MOST_RESIDENT = 8  # adapters on one base; the longest unused makes room

_KEY = "adapter__"


@dataclass(frozen=True)
class Selection:
    """What `select` did: whether the adapter was loaded just now, and the names of those that were
    evicted for it. `notice` is a sentence for whoever asked, None where there is nothing to tell.
    """

    is_new: bool = False
    evicted: tuple[str, ...] = ()
    notice: str | None = None


def select(
    model: PaliGemmaForConditionalGeneration,
    checkpoint: Checkpoint,
    adapter: Adapter | None,
    status: Status = lambda event: None,
) -> Selection:
    """Make the model of a checkpoint answer with an adapter, or with none.

    `status` gets a sentence where a download is needed. UserError where the adapter cannot be
    used; the model then answers with none.
    """
    # PEFT takes a second to import, which whoever only lists adapters does not need.
    from models.hub import adapter_layers

    if adapter is None:
        adapter_layers.answer_with(model, None)
        return Selection()
    key = _key(adapter.name)
    is_new = key not in adapter_layers.loaded(model)
    if is_new:
        adapter_layers.answer_with(model, None)
        _load(model, fetch(adapter, status), key)
    adapter_layers.answer_with(model, key)
    evicted = adapter_layers.loaded(model)[:-MOST_RESIDENT]
    for each in evicted:
        adapter_layers.take_off(model, each)
    if evicted:
        adapter_layers.answer_with(model, key)
    told = notice(adapter.name, adapter_layers.base_of(model, key), checkpoint)
    return Selection(is_new, tuple(_name(each) for each in evicted), told)


def loaded(model: PaliGemmaForConditionalGeneration) -> tuple[str, ...]:
    """The names of the adapters on a model, the longest unused first."""
    from models.hub import adapter_layers

    return tuple(_name(key) for key in adapter_layers.loaded(model))


def evict(model: PaliGemmaForConditionalGeneration, name: str) -> None:
    """Take an adapter off a model, which answers with none until another is selected."""
    from models.hub import adapter_layers

    adapter_layers.take_off(model, _key(name))


def changes_features(model: PaliGemmaForConditionalGeneration) -> bool:
    """Whether an adapter that is loaded touches what becomes of a picture before the decoder."""
    from models.hub import adapter_layers

    sees = (model.model.vision_tower, model.model.multi_modal_projector)
    return any(adapter_layers.is_touched(part) for part in sees)


def fetch(adapter: Adapter, status: Status = lambda event: None) -> Path:
    """The folder of an adapter, downloaded where it is not here; UserError where it cannot be."""
    if adapter.path is not None:
        return adapter.path
    assert adapter.hub_id is not None  # it is in a folder or on the Hub
    if adapter.is_visitors:
        return _visitors(adapter.hub_id, status)
    return download.fetch(
        adapter.hub_id,
        status,
        adapter_config.FILES,
        probe=adapter_config.CONFIG,
        revision=adapter.revision,
    )


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
    """The name under which PEFT keeps an adapter: no dots, part of no parameter's name."""
    return f"{_KEY}{name.encode().hex()}"


def _name(key: str) -> str:
    """The name of an adapter that PEFT keeps under a key."""
    return bytes.fromhex(key.removeprefix(_KEY)).decode()


def _load(model: PaliGemmaForConditionalGeneration, folder: Path, key: str) -> None:
    """Add an adapter to a model, refusing one that does not fit it exactly."""
    from models.hub import adapter_layers, adapter_weights

    config = adapter_config.read(folder)
    weights = adapter_weights.read(folder, config, model)
    adapter_layers.put_on(model, key, weights, config.use_dora, config.base)


def notice(name: str, base: str | None, checkpoint: Checkpoint) -> str | None:
    """What to say where an adapter's configuration names another base than this checkpoint.

    Bases are told apart by the last part of their names: whose copy it is does not count, as in
    the adapter of the announcement.
    """
    if not base or not base.strip("/\\ "):
        return None
    own = {
        checkpoint.name,
        checkpoint.hub_id or "",
        checkpoint.path.name if checkpoint.path else "",
    }
    # A path into the Hub's cache has the whole id as one of its parts.
    parts = [part.rpartition("--")[2].lower() for part in re.split(r"[/\\]", base)]
    last = next(part for part in reversed(parts) if part.strip())
    candidates = {last, *(part for part in parts if "snapshots" in parts)}
    if candidates & {each.rpartition("/")[2].lower() for each in own if each}:
        return None
    return (
        f"The adapter {name} says that it was trained on {base[:120]} and not on"
        f" {checkpoint.hub_id or checkpoint.name}: its answers may be wrong here."
    )
