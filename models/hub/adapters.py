"""LoRA adapters: listing, checking, loading, and switching them on a loaded model.

An adapter is a folder `adapters/NAME` beside the checkpoint, the one of the announcement, or one
that the deployment lists, with `adapter_config.json` and `adapter_model.safetensors`. PEFT keeps
which adapter is on as state of the model, so only the thread that owns a model may call `select`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import deployment, lookup
from models.catalog.checkpoints import Checkpoint
from models.catalog.deployment import Adapter
from models.hub import adapter_config, download
from models.schema import Status, UserError

if TYPE_CHECKING:
    from transformers import PaliGemmaForConditionalGeneration

# The adapter of the announcement names another base in its own configuration; this one is meant.
ANNOUNCED = Adapter("merve/paligemma2-3b-vqav2", "3b-pt-448", hub_id="merve/paligemma2-3b-vqav2")
MOST_RESIDENT = 8  # adapters on one base; the longest unused makes room

_HUB_ID = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_KEY = "adapter__"


def listed(checkpoint: str) -> dict[str, Adapter]:
    """The adapters that exist for a checkpoint, by name; those in its folder come first.

    One of the deployment that has a name already in use is offered as NAME-own.
    """
    root = _root(checkpoint)
    folders = sorted(root.iterdir()) if root and root.is_dir() else []
    local = [
        Adapter(_folder_name(each), checkpoint, path=each)
        for each in folders
        if (each / adapter_config.CONFIG).is_file() and each.name.isprintable()
    ]
    found: dict[str, Adapter] = {}
    for each in (*local, ANNOUNCED, *deployment.current().adapters):
        is_new = not any(_is_same(each, other) for other in found.values())
        if each.checkpoint == checkpoint and is_new:
            name = each.name
            while name in found:
                name += "-own"
            found[name] = replace(each, name=name)
    return found


def name_of(adapter: Adapter) -> str:
    """The name under which one of the deployment's adapters is offered."""
    offered = listed(adapter.checkpoint).items()
    return next(name for name, each in offered if _is_same(each, adapter))


def _is_same(one: Adapter, other: Adapter) -> bool:
    """Whether two adapters of a checkpoint have the same files."""
    if one.path is None or other.path is None:
        return replace(one, name=other.name) == other
    return one.path.resolve() == other.path.resolve()


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
    checkpoint: str,
    name: str | None,
    status: Status = lambda event: None,
) -> Selection:
    """Make `model` answer with an adapter, or with none.

    `status` gets a sentence where a download is needed. UserError where the adapter cannot be
    used; the model then answers with none.
    """
    # PEFT takes a second to import, which whoever only lists adapters does not need.
    from models.hub import adapter_layers

    if name is None:
        adapter_layers.answer_with(model, None)
        return Selection()
    key = _key(name)
    is_new = key not in adapter_layers.loaded(model)
    if is_new:
        adapter_layers.answer_with(model, None)
        _load(model, fetch(checkpoint, name, status), key)
    adapter_layers.answer_with(model, key)
    evicted = adapter_layers.loaded(model)[:-MOST_RESIDENT]
    for each in evicted:
        adapter_layers.take_off(model, each)
    if evicted:
        adapter_layers.answer_with(model, key)
    told = notice(name, adapter_layers.base_of(model, key), lookup.find(checkpoint))
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


def fetch(checkpoint: str, name: str, status: Status = lambda event: None) -> Path:
    """The folder of an adapter, downloaded where it is not here; UserError where it cannot be."""
    check_name(checkpoint, name)
    adapter = listed(checkpoint).get(name)
    if adapter is None:
        return _visitors(name, status)
    if adapter.path is not None:
        return adapter.path
    assert adapter.hub_id is not None  # it is in a folder or on the Hub
    return download.fetch(
        adapter.hub_id,
        status,
        adapter_config.FILES,
        probe=adapter_config.CONFIG,
        revision=adapter.revision,
    )


def _folder_name(folder: Path) -> str:
    """A folder's name with each accented letter as one character, as people type it; macOS takes
    letter and accent apart."""
    return unicodedata.normalize("NFC", folder.name)


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
