"""What is compared: a checkpoint, with an adapter or none, in a precision.

A system is written `nano-224`, `nano-224+easy-vqa`, `nano-224@nf4` or `nano-224+easy-vqa@bf16`.
The checkpoint may be `SOURCE=LIKE`, as a deployment's variable has it: a folder or a Hub id and the
built-in checkpoint whose shape it has. The adapter may be a folder or a Hub id too.

This module does not know what a system answers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation.compare.answer_store import digest_of_files
from models.catalog.adapter import Adapter
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.catalog.deployment import FOLDER_MARKS
from models.hub import adapter_config, adapters, download
from models.loading.device import best_device
from models.loading.loader import Loader, find_codec
from models.loading.precision import dtype_of, resolve_precision
from models.masks.codec import MaskCodec
from models.schema import StatusEvent, UserError


@dataclass(frozen=True)
class System:
    """What is asked. `checkpoint` is a catalog name or SOURCE=LIKE, `precision` may be "auto";
    `text` is how it is written."""

    text: str
    checkpoint: str
    adapter: str | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class ResolvedSystem:
    """A system as this machine has it: what its names mean, a precision that runs, and the catalog
    that a backend needs to answer for it."""

    catalog: Catalog
    checkpoint: Checkpoint
    adapter: Adapter | None
    precision: str
    device: torch.device

    @property
    def dtype(self) -> str:
        """The format that it computes in, such as "float32"."""
        return str(dtype_of(self.precision, self.device)).removeprefix("torch.")

    def codec(self) -> MaskCodec:
        """Its mask codec, on the CPU; downloaded where it is not here."""
        return MaskCodec.load(find_codec(self.checkpoint, self._folder(), _tell))

    def digest(self) -> str:
        """A name for these weights, computed with like this; fetches them."""
        weights = self._folder()
        files = [file for pattern in download.CHECKPOINT_FILES for file in weights.glob(pattern)]
        parts = [digest_of_files(files)]
        if self.adapter is not None:
            folder = adapters.fetch(self.adapter, _tell)
            parts.append(digest_of_files(folder / name for name in adapter_config.FILES))
        return " ".join([*parts, self.precision, self.device.type])

    def _folder(self) -> Path:
        return Loader(self.device).fetch(self.checkpoint, _tell)


def parse(text: str) -> System:
    """The parts of a system; UserError where it has no checkpoint."""
    rest, at, tail = text.rpartition("@")
    # A revision of a Hub id has `=LIKE` after it.
    is_precision = bool(at) and not set(tail) & set("=+/")
    precision = tail if is_precision else "auto"
    checkpoint, plus, adapter = (rest if is_precision else text).partition("+")
    if not checkpoint or (plus and not adapter) or not precision:
        raise UserError(
            f"{text!r} is no system.", "Write CHECKPOINT, CHECKPOINT+ADAPTER or either @PRECISION."
        )
    return System(text, checkpoint, adapter or None, precision)


def resolved(system: System, catalog: Catalog) -> ResolvedSystem:
    """What the names of a system mean, its folders and Hub ids added to the catalog.

    UserError naming what there is instead where a part does not exist or cannot run here.
    """
    if "=" in system.checkpoint:
        source, _, like = system.checkpoint.rpartition("=")
        catalog, checkpoint = catalog.with_checkpoint(_place(source), like)
    else:
        checkpoint = catalog.find(system.checkpoint)
    adapter = None
    if system.adapter is not None:
        catalog, adapter = _with_adapter(catalog, checkpoint, system.adapter)
    device = best_device()
    precision = resolve_precision(checkpoint, system.precision, device)
    return ResolvedSystem(catalog, checkpoint, adapter, precision, device)


def _with_adapter(catalog: Catalog, base: Checkpoint, wanted: str) -> tuple[Catalog, Adapter]:
    """The adapter that is called so, or that is in a folder or on the Hub."""
    is_name = "/" not in wanted and not Path(wanted).is_dir()
    if is_name or wanted in (each.name for each in catalog.adapters_of(base)):
        return catalog, catalog.find_adapter(base, wanted)
    return catalog.with_adapter(_place(wanted), base)


def _place(source: str) -> str:
    """A folder by its whole path, or a Hub id as it is; UserError where it can be neither."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if source.startswith(FOLDER_MARKS) or source.count("/") != 1:
        raise UserError(f"There is no folder {source}.", "Check the path, or write a Hub id.")
    return source


def _tell(event: StatusEvent) -> None:
    print(f"\r{event.message}\x1b[K", end="", file=sys.stderr, flush=True)
