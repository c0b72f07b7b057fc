"""What the owner of a deployment adds, from the environment: own checkpoints, adapters, a default.

A duplicated Space serves its own fine-tune with these variables and no change of code:

- `PALIGEMMA_CHECKPOINTS`: entries `SOURCE=LIKE`, by commas or line breaks. SOURCE is a Hub id,
  `owner/name` or `owner/name@revision`, or a folder (with a `/` or `.` in front); LIKE is the
  built-in checkpoint whose shape it has, such as `3b-pt-448`.
- `PALIGEMMA_ADAPTERS`: entries `SOURCE=CHECKPOINT`, the checkpoint being built in or of the list.
- `PALIGEMMA_ANY_ADAPTER`: 1 lets visitors name any public LoRA on the Hub; off unless set.
- `PALIGEMMA_METRICS`: 1 shows what the loaded models do, on the page and at `/metrics`; off unless
  set, as visitors see it too.
- `PALIGEMMA_DEFAULT`: the checkpoint that is chosen and loaded at the start.

This module asks no network; of a folder it reads the configuration.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from models.catalog.checkpoints import BUILT_IN, NANO, Checkpoint
from models.schema import UserError

CHECKPOINTS, ADAPTERS, ANY_ADAPTER, METRICS, DEFAULT = (
    "PALIGEMMA_CHECKPOINTS",
    "PALIGEMMA_ADAPTERS",
    "PALIGEMMA_ANY_ADAPTER",
    "PALIGEMMA_METRICS",
    "PALIGEMMA_DEFAULT",
)
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,64})?")
_FOLDER = ("/", ".", "~")  # a source that begins so is a folder and no Hub id
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Adapter:
    """An adapter of `checkpoint`: on the Hub (`hub_id`, `revision`) or in a folder (`path`)."""

    name: str
    checkpoint: str
    hub_id: str | None = None
    revision: str | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Deployment:
    """Checkpoints and adapters beside the built-in ones, and the checkpoint chosen at first.

    `any_adapter` says whether visitors may name others, `metrics` whether they see what the models
    do.
    """

    checkpoints: tuple[Checkpoint, ...] = ()
    adapters: tuple[Adapter, ...] = ()
    any_adapter: bool = False
    metrics: bool = False
    default: str = NANO.name


@cache
def current() -> Deployment:
    """What this process's environment says, read once; UserError naming a bad entry."""
    return read(os.environ)


def read(environment: Mapping[str, str]) -> Deployment:
    """The deployment that variables describe; UserError naming a bad entry."""
    built_in = {each.name: each for each in BUILT_IN}
    known = dict(built_in)
    own = []
    for entry, source, like in _entries(environment, CHECKPOINTS):
        if like not in built_in:
            raise _bad(CHECKPOINTS, entry, f"{like!r} is no built-in checkpoint", _names(BUILT_IN))
        checkpoint = _checkpoint(entry, source, built_in[like])
        if checkpoint.name in built_in:
            name = f"{checkpoint.name}-own"
            checkpoint = replace(checkpoint, name=name, variant=name)
        if checkpoint.name in known:
            raise _bad(CHECKPOINTS, entry, f"{checkpoint.name!r} is the name of another one", "")
        known[checkpoint.name] = checkpoint
        own.append(checkpoint)
    adapters = []
    for entry, source, base in _entries(environment, ADAPTERS):
        if base not in known:
            raise _bad(ADAPTERS, entry, f"there is no {base!r}", _names(tuple(known.values())))
        adapter = _adapter(entry, source, base)
        if any((each.name, each.checkpoint) == (adapter.name, base) for each in adapters):
            raise _bad(ADAPTERS, entry, f"{adapter.name!r} is the name of another one", "")
        adapters.append(adapter)
    default = environment.get(DEFAULT, "").strip() or NANO.name
    if default not in known:
        raise _bad(DEFAULT, default, "there is no such checkpoint", _names(tuple(known.values())))
    any_adapter, metrics = (_is_on(environment, each) for each in (ANY_ADAPTER, METRICS))
    return Deployment(tuple(own), tuple(adapters), any_adapter, metrics, default)


def folder_name(folder: Path) -> str:
    """What a checkpoint or adapter in a folder is called: as the folder, or, where that says only
    what it is, as `training.finetune` has it, as the one around it."""
    return folder.parent.name if folder.name in ("adapter", "model", "merged") else folder.name


def _is_on(environment: Mapping[str, str], variable: str) -> bool:
    wish = environment.get(variable, "").strip().lower()
    if wish not in ("", "0", "1", "false", "true"):
        raise _bad(variable, wish, "it is neither 1 nor 0", "")
    return wish in ("1", "true")


def _entries(environment: Mapping[str, str], variable: str) -> Iterator[tuple[str, str, str]]:
    """Each entry of a list with its two sides; the name of a folder may have commas in it."""
    for line in environment.get(variable, "").split("\n"):
        entry = ""
        for piece in (*line.split(","), ""):
            entry = f"{entry},{piece}" if entry else piece.strip()
            source, equals, target = entry.rpartition("=")
            if equals:
                yield entry.strip(), source.strip(), target.strip()
                entry = ""
            elif entry and not entry.startswith(_FOLDER):
                break
        if entry.strip(", "):
            raise _bad(variable, entry.rstrip(", "), "it has no '='", "Write SOURCE=CHECKPOINT.")


def _checkpoint(entry: str, source: str, like: Checkpoint) -> Checkpoint:
    where = _place(CHECKPOINTS, entry, source)
    if isinstance(where, Path):
        _check_shape(entry, where, like)
        name, place = folder_name(where), {"path": where, "hub_id": None}
    else:
        hub_id, _, revision = where.partition("@")
        name = hub_id.rpartition("/")[2]
        place = {"path": None, "hub_id": hub_id, "revision": revision or None}
    if not _NAME.fullmatch(name):
        raise _bad(CHECKPOINTS, entry, f"{name!r} cannot be a name", "Use letters, digits, . _ -")
    return replace(like, name=name, variant=name, is_gated=False, **place)


def _adapter(entry: str, source: str, base: str) -> Adapter:
    where = _place(ADAPTERS, entry, source)
    if isinstance(where, Path):
        if not (where / "adapter_config.json").is_file():
            raise _bad(ADAPTERS, entry, f"{where} has no adapter_config.json", "")
        return Adapter(folder_name(where), base, path=where)
    hub_id, _, revision = where.partition("@")
    return Adapter(hub_id, base, hub_id=hub_id, revision=revision or None)


def _place(variable: str, entry: str, source: str) -> Path | str:
    """The folder or the Hub id (with its revision) that a source names."""
    if source.startswith(_FOLDER):
        folder = Path(source).expanduser().resolve()
        if not folder.is_dir():
            raise _bad(variable, entry, f"there is no folder {folder}", "")
        return folder
    if not _HUB_ID.fullmatch(source):
        remedy = f"Write ./{source} for the folder." if Path(source).is_dir() else ""
        raise _bad(variable, entry, f"{source!r} is neither a Hub id nor a folder's path", remedy)
    return source


def _check_shape(entry: str, folder: Path, like: Checkpoint) -> None:
    """Whether a folder holds a PaliGemma of that resolution."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind, side = config["model_type"], config["vision_config"].get("image_size", 224)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise _bad(CHECKPOINTS, entry, f"{folder} has no readable config.json", "") from None
    if kind != "paligemma" or side != like.resolution:
        what = f"it is a {kind} at {side} px and not a paligemma at {like.resolution} px"
        raise _bad(CHECKPOINTS, entry, what, "")


def _names(checkpoints: tuple[Checkpoint, ...]) -> str:
    return f"Choose one of {', '.join(each.name for each in checkpoints)}."


def _bad(variable: str, entry: str, reason: str, remedy: str) -> UserError:
    return UserError(f"{variable} has a bad entry, {entry!r}: {reason}.", remedy)
