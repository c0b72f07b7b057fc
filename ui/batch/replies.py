"""What the page of the tab "Batch" is told, as JSON, and the pictures of rows."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from PIL import Image

from data.exports.formats import FORMATS
from data.pictures import SUFFIXES
from data.run_rows import KINDS, Row, RunRows, Sought
from models.images import open_image
from models.limits import MAX_BATCH_BYTES, MAX_BATCH_PICTURE_BYTES, MAX_BATCH_PROMPTS
from models.prompts import grammar
from models.prompts.grammar import Task
from models.prompts.tokens import readable
from models.schema import UserError
from ui import choices
from ui.batch.runs import BatchRuns
from ui.batch.stored import Stored
from ui.pictures import COLOURS, at_viewing_size, mask_layer

ROWS_A_PAGE = 20
THUMBNAIL_PX = 320  # of the longer side
QUALITY = 82  # of WebP
NAMES = {  # of formats, as people call them
    "jsonl": "JSONL",
    "finetune": "JSONL for fine-tuning",
    "csv": "CSV",
    "coco": "COCO",
    "yolo": "YOLO boxes",
    "yolo-segment": "YOLO outlines",
    "cvat": "CVAT",
    "label-studio": "Label Studio",
    "voc": "Pascal VOC",
    "imagefolder": "Hugging Face imagefolder",
}


def about(runs: BatchRuns) -> dict[str, Any]:
    """What can be chosen, and the bounds."""
    backend = runs.backend
    return {
        "tasks": [
            {"name": name, "value": str(task), "inputs": sorted(grammar.inputs_of(Task(task)))}
            for name, task in choices.TASKS
            if task != Task.REGION  # a box belongs to one picture
        ],
        "languages": choices.language_choices(),
        "checkpoints": [
            {
                "name": each.name,
                "choice": [each.size, each.variant, str(each.resolution)],
                "adapters": list(backend.adapters(each.name)),
            }
            for each in backend.catalog.checkpoints
        ],
        "default": backend.catalog.default,
        "anyAdapter": backend.catalog.any_adapter,
        "precisions": choices.precision_choices(backend.precisions()),
        "formats": [
            {"name": name, "title": NAMES.get(name, name), "what": each.what}
            for name, each in FORMATS.items()
        ],
        "suffixes": SUFFIXES,
        "most": {
            "pictures": runs.settings.pictures,
            "pictureBytes": MAX_BATCH_PICTURE_BYTES,
            "bytes": MAX_BATCH_BYTES,
            "prompts": MAX_BATCH_PROMPTS,
        },
    }


def note(runs: BatchRuns, checkpoint: str, precision: str) -> dict[str, str]:
    """What keeps a checkpoint from answering, or what its first use brings."""
    name = runs.backend.catalog.find(checkpoint).name
    missing = runs.backend.missing(name, precision)
    return {"missing": missing or "", "note": "" if missing else runs.backend.notice(name) or ""}


def prompts_of(given: dict[str, Any]) -> list[str]:
    """The prompts that fields ask for; UserError where one is missing or one cannot be."""
    texts = {name: _text(given, name) for name in ("task", "language", "question", "answer")}
    if texts["task"] not in set(Task):
        raise UserError(f"There is no task {texts['task']!r}.", "Choose one of the list.")
    task = Task(texts["task"])
    if task is Task.FREE:
        lines = [each.strip() for each in _text(given, "text").splitlines() if each.strip()]
        if not lines:
            raise UserError("There is no prompt yet.", "Type one, or several, each on a line.")
        return [grammar.build(Task.FREE, text=each) for each in lines]
    return [
        grammar.build(
            task,
            language=texts["language"] or "en",
            question=texts["question"],
            answer=texts["answer"],
            objects=_text(given, "objects"),
        )
    ]


def state(runs: BatchRuns, stored: Stored) -> dict[str, Any]:
    """How a run stands."""
    found = runs.state(stored)
    reply: dict[str, Any] = {
        "state": found.name,
        "line": found.line,
        "share": round(found.share, 4),
        "pictures": found.pictures,
        "others": found.others,
    }
    if found.settings:
        rows = runs.rows(stored)
        asked = found.settings
        reply |= {
            "prompts": asked["prompts"],
            "checkpoint": asked["checkpoint"],
            "adapter": asked["adapter"] or "",
            "rows": len(rows),
            "failed": rows.failed,
            "corrected": rows.corrected,
        }
    return reply


def page_of(
    rows: RunRows, sought: Sought, first: int = 0, before: int | None = None
) -> dict[str, Any]:
    """ROWS_A_PAGE of the rows that are looked for: those from the row `first` on, or those before
    the row `before`; the last ones where there are none. `page` is counted from 0, also where the
    rows before are no whole pages: some of them were put right meanwhile."""
    if sought.kind and sought.kind not in KINDS:
        raise UserError(f"There is no kind {sought.kind!r} of rows.", "Choose one of the list.")
    numbers = rows.find(sought)
    start = bisect_left(numbers, first)
    if before is not None:
        start = max(0, bisect_left(numbers, before) - ROWS_A_PAGE)
    if start >= len(numbers):
        start = max(0, len(numbers) - 1) // ROWS_A_PAGE * ROWS_A_PAGE
    shown = numbers[start : start + ROWS_A_PAGE]
    page = -(-start // ROWS_A_PAGE)
    pages = page + max(1, -(-(len(numbers) - start) // ROWS_A_PAGE))
    return {
        "rows": [row_reply(rows, rows.read(number)) for number in shown],
        "found": len(numbers),
        "page": page,
        "pages": pages,
        "labels": labels_of(rows),
    }


def labels_of(rows: RunRows) -> list[dict[str, Any]]:
    """The labels of a run, and how many objects each has."""
    return [{"name": name, "count": count} for name, count in rows.labels.items()]


def corrected(rows: RunRows, number: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put a row right as the page asks for it; the row and the labels as they are then."""
    change = given.get("text"), given.get("objects"), bool(given.get("asAnswered"))
    row = rows.correct(number, *change)
    return {"row": row_reply(rows, row), "labels": labels_of(rows)}


def row_reply(rows: RunRows, row: Row) -> dict[str, Any]:
    """A row as the page shows it, its objects in the colours of their labels."""
    colours = colours_of(rows)
    line = row.line
    reply: dict[str, Any] = {
        "number": row.number,
        "image": line["image"],
        "prompt": line["prompt"],
        "error": line.get("error", ""),
        "isCorrected": row.is_corrected,
    }
    if "width" in line:
        reply |= {"width": line["width"], "height": line["height"]}
    if row.answer is not None:
        reply |= {
            "findsBoxes": grammar.yields_boxes(grammar.parse(line["prompt"]).task),
            "text": row.answer.text,
            "readable": readable(row.answer.text),
            "notes": line.get("notes", []),
            "objects": [
                {
                    "label": each.label,
                    "box": list(each.box_xyxy_px),
                    "confidence": each.confidence,
                    "hasMask": each.rle is not None,
                    "colour": colours[each.label],
                }
                for each in row.answer.objects
            ],
        }
    return reply


def colours_of(rows: RunRows) -> dict[str, str]:
    """A colour for each label, the same on all pictures of a run."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(rows.labels)}


def picture(runs: BatchRuns, stored: Stored, number: int, is_large: bool) -> bytes:
    """A row's picture as WebP with the masks of its objects, small or at the size to look at.

    UserError where it cannot be read."""
    rows = runs.rows(stored)
    row = rows.read(number)
    with runs.decoding():
        image = open_image(stored.pictures().open(row.line["image"])).image
        if is_large:
            image = at_viewing_size(image)
        else:
            image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    masked = [each for each in row.answer.objects if each.rle is not None] if row.answer else []
    if masked:
        colours = colours_of(rows)
        layers = image.convert("RGBA")
        for each in masked:
            layers.alpha_composite(mask_layer(image.size, each.mask(), colours[each.label]))
        image = layers.convert("RGB")
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name) or ""
    if not isinstance(value, str):
        raise UserError(f"{name} is no text.", "Fill the field in again.")
    return value
