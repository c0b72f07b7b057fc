"""All formats by their names, and the one function that exports a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.exports import (
    coco,
    csv_table,
    cvat,
    finetune,
    imagefolder,
    jsonl,
    label_studio,
    voc,
    yolo,
)
from data.run_results import RunResults
from models.schema import UserError

EXPORTS = "exports"  # within the folder of a run


@dataclass(frozen=True)
class Format:
    """How a format is written, and what it is in a few words."""

    write: Callable[[RunResults, Path], Sequence[str]]
    what: str


FORMATS = {
    "jsonl": Format(jsonl.write, "the results with their corrections"),
    "finetune": Format(finetune.write, "JSONL for training.finetune --data"),
    "csv": Format(csv_table.write, "a row for each object"),
    "coco": Format(coco.write, "COCO's annotations"),
    "yolo": Format(yolo.write_boxes, "Ultralytics' boxes, with the pictures"),
    "yolo-segment": Format(yolo.write_segments, "Ultralytics' outlines, with the pictures"),
    "cvat": Format(cvat.write, "a ZIP archive for a task of CVAT"),
    "label-studio": Format(label_studio.write, "tasks with predictions"),
    "voc": Format(voc.write, "Pascal VOC's boxes, with the pictures"),
    "imagefolder": Format(imagefolder.write, "pictures and metadata for Hugging Face datasets"),
}


@dataclass(frozen=True)
class Exported:
    """A format that was written into `folder`, and what is to be said of it."""

    folder: Path
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Both, on one line."""
        return " ".join((f"{self.folder} is written.", *self.notes))


def export(run: Path, names: Sequence[str], is_taken_away: bool = False) -> Iterator[Exported]:
    """Write a run's results in formats of FORMATS, each into `RUN/exports/NAME` in place of what
    was there; nothing is left of one that fails. One that `is_taken_away` brings the pictures that
    it names. UserError saying why, after the others were written."""
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise UserError(f"There is no format {unknown[0]!r}.", f"Use {', '.join(FORMATS)}.")
    results = RunResults(run, is_taken_away)
    if not len(results):
        raise UserError(f"{run} has no answer to export.", "See the errors in its results.")
    failed = []
    for name in dict.fromkeys(names):
        try:
            yield _export(results, name)
        except UserError as error:
            failed.append(str(error))
    if failed:
        raise UserError(" ".join(failed))


def _export(results: RunResults, name: str) -> Exported:
    folder = results.folder / EXPORTS / name
    new = folder.with_name(f"{name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        notes = tuple(FORMATS[name].write(results, new))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}.", "Make room, or look at it."
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return Exported(folder, notes)
