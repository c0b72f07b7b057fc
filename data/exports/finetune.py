"""What a model learns the corrected answers from: `training.finetune --data …/train.jsonl`.

The pictures of a folder stay where they are and are named from the file on; those of a ZIP archive,
and those of an export that is taken away, are written beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from data.exports.copies import copy_picture
from data.exports.names import flat_stems
from data.items import NOTHING
from data.run_results import Answered, Found, RunResults
from models.prompts import grammar
from models.prompts.tokens import encode_box, encode_codes, parse_detections
from models.results import json_line
from models.schema import Box, UserError


def write(results: RunResults, folder: Path) -> list[str]:
    """`train.jsonl`, a line for each picture and prompt: {"image", "prefix", "suffix"}.

    A corrected answer of `segment` with an object that has no mask is left out: who learns from it
    learns to leave masks out. UserError where a corrected label or mask cannot be written as an
    answer.
    """
    pictures, stems = results.pictures(), flat_stems(results.names())
    empty = without_mask = 0
    with (folder / "train.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as file:
        for picture in results:
            source = pictures.open(picture.name)
            if isinstance(source, Path) and not results.is_taken_away:
                image = Path(os.path.relpath(source, folder)).as_posix()
            else:
                name = copy_picture(source, folder / "pictures", stems[picture.name])
                image = f"pictures/{name}"
            for answer in picture.answers:
                if _lacks_a_mask(answer):
                    without_mask += 1
                    continue
                text = suffix(answer, picture.width, picture.height)
                if text:
                    line = {"image": image, "prefix": answer.prompt, "suffix": text}
                    file.write(json_line(line))
                else:
                    empty += 1
    notes = []
    if empty:
        notes.append(f"{empty} answers without a text are left out.")
    if without_mask:
        notes.append(
            f"Corrected answers of segment that are left out: {without_mask}. A box that was moved "
            "or drawn has no mask to learn from."
        )
    return notes


def _lacks_a_mask(answer: Answered) -> bool:
    """Whether somebody put a box without a mask into an answer that has masks."""
    gives_masks = grammar.yields_masks(grammar.parse(answer.prompt).task)
    is_corrected = bool(answer.line.get("is_corrected"))
    return gives_masks and is_corrected and any(each.rle is None for each in answer.objects)


def suffix(answer: Answered, width: int, height: int) -> str:
    """The answer as a model writes it: of `detect` and `segment` from its objects, so that it says
    what is left of them after they were corrected, else its text."""
    task = grammar.parse(answer.prompt).task
    if not grammar.yields_boxes(task):
        return answer.text.strip()
    if not answer.objects:
        said = parse_detections(answer.text)
        has_none = not said.objects and not said.invalid
        return (answer.text.strip() if has_none else "") or NOTHING
    said_codes = {
        encode_box(each.box): each.codes for each in parse_detections(answer.text).objects
    }
    parts = []
    for each in answer.objects:
        if ";" in each.label or "<" in each.label:
            raise UserError(
                f"{answer.line['image']} has an object {each.label!r}.",
                "An answer separates objects with ; and tokens with <: name it without them.",
            )
        box = encode_box(_box(each, width, height))
        codes = said_codes.get(box)
        if not grammar.yields_masks(task) or (each.rle is None and codes is None):
            text = ""
        elif codes is None:
            raise UserError(
                f"{answer.line['image']} has a mask in a box that was moved.",
                "Leave boxes with masks in their place, or take the object out.",
            )
        else:
            text = encode_codes(codes)
        parts.append(f"{box}{text} {each.label}")
    return " ; ".join(parts)


def _box(found: Found, width: int, height: int) -> Box:
    x_min, y_min, x_max, y_max = np.array(found.box_xyxy_px) / (width, height, width, height)
    return Box(float(y_min), float(x_min), float(y_max), float(x_max))
