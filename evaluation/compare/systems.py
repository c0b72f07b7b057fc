"""What is compared: a checkpoint, with an adapter or none, in a precision; and its answers.

A system is written `nano-224`, `nano-224+easy-vqa`, `nano-224@nf4` or `nano-224+easy-vqa@bf16`.
The checkpoint may be `SOURCE=LIKE`, as a deployment's variable has it: a folder or a Hub id and the
built-in checkpoint whose shape it has. The adapter may be a folder or a Hub id too.

Answers come from the app's own backend, greedily. This module does not know what is right.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from data.items import Item
from evaluation.compare.answer_store import Kept, digest_of_files
from evaluation.compare.asking import Choice, Given, answer, answers_to
from evaluation.nano.predict import Answer
from models.catalog import deployment, lookup
from models.engine.engine import MOST_ROWS
from models.hub import adapter_config, adapters, download
from models.loading.device import best_device
from models.loading.loader import Loader, find_codec
from models.loading.precision import dtype_of, resolve_precision
from models.masks.codec import MaskCodec
from models.schema import Request, StatusEvent, UserError
from models.serving.backend import Backend
from models.serving.local_backend import LocalBackend

_MORE_THAN_ROWS = 2  # requests that wait for a row to end


@dataclass(frozen=True)
class System:
    """What is asked. `checkpoint` is a catalog name or SOURCE=LIKE, `precision` may be "auto";
    `text` is how it is written."""

    text: str
    checkpoint: str
    adapter: str | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class Answered:
    """All answers of a system, in the order of the items; `precision` of PRECISIONS, `dtype` is
    what it computes in."""

    system: System
    precision: str
    dtype: str
    device: str
    codec: MaskCodec
    given: tuple[Given, ...]


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


@contextmanager
def offered(system: System) -> Iterator[Choice]:
    """Makes a system's folders and Hub ids known to this process, while it lasts.

    UserError naming what there is instead where a part does not exist or cannot run here.
    """
    variables = (deployment.CHECKPOINTS, deployment.ADAPTERS)
    before = {name: os.environ.get(name) for name in variables}
    try:
        name = system.checkpoint
        if "=" in name:
            source, _, like = name.rpartition("=")
            _add(deployment.CHECKPOINTS, f"{_place(source)}={like}")
            name = deployment.current().checkpoints[-1].name
        checkpoint = lookup.find(name)
        adapter = None if system.adapter is None else _adapter(checkpoint.name, system.adapter)
        precision = resolve_precision(checkpoint, system.precision, best_device())
        yield Choice(checkpoint, adapter, precision)
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
        deployment.current.cache_clear()


def answers(
    system: System,
    items: Sequence[Item],
    folder: Path | None = None,
    max_new_tokens: int | None = None,
    open_backend: Callable[[], Backend] = LocalBackend,
) -> Answered:
    """A system's answers to all items, those kept in `folder` or else asked and kept there.

    `max_new_tokens` None allows what each task needs. The backend is opened only where something is
    left to ask, and closed at the end. How far it is goes to stderr. UserError where the system
    cannot answer.
    """
    with offered(system) as choice, ExitStack() as stack:
        device = best_device()
        weights = Loader(device).fetch(choice.checkpoint.name, _tell)
        kept = Kept(folder, _digest(choice, weights, device) if folder else "")
        backend: list[Backend] = []

        def ask(requests: Sequence[Request]) -> list[Answer]:
            if not backend:
                backend.append(stack.enter_context(closing(open_backend())))
            pool = ThreadPoolExecutor(MOST_ROWS[device.type] + _MORE_THAN_ROWS)
            with _ending(pool):
                return list(pool.map(lambda request: answer(backend[0], request), requests))

        found = answers_to(system.text, choice, items, kept, max_new_tokens, ask)
        return Answered(
            system=system,
            precision=choice.precision,
            dtype=str(dtype_of(choice.precision, device)).removeprefix("torch."),
            device=device.type,
            codec=MaskCodec.load(find_codec(choice.checkpoint, weights, _tell)),
            given=tuple(found),
        )


@contextmanager
def _ending(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Lets no request begin once one has failed, and waits for those that run."""
    try:
        yield
    finally:
        pool.shutdown(cancel_futures=True)


# The environment


def _add(variable: str, entry: str) -> None:
    """One more entry of a deployment's list; UserError where it is a bad one."""
    os.environ[variable] = "\n".join(filter(None, (os.environ.get(variable), entry)))
    deployment.current.cache_clear()
    deployment.current()


def _place(source: str) -> str:
    """A folder by its whole path, or a Hub id as it is; UserError where it can be neither."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if source.startswith(("/", ".", "~")) or source.count("/") != 1:
        raise UserError(f"There is no folder {source}.", "Check the path, or write a Hub id.")
    return source


def _adapter(checkpoint: str, wanted: str) -> str:
    """The name under which an adapter can be asked for."""
    is_name = "/" not in wanted and not Path(wanted).is_dir()
    if is_name or wanted in adapters.names(checkpoint):
        adapters.check_name(checkpoint, wanted)
        return wanted
    _add(deployment.ADAPTERS, f"{_place(wanted)}={checkpoint}")
    added = deployment.current().adapters[-1]
    if adapters.listed(checkpoint)[added.name] != added:
        raise UserError(
            f"{checkpoint} has another adapter called {added.name}.", f"Rename {wanted}."
        )
    return added.name


def _digest(choice: Choice, weights: Path, device: torch.device) -> str:
    """A name for these weights, computed with like this."""
    files = [file for pattern in download.CHECKPOINT_FILES for file in weights.glob(pattern)]
    parts = [digest_of_files(files)]
    if choice.adapter is not None:
        folder = adapters.fetch(choice.checkpoint.name, choice.adapter, _tell)
        parts.append(digest_of_files(folder / name for name in adapter_config.FILES))
    return " ".join([*parts, choice.precision, device.type])


def _tell(event: StatusEvent) -> None:
    print(f"\r{event.message}\x1b[K", end="", file=sys.stderr, flush=True)
