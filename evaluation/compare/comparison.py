"""Systems on one set of data: each is asked everything, and each is scored by the same measures.

This module does not know the command line, nor how scores are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from data import documents
from data.changes import Changes
from data.items import Item
from data.sources import Source, read
from evaluation.compare import measures, systems
from evaluation.compare.answer_store import AnswerStore
from evaluation.compare.answers import Answerer
from evaluation.compare.item_answers import ItemAnswer, answers_to
from models.catalog.catalog import Catalog
from models.masks.codec import MaskCodec
from models.serving.backend import Backend
from models.serving.local_backend import LocalBackend


@dataclass(frozen=True)
class Answered:
    """All answers of a system, in the order of the items; `precision` of PRECISIONS, `dtype` is
    what it computes in."""

    precision: str
    dtype: str
    device: str
    codec: MaskCodec
    answers: tuple[ItemAnswer, ...]


@dataclass(frozen=True)
class Scores:
    """The rows of one system, and what it computed in."""

    name: str
    precision: str
    dtype: str
    device: str
    rows: list[dict]


def compare(
    wanted: Sequence[systems.System],
    data: Source,
    catalog: Catalog,
    chosen: Sequence[str] | None = None,
    work: Path | None = None,
    max_new_tokens: int | None = None,
    open_backend: Callable[[Catalog], Backend] = LocalBackend,
    tell: Callable[[str], None] = lambda line: None,
) -> dict:
    """What each system scores on the data, as a JSON-able dict; UserError where it cannot be.

    `tell` gets a line on what was changed about the data, where anything was.
    The other arguments are those of `measures.rows` and of `answered`.
    """
    for system in wanted:
        systems.resolved(system, catalog)  # all names, before any of them takes hours
    changes = Changes()
    items = list(read(data, changes))
    if changes:
        tell(f"{documents.data_name(data.name)}: {changes}")
    measures.check(chosen or (), items)
    names = documents.shown_apart([system.text for system in wanted])
    found = []
    for name, system in zip(names, wanted, strict=True):
        given = answered(system, items, catalog, work, max_new_tokens, open_backend)
        rows = measures.rows(items, given.answers, given.codec, chosen)
        found.append(Scores(name, given.precision, given.dtype, given.device, rows))
    return {
        "data": documents.data_name(data.name),
        "split": "" if data.name.endswith((".json", ".jsonl")) else data.split,
        "items": len(items),
        "limit": data.limit,
        "systems": [vars(each) for each in found],
    }


def answered(
    system: systems.System,
    items: Sequence[Item],
    catalog: Catalog,
    work: Path | None = None,
    max_new_tokens: int | None = None,
    open_backend: Callable[[Catalog], Backend] = LocalBackend,
) -> Answered:
    """A system's answers to all items: those stored in the folder `work`, or asked and stored.

    `max_new_tokens` None allows what each task needs. The backend is opened only where something is
    left to ask, and closed at the end. How far it is goes to stderr. UserError where the system
    cannot answer.
    """
    found = systems.resolved(system, catalog)
    store = AnswerStore(work, found.digest() if work else "")
    with closing(Answerer(found, store, open_backend)) as answerer:
        answers = answers_to(items, answerer, system.text, max_new_tokens)
    return Answered(found.precision, found.dtype, found.device.type, found.codec(), tuple(answers))
