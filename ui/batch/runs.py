"""The runs of this server: begun, stopped, gone on with, looked at, exported, deleted.

A run goes on when its page is closed, and after a restart of the server from where it was. This
module knows no routes and no page.
"""

from __future__ import annotations

import logging
import shutil
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data.exports.formats import FORMATS, export
from data.run_rows import RunRows
from data.runs import Run, read_settings
from models.batch.progress import Progress
from models.batch.work import DECODING, Work, settings_of
from models.generate.asking import Chosen
from models.generate.side_by_side import PixelBudget
from models.limits import BATCH_REQUESTS, MAX_BATCH_PROMPTS
from models.prompts import grammar
from models.schema import Busy, StatusEvent, UserError
from models.serving.backend import Backend
from ui.batch import stored as store
from ui.batch.room import Room
from ui.batch.seats import SeatedAsking, Seats
from ui.batch.settings import BatchSettings
from ui.batch.stored import Incoming, Stored
from ui.refusals import OWN_FAILURE

logger = logging.getLogger(__name__)

ROWS_KEPT = 16  # runs whose rows stay indexed in memory
SWEPT_EVERY_S = 600.0
ENDS_WITHIN_S = 30.0


@dataclass
class _Live:
    """A run that a thread of this process works on, or did last."""

    thread: threading.Thread | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None  # None while it waits for its turn
    said: str = ""  # of the model: that it is loaded, downloaded
    error: str = ""

    @property
    def is_over(self) -> bool:
        return self.thread is not None and not self.thread.is_alive()


@dataclass(frozen=True)
class State:
    """How a run stands. `name` is new, waiting, running, stopped, failed or done; `line` says it in
    words, and `share` is of all pictures, 0 to 1."""

    name: str
    line: str
    share: float
    settings: dict[str, Any]
    pictures: int
    others: int


class BatchRuns:
    """All runs, over one backend. For any thread; runs are found by their ids alone."""

    def __init__(self, backend: Backend, settings: BatchSettings):
        self.backend, self.settings = backend, settings
        self._seats, self._budget = Seats(), PixelBudget()
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}
        self._rows: OrderedDict[str, RunRows] = OrderedDict()
        self._files: dict[str, int] = {}  # how many were uploaded to a run
        self._room = Room()
        self._exporting = threading.Lock()  # one at a time: it reads and writes all pictures

    # -- what is asked about

    def create(self) -> Stored:
        """A new run without pictures; UserError where this server has none, or no room."""
        if not self.settings.pictures:
            raise UserError("This server has no batches.", "Use python -m models.batch.")
        try:
            return store.create()
        except Busy:
            self.sweep()
        return store.create()

    @contextmanager
    def receive(self, stored: Stored, name: str | None) -> Iterator[Incoming]:
        """An `Incoming` for a picture of that name, or for the archive; UserError where it is one
        too many or too large, or where the run has begun."""
        if stored.is_begun:
            raise UserError("This batch was begun.", "Give more pictures to a new one.")
        with self._lock:
            files = self._files.get(stored.id, 0)
        if name is not None and files >= self.settings.pictures:
            raise UserError(
                f"There are more than {self.settings.pictures:,} pictures.",
                "Use fewer, or python -m models.batch.",
            )
        incoming = Incoming(stored, name, partial(self._room.take, stored))
        is_kept = False
        try:
            yield incoming
            if stored.is_begun:
                raise UserError("This batch was begun meanwhile.", "Give it to a new one.")
            is_new = incoming.finish()
            is_kept = True
            with self._lock:
                self._files[stored.id] = self._files.get(stored.id, 0) + is_new
        finally:
            incoming.close()
            if not is_kept:
                self._room.give_back(stored, incoming.size)

    def start(
        self,
        stored: Stored,
        prompts: Sequence[str],
        checkpoint: str,
        precision: str,
        adapter: str | None,
    ) -> None:
        """Ask about the pictures that were uploaded; UserError where that cannot be."""
        if stored.is_begun:
            raise UserError("This batch was begun already.", "Press Resume.")
        prompts = list(dict.fromkeys(map(grammar.normalize, prompts)))
        for each in prompts:
            grammar.check(each)
        if not 0 < len(prompts) <= MAX_BATCH_PROMPTS:
            raise UserError(
                f"There are {len(prompts)} prompts.", f"Write 1 to {MAX_BATCH_PROMPTS}, one a line."
            )
        chosen = self.backend.catalog.find(checkpoint)
        missing = self.backend.missing(chosen.name, precision)
        if missing:
            raise UserError(missing)
        known = self.backend.adapters(chosen.name)
        if adapter and adapter not in known and not self.backend.catalog.any_adapter:
            raise UserError(
                f"{chosen.name} has no adapter {adapter!r}.",
                f"Use one of: {', '.join(known) or 'none'}.",
            )
        with _without_paths(stored):
            pictures = stored.count(self.settings.pictures)
            options = Chosen(precision=precision, adapter=adapter or None)
            settings = settings_of(options, chosen.name, pictures, prompts)
            Run(stored.run, settings).close()  # from now on it is known what is asked
        with self._lock:
            self._files.pop(stored.id, None)
        self.resume(stored)

    # -- at work

    def resume(self, stored: Stored) -> None:
        """Go on where a run was; nothing happens to one that is at work. UserError where it was
        not begun, Busy where it does not come to its end."""
        self._check_begun(stored)
        settings = read_settings(stored.run)
        live = self._live.get(stored.id)
        if live is not None and live.stop.is_set() and live.thread is not None:
            live.thread.join(ENDS_WITHIN_S)  # without the lock, which all other runs need
            if not live.is_over:
                raise Busy("The batch is still being stopped.", "Try again in a moment.")
        with self._lock:
            live = self._live.get(stored.id)
            if live is not None and not live.is_over:
                return
            live = _Live()
            live.thread = threading.Thread(
                target=self._work, args=(stored, settings, live), name="batch", daemon=True
            )
            self._live[stored.id] = live
            live.thread.start()

    def stop(self, stored: Stored) -> None:
        """Stop within a token; what is answered stays. Returns once that is so, or soon."""
        live = self._live.get(stored.id)
        if live is not None:
            live.stop.set()
            if live.thread is not None:
                live.thread.join(ENDS_WITHIN_S)

    def close(self) -> None:
        """Stop all runs; each can be gone on with."""
        for live in list(self._live.values()):
            live.stop.set()

    def _work(self, stored: Stored, settings: dict[str, Any], live: _Live) -> None:
        def show(event: StatusEvent) -> None:
            live.said = event.message

        try:
            with self._seats.at_work(stored.id, live.stop):
                asking = SeatedAsking(self.backend, show, self._seats, stored.id, self._budget)
                checkpoint = self.backend.catalog.find(settings["checkpoint"])
                options = Chosen(
                    precision=settings["precision"],
                    adapter=settings["adapter"],
                    **{name: settings[name] for name in DECODING},
                )
                asked = {name: value for name, value in settings.items() if name != "version"}
                with closing(Run(stored.run, asked)) as run:
                    work = Work(run, stored.pictures(), options, checkpoint, asking)
                    left, total = work.left(), len(work.pictures.names)
                    progress = Progress(total, total - len(left))
                    progress.failed = self.rows(stored, refresh=True).failed_pictures
                    live.progress = progress
                    with closing(work.answer(left, live.stop, BATCH_REQUESTS)) as answers:
                        for lines in answers:
                            live.said = ""
                            progress.advance(any("error" in each for each in lines))
        except CancelledError:
            pass  # stopped while it waited
        except UserError as error:
            live.error = str(error).replace(f"{stored.folder}/", "")
        except Exception:
            logger.exception("a batch failed")
            live.error = str(OWN_FAILURE)

    # -- looked at

    def state(self, stored: Stored) -> State:
        """How a run stands now."""
        if not stored.is_begun:
            return State("new", "", 0.0, {}, 0, 0)
        settings = read_settings(stored.run)
        counted = stored.counted()
        total = counted["pictures"]
        done = self.rows(stored, refresh=True)
        answered = len(done) // max(1, len(settings["prompts"]))
        live = self._live.get(stored.id)
        share = answered / max(1, total)

        def state(name: str, line: str) -> State:
            return State(name, line, min(share, 1.0), settings, total, counted["others"])

        if live is not None and not live.is_over:
            if live.stop.is_set() and answered < total:
                return state("running", "Stopping …")
            if live.progress is None:
                return state("waiting", "Waiting for its turn …")
            said = live.said if live.progress.done == 0 and live.said else live.progress.line()
            return state("running", said)
        if answered >= total:
            failed = f", {done.failed_pictures:,} failed" if done.failed else ""
            return state("done", f"Done: {total:,} of {total:,} pictures{failed}.")
        line = f"{answered:,} of {total:,} pictures are done."
        if live is not None and live.error:
            return state("failed", f"{live.error} {line}")
        return state("stopped", f"Stopped. {line}")

    def rows(self, stored: Stored, refresh: bool = False) -> RunRows:
        """The rows of a run, as they are now where they are to be refreshed."""
        self._check_begun(stored)
        with self._lock:
            rows = self._rows.pop(stored.id, None)
            if rows is None:
                rows = RunRows(stored.run)
            elif refresh:
                rows.refresh()
            self._rows[stored.id] = rows
            while len(self._rows) > ROWS_KEPT:
                self._rows.popitem(last=False)
            return rows

    def _check_begun(self, stored: Stored) -> None:
        if not stored.is_begun:
            raise UserError("This batch was not begun.", "Give pictures, and press Run.")

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Wait until one more picture may be decoded."""
        with self._budget.decoding():
            yield

    # -- taken home

    def export(self, stored: Stored, name: str) -> tuple[Path, tuple[str, ...]]:
        """(A ZIP archive of the results so far in a format, what is to be said of it)."""
        if name not in FORMATS:
            raise UserError(f"There is no format {name!r}.", f"Use {', '.join(FORMATS)}.")
        self.rows(stored)
        with self._exporting, _without_paths(stored):
            self._room.check(2 * stored.pictures_bytes())  # those written, and the archive of them
            (exported,) = export(stored.run, [name], is_taken_away=True)
            archive = self.archive(stored, name)
            archive.parent.mkdir(exist_ok=True)
            new = archive.with_suffix(".new")
            with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as zipped:
                for file in sorted(exported.folder.rglob("*")):
                    if file.is_file():
                        kind = _kept_as_is(file)
                        zipped.write(file, file.relative_to(exported.folder), kind)
            new.replace(archive)
            shutil.rmtree(exported.folder, ignore_errors=True)
        return archive, exported.notes

    def archive(self, stored: Stored, name: str) -> Path:
        """Where the archive of a format lies once it was exported."""
        return stored.folder / "exports" / f"{name}.zip"

    # -- over

    def delete(self, stored: Stored) -> None:
        """Stop a run and leave nothing of it."""
        self.stop(stored)
        with self._lock:
            self._live.pop(stored.id, None)
            self._rows.pop(stored.id, None)
            self._files.pop(stored.id, None)
        shutil.rmtree(stored.folder, ignore_errors=True)
        self._room.recount(store.all_stored())

    def sweep(self) -> int:
        """Delete the runs that nobody looks at any more; returns how many."""
        with self._lock:
            for each in [id for id, live in self._live.items() if live.is_over]:
                if not self._live[each].error:
                    del self._live[each]
            at_work = frozenset(id for id, live in self._live.items() if not live.is_over)
        gone = store.sweep(at_work)
        kept = list(store.all_stored())
        with self._lock:
            ids = {each.id for each in kept}
            self._files = {id: count for id, count in self._files.items() if id in ids}
        self._room.recount(kept)
        return gone

    def sweep_often(self) -> None:
        """Sweep now, and every SWEPT_EVERY_S from a thread that ends with the process."""

        def sweep(wait: Callable[[float], bool]) -> None:
            while True:
                self.sweep()
                if wait(SWEPT_EVERY_S):
                    return

        threading.Thread(
            target=sweep, args=(threading.Event().wait,), name="sweep", daemon=True
        ).start()


@contextmanager
def _without_paths(stored: Stored) -> Iterator[None]:
    """Where a UserError names the run's folder, which is nobody's business, it is left out."""
    try:
        yield
    except UserError as error:
        said = str(error).replace(f"{stored.folder}/", "").replace(str(stored.folder), "it")
        raise UserError(said) from None


def _kept_as_is(file: Path) -> int:
    """Pictures and archives are packed already."""
    is_text = file.suffix.lower() in (".txt", ".json", ".jsonl", ".csv", ".xml", ".yaml")
    return zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
