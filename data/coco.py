"""Annotations in COCO's format -> `detect` and `segment` prompts with their true answers.

An item is a picture and one kind of object in it: the prefix names the kind, the suffix has every
object of it from the top down, with `<loc>` and, for masks, `<seg>` tokens. Crowds (`iscrowd`) are
left out, as they are no single object.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.items import Item, Truth
from models.catalog.checkpoints import NANO_CODEC
from models.masks.codec import MaskCodec, crop
from models.prompts.tokens import encode_box, encode_codes
from models.schema import Box, UserError

MASKS_AT_ONCE = 64

_Found = tuple[Path, dict, str, tuple[Truth, ...]]  # file, its entry, name of the kind, objects


def read(file: Path, images: Path | None, masks: bool, codec: Path | None = None) -> list[Item]:
    """One item per picture and kind, in the file's order; UserError naming what is wrong.

    `images` is the folder of the pictures, the annotations' own where None; `codec` the file of the
    mask codec that masks are written with, nano's where None.
    """
    try:
        items = list(_pictures(file, images or file.parent, masks))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise UserError(
            f"{file} is no COCO file: {type(error).__name__} {error}.",
            "It needs images, annotations with a bbox, and categories.",
        ) from None
    codes: Iterator[str] = itertools.repeat("")
    if masks:
        codes = _codes(items, codec or NANO_CODEC)
    return [
        Item(
            path,
            f"{'segment' if masks else 'detect'} {name}",
            " ; ".join(encode_box(truth.box) + next(codes) + f" {name}" for truth in truths),
            truths=truths,
        )
        for path, _, name, truths in items
    ]


def _pictures(file: Path, folder: Path, masks: bool) -> Iterator[_Found]:
    """Each picture and kind with its objects from the top down."""
    content = json.loads(file.read_text("utf-8-sig"))
    # In lower case, as the names of a prompt are wherever one is sent.
    names = {each["id"]: str(each["name"]).lower() for each in content["categories"]}
    for name in names.values():
        if not name.strip() or ";" in name or not name.isprintable():
            raise UserError(
                f"{file} has a category {name!r}.",
                "Name it in one line, without the semicolon that stands between names.",
            )
    pictures = {each["id"]: each for each in content["images"]}
    for (image, category), found in _grouped(content["annotations"]).items():
        if image not in pictures or category not in names:
            raise UserError(f"{file} has an annotation of an image or category it does not have.")
        picture, name = pictures[image], names[category]
        path = folder / picture["file_name"]
        if not path.is_file():
            raise UserError(
                f"{path}, named in {file.name}, is not there.", "Give the folder of the images."
            )
        truths = (_truth(each, picture, name, masks) for each in found)
        there = [each for each in truths if each is not None]
        if there:
            ordered = sorted(there, key=lambda each: (each.box.y_min, each.box.x_min))
            yield path, picture, name, tuple(ordered)


def _grouped(annotations: Sequence[dict]) -> dict[tuple[int, int], list[dict]]:
    grouped: dict[tuple[int, int], list[dict]] = defaultdict(list)
    for each in annotations:
        if not each.get("iscrowd"):
            grouped[each["image_id"], each["category_id"]].append(each)
    return grouped


def _truth(annotation: dict, picture: dict, label: str, masks: bool) -> Truth | None:
    """An object whose box is cut at the picture's edges; None where nothing is left of it."""
    width, height = picture["width"], picture["height"]
    x, y, w, h = map(float, annotation["bbox"])
    if not all(map(math.isfinite, (x, y, w, h))):
        raise ValueError(f"annotation {annotation.get('id')} has no finite bbox")
    box = Box(
        y_min=max(y, 0) / height,
        x_min=max(x, 0) / width,
        y_max=min(y + h, height) / height,
        x_max=min(x + w, width) / width,
    )
    # Edges that fall on one <loc> are no box.
    if min(box.y_max - box.y_min, box.x_max - box.x_min) < 1 / 1023:
        return None
    if not masks:
        return Truth(label, box)
    outline = annotation.get("segmentation")
    if not outline:
        raise UserError(
            f"Annotation {annotation.get('id')} has no segmentation.", "Train on detect instead."
        )
    if not (_are_polygons(outline) or _are_runs(outline, height, width)):
        raise UserError(
            f"The segmentation of annotation {annotation.get('id')} cannot be read.",
            f"It needs polygons, or run lengths of {width} × {height} pixels.",
        )
    return Truth(label, box, partial(_mask, outline, height, width))


def _are_polygons(outline: Any) -> bool:
    """Whether these are lists of x, y, x, y, …, each of at least three corners."""
    return isinstance(outline, list) and all(
        isinstance(corners, list)
        and len(corners) >= 6
        and len(corners) % 2 == 0
        and all(isinstance(each, int | float) and math.isfinite(each) for each in corners)
        for corners in outline
    )


def _are_runs(outline: Any, height: int, width: int) -> bool:
    """Whether these are run lengths, counted or compressed, of a whole picture of this size."""
    if not isinstance(outline, dict) or outline.get("size") != [height, width]:
        return False
    counts = outline.get("counts")
    if isinstance(counts, list):
        return all(isinstance(each, int) and each >= 0 for each in counts) and (
            sum(counts) == height * width
        )
    return isinstance(counts, str)


def _mask(outline: Any, height: int, width: int) -> np.ndarray:
    """bool[height, width] of polygons or of run lengths, counted or compressed.

    UserError where compressed ones are damaged.
    """
    from pycocotools import mask as coder

    if isinstance(outline, list):
        rle = coder.merge(coder.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], list):
        rle = coder.frPyObjects(outline, height, width)
    else:
        rle = outline
    try:
        return coder.decode(rle).astype(bool)
    except ValueError as error:  # of compressed ones, which only the library can check
        raise UserError(
            f"A segmentation of {width} × {height} pixels cannot be read: {error}.",
            "Write its run lengths as numbers, or polygons.",
        ) from None


def _codes(items: Sequence[tuple[Path, dict, str, tuple[Truth, ...]]], file: Path) -> Iterator[str]:
    """The `<seg>` tokens of all objects in order."""
    codec = MaskCodec.load(file)
    objects = [(truth, picture) for _, picture, _, truths in items for truth in truths]
    for start in range(0, len(objects), MASKS_AT_ONCE):
        inside = [
            _inside_box(truth, picture["width"], picture["height"])
            for truth, picture in objects[start : start + MASKS_AT_ONCE]
        ]
        for codes in codec.encode(torch.from_numpy(np.stack(inside))[:, None]).tolist():
            yield encode_codes(codes)


def _inside_box(truth: Truth, width: int, height: int) -> np.ndarray:
    """The mask of an object that has one, as the codec takes it."""
    assert truth.mask is not None
    return crop(truth.mask(), truth.box.to_xyxy_px(width, height))
