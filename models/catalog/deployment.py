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
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from models.catalog import adapter, folder_architecture
from models.catalog.adapter import Adapter
from models.catalog.checkpoints import BUILT_IN, NANO, Checkpoint
from models.schema import UserError

CHECKPOINTS, ADAPTERS, ANY_ADAPTER, METRICS, DEFAULT = (
    "PALIGEMMA_CHECKPOINTS",
    "PALIGEMMA_ADAPTERS",
    "PALIGEMMA_ANY_ADAPTER",
    "PALIGEMMA_METRICS",
    "PALIGEMMA_DEFAULT",
)
FOLDER_MARKS = ("/", ".", "~")  # a source that begins so is a folder and no Hub id
MAX_NAME = 64  # characters of a checkpoint's name
_HUB_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,64})?")


class BadSource(Exception):
    """Why a source cannot be used, in words that follow a colon, and what to do."""

    def __init__(self, reason: str, remedy: str = ""):
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


def read_checkpoints(variables: Mapping[str, str]) -> tuple[Checkpoint, ...]:
    """The owner's checkpoints; UserError naming a bad entry."""
    own: list[Checkpoint] = []
    for entry, source, like in _entries(variables, CHECKPOINTS, BUILT_IN):
        with _naming(CHECKPOINTS, entry):
            own.append(checkpoint_at(source, like, (*BUILT_IN, *own)))
    return tuple(own)


def read_adapters(
    variables: Mapping[str, str], checkpoints: Sequence[Checkpoint]
) -> tuple[Adapter, ...]:
    """The owner's adapters of `checkpoints`; UserError naming a bad entry."""
    own: list[Adapter] = []
    for entry, source, base in _entries(variables, ADAPTERS, checkpoints):
        with _naming(ADAPTERS, entry):
            added = adapter_at(source, base, checkpoints)
            if any((each.name, each.checkpoint) == (added.name, base) for each in own):
                raise BadSource(f"{added.name!r} is the name of another one")
            own.append(added)
    return tuple(own)


def read_default(variables: Mapping[str, str], checkpoints: Sequence[Checkpoint]) -> str:
    """The name of the checkpoint that is chosen at first; UserError where there is none such."""
    default = variables.get(DEFAULT, "").strip() or NANO.name
    with _naming(DEFAULT, default):
        if default not in (each.name for each in checkpoints):
            raise BadSource("there is no such checkpoint", _names(checkpoints))
    return default


def is_on(variables: Mapping[str, str], variable: str) -> bool:
    """Whether a variable is 1; UserError where it is neither that nor 0."""
    wish = variables.get(variable, "").strip().lower()
    with _naming(variable, wish):
        if wish not in ("", "0", "1", "false", "true"):
            raise BadSource("it is neither 1 nor 0")
    return wish in ("1", "true")


def checkpoint_at(source: str, like: str, known: Sequence[Checkpoint]) -> Checkpoint:
    """The checkpoint in a folder or on the Hub, with the architecture of the built-in one named
    `like`; BadSource where it is of another, or called as one of `known`."""
    built_in = {each.name: each for each in BUILT_IN}
    if like not in built_in:
        raise BadSource(f"{like!r} is no built-in checkpoint", _names(BUILT_IN))
    checkpoint = _checkpoint(source, built_in[like])
    if checkpoint.name in built_in:
        name = f"{checkpoint.name}-own"
        checkpoint = replace(checkpoint, name=name, variant=name)
    if checkpoint.name in (each.name for each in known):
        raise BadSource(f"{checkpoint.name!r} is the name of another one", "Rename it.")
    return checkpoint


def adapter_at(source: str, base: str, known: Sequence[Checkpoint]) -> Adapter:
    """The adapter in a folder or on the Hub, for the one of `known` that is named `base`; BadSource
    where there is none such, or the folder has no adapter."""
    if base not in (each.name for each in known):
        raise BadSource(f"there is no {base!r}", _names(known))
    where = _place(source)
    if isinstance(where, Path):
        if not (where / adapter.CONFIG).is_file():
            raise BadSource(f"{where} has no {adapter.CONFIG}")
        return Adapter(folder_name(where), base, path=where)
    hub_id, _, revision = where.partition("@")
    return Adapter(hub_id, base, hub_id=hub_id, revision=revision or None)


def folder_name(folder: Path) -> str:
    """What a checkpoint or adapter in a folder is called: as the folder, or, where that says only
    what it is, as `training.finetune` has it, as the one around it."""
    return folder.parent.name if folder.name in ("adapter", "model", "merged") else folder.name


@contextmanager
def _naming(variable: str, entry: str) -> Iterator[None]:
    """Turns a BadSource within into a UserError that names the variable and its entry."""
    try:
        yield
    except BadSource as error:
        raise UserError(
            f"{variable} has a bad entry, {entry!r}: {error.reason}.", error.remedy
        ) from None


def _entries(
    variables: Mapping[str, str], variable: str, known: Sequence[Checkpoint]
) -> Iterator[tuple[str, str, str]]:
    """Each entry of a list with its two sides.

    The name of a folder may have commas and equals signs in it: its entry ends where the folder
    exists and a checkpoint of `known` follows, else where it first may.
    """
    targets = {each.name for each in known}
    for line in variables.get(variable, "").split("\n"):
        pieces = line.split(",")
        while pieces:
            if not pieces[0].strip():
                pieces.pop(0)
                continue
            end = _end_of_entry(pieces, targets)
            entry = ",".join(pieces[:end]).strip()
            del pieces[:end]
            source, equals, target = entry.rpartition("=")
            if not equals:
                with _naming(variable, entry.rstrip(", ")):
                    raise BadSource("it has no '='", "Write SOURCE=CHECKPOINT.")
            yield entry, source.strip(), target.strip()


def _end_of_entry(pieces: list[str], targets: set[str]) -> int:
    """How many pieces between commas are the first entry."""
    if not pieces[0].strip().startswith(FOLDER_MARKS):
        return 1
    ends = [end for end in range(1, len(pieces) + 1) if "=" in pieces[end - 1]]
    for end in ends:
        source, _, target = ",".join(pieces[:end]).strip().rpartition("=")
        if target.strip() in targets and _folder(source.strip()):
            return end
    return ends[0] if ends else len(pieces)


def _checkpoint(source: str, like: Checkpoint) -> Checkpoint:
    where = _place(source)
    if isinstance(where, Path):
        _check_architecture(where, like)
        written, placed = folder_name(where), replace(like, path=where, hub_id=None)
    else:
        hub_id, _, revision = where.partition("@")
        written = hub_id.rpartition("/")[2]
        placed = replace(like, path=None, hub_id=hub_id, revision=revision or None)
    name = _plain_name(written)
    if not name:
        reason = f"{written!r} has no letter of the Latin alphabet and no digit to be named by"
        raise BadSource(reason, "Rename it.")
    return replace(placed, name=name, variant=name, is_gated=False)


def _plain_name(written: str) -> str:
    """A name of ASCII letters, digits, '.', '_' and '-' from any; "" where nothing is left of it.

    Accents go (`Über Modell` is `Uber-Modell`), and what else has no place becomes a '-'.
    """
    apart = unicodedata.normalize("NFKD", written.replace("ß", "ss"))
    plain = "".join(each for each in apart if not unicodedata.combining(each))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain)[:MAX_NAME].strip("._-")


def _place(source: str) -> Path | str:
    """The folder or the Hub id (with its revision) that a source names."""
    if source.startswith(FOLDER_MARKS):
        folder = _folder(source)
        if folder is None:
            raise BadSource(f"there is no folder {source}")
        return folder
    if not _HUB_ID.fullmatch(source):
        remedy = f"Write ./{source} for the folder." if _folder(source) else ""
        raise BadSource(f"{source!r} is neither a Hub id nor a folder's path", remedy)
    return source


def _folder(path: str) -> Path | None:
    """The folder at a path; None where there is none or the path can be none at all."""
    try:
        folder = Path(path).expanduser().resolve()
        return folder if path and folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a loop of links, no such user
        return None


def _check_architecture(folder: Path, like: Checkpoint) -> None:
    """BadSource where a folder holds no PaliGemma 2 of the architecture of `like`."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        reason = folder_architecture.mismatch(config, like)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise BadSource(f"{folder} has no readable config.json") from None
    if reason:
        raise BadSource(reason)


def _names(checkpoints: Sequence[Checkpoint]) -> str:
    return f"Choose one of {', '.join(each.name for each in checkpoints)}."
