"""What the owner of a deployment adds, from the environment: own checkpoints, adapters, a default.

A duplicated Space serves its own fine-tune with these variables and no change of code:

- `PALIGEMMA_CHECKPOINTS`: entries `SOURCE=LIKE`, by commas or line breaks. SOURCE is a Hub id,
  `owner/name` or `owner/name@revision`, or a folder (with a `/` or `.` in front); LIKE is the
  built-in checkpoint whose architecture it has, such as `3b-pt-448`. It is named after its id's
  last part or its folder, in plain letters.
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
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from models.catalog import folder_architecture
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
MAX_NAME = 64  # characters of a checkpoint's name


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
    for entry, source, like in _entries(environment, CHECKPOINTS, built_in):
        if like not in built_in:
            raise _bad(CHECKPOINTS, entry, f"{like!r} is no built-in checkpoint", _names(BUILT_IN))
        checkpoint = _checkpoint(entry, source, built_in[like])
        if checkpoint.name in built_in:
            name = f"{checkpoint.name}-own"
            checkpoint = replace(checkpoint, name=name, variant=name)
        if checkpoint.name in known:
            raise _bad(
                CHECKPOINTS, entry, f"{checkpoint.name!r} is the name of another one", "Rename it."
            )
        known[checkpoint.name] = checkpoint
        own.append(checkpoint)
    adapters: list[Adapter] = []
    for entry, source, base in _entries(environment, ADAPTERS, known):
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


def _entries(
    environment: Mapping[str, str], variable: str, known: Mapping[str, Checkpoint]
) -> Iterator[tuple[str, str, str]]:
    """Each entry of a list with its two sides.

    The name of a folder may have commas and equals signs in it: its entry ends where the folder
    exists and a checkpoint of `known` follows, else where it first may.
    """
    for line in environment.get(variable, "").split("\n"):
        pieces = line.split(",")
        while pieces:
            if not pieces[0].strip():
                pieces.pop(0)
                continue
            end = _end_of_entry(pieces, known)
            entry = ",".join(pieces[:end]).strip()
            del pieces[:end]
            source, equals, target = entry.rpartition("=")
            if not equals:
                raise _bad(
                    variable, entry.rstrip(", "), "it has no '='", "Write SOURCE=CHECKPOINT."
                )
            yield entry, source.strip(), target.strip()


def _end_of_entry(pieces: list[str], known: Mapping[str, Checkpoint]) -> int:
    """How many pieces between commas are the first entry."""
    if not pieces[0].strip().startswith(_FOLDER):
        return 1
    ends = [end for end in range(1, len(pieces) + 1) if "=" in pieces[end - 1]]
    for end in ends:
        source, _, target = ",".join(pieces[:end]).strip().rpartition("=")
        if target.strip() in known and _folder(source.strip()):
            return end
    return ends[0] if ends else len(pieces)


def _checkpoint(entry: str, source: str, like: Checkpoint) -> Checkpoint:
    where = _place(CHECKPOINTS, entry, source)
    if isinstance(where, Path):
        _check_architecture(entry, where, like)
        written, placed = folder_name(where), replace(like, path=where, hub_id=None)
    else:
        hub_id, _, revision = where.partition("@")
        written = hub_id.rpartition("/")[2]
        placed = replace(like, path=None, hub_id=hub_id, revision=revision or None)
    name = _plain_name(written)
    if not name:
        reason = f"{written!r} has no letter of the Latin alphabet and no digit to be named by"
        raise _bad(CHECKPOINTS, entry, reason, "Rename it.")
    return replace(placed, name=name, variant=name, is_gated=False)


def _plain_name(written: str) -> str:
    """A name of ASCII letters, digits, '.', '_' and '-' from any; "" where nothing is left of it.

    Accents go (`Über Modell` is `Uber-Modell`), and what else has no place becomes a '-'.
    """
    apart = unicodedata.normalize("NFKD", written.replace("ß", "ss"))
    plain = "".join(each for each in apart if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:MAX_NAME].strip("._-")


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
        folder = _folder(source)
        if folder is None:
            raise _bad(variable, entry, f"there is no folder {source}", "")
        return folder
    if not _HUB_ID.fullmatch(source):
        remedy = f"Write ./{source} for the folder." if _folder(source) else ""
        raise _bad(variable, entry, f"{source!r} is neither a Hub id nor a folder's path", remedy)
    return source


def _folder(path: str) -> Path | None:
    """The folder at a path; None where there is none or the path can be none at all."""
    try:
        folder = Path(path).expanduser().resolve()
        return folder if path and folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a loop of links, no such user
        return None


def _check_architecture(entry: str, folder: Path, like: Checkpoint) -> None:
    """UserError where a folder holds no PaliGemma 2 of the architecture of `like`."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        reason = folder_architecture.mismatch(config, like)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise _bad(CHECKPOINTS, entry, f"{folder} has no readable config.json", "") from None
    if reason:
        raise _bad(CHECKPOINTS, entry, reason, "")


def _names(checkpoints: tuple[Checkpoint, ...]) -> str:
    return f"Choose one of {', '.join(each.name for each in checkpoints)}."


def _bad(variable: str, entry: str, reason: str, remedy: str) -> UserError:
    return UserError(f"{variable} has a bad entry, {entry!r}: {reason}.", remedy)
