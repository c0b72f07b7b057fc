"""Annotations in COCO's format -> `detect` and `segment` prompts with their true answers.

An item is a picture and one kind of object in it, or all kinds of the file: the prefix names them,
the suffix has every object of them from the top down, kind by kind, with `<loc>` and, for masks,
`<seg>` tokens, or says that there is none. Crowds (`iscrowd`) are left out, as they are no single
object.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data import coco_file, negatives
from data.changes import Changes
from data.coco_file import CocoFile
from data.coco_pictures import Picture
from data.items import NOTHING, Item, Truth
from models.catalog.checkpoints import NANO_CODEC
from models.limits import MAX_PROMPT_CHARACTERS
from models.masks.codec import MaskCodec, crop
from models.prompts.tokens import encode_box, encode_codes
from models.schema import UserError

MASKS_AT_ONCE = 64
ABSENT = "questions about absent kinds"
OF_EMPTY = "of them about pictures without any object"
PROMPTS = ("each", "all")


@dataclass(frozen=True)
class Wanted:
    """How a file is asked about.

    `masks` asks for masks too. `share` is how many questions about absent kinds there are for each
    about one that is there, at most. `prompt`, of PROMPTS, asks for each kind by itself or for all
    of the file at once.
    """

    masks: bool = False
    share: float = 0.0
    prompt: str = "each"


@dataclass(frozen=True)
class _Asked:
    """A picture, the kinds that it is asked for and the objects of them."""

    picture: Picture
    kinds: tuple[str, ...]
    truths: tuple[Truth, ...]


def read(
    file: Path,
    images: Path | None,
    wanted: Wanted,
    codec: Path | None = None,
    changes: Changes | None = None,
) -> list[Item]:
    """The items of a file, picture by picture in its order; UserError naming what is wrong.

    `images` is the folder of the pictures, the annotations' own where None; `codec` the file of the
    mask codec that masks are written with, nano's where None. What was merged, cut or left out is
    counted in `changes`.
    """
    changes = Changes() if changes is None else changes
    try:
        found = coco_file.load(file, images, wanted.masks, changes)
        asked = list(_all(found, wanted) if wanted.prompt == "all" else _each(found, wanted))
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.", "Check the path.") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{file} is no COCO file: {type(error).__name__} {error}.",
            "It needs images, annotations with a bbox, and categories.",
        ) from None
    _count_absent(asked, {each.picture for each in asked if each.truths}, changes)
    codes: Iterator[str] = itertools.repeat("")
    if wanted.masks:
        codes = _codes(asked, codec or NANO_CODEC)
    task = "segment" if wanted.masks else "detect"
    return [
        Item(
            each.picture.path,
            f"{task} {' ; '.join(each.kinds)}",
            " ; ".join(f"{encode_box(t.box)}{next(codes)} {t.label}" for t in each.truths)
            or NOTHING,
            truths=each.truths,
        )
        for each in asked
    ]


def _each(found: CocoFile, wanted: Wanted) -> Iterator[_Asked]:
    """A question for each kind in a picture, and for the absent ones that were drawn."""
    absent = negatives.draw(found.annotated, found.kinds, wanted.share)
    for place, each in enumerate(found.annotated):
        kinds = (*each.objects, *absent.get(place, ()))
        for kind in kinds:
            truths = tuple(each.objects.get(kind, ()))
            yield _Asked(found.pictures[each.id], (kind,), truths)


def _all(found: CocoFile, wanted: Wanted) -> Iterator[_Asked]:
    """A question for all kinds of the file about each picture that has any, and others drawn."""
    kinds = found.kinds
    length = len(" ; ".join(kinds)) + len("segment ")
    if length > MAX_PROMPT_CHARACTERS:
        raise UserError(
            f"A prompt of all {len(kinds)} kinds has {length} characters, and "
            f"{MAX_PROMPT_CHARACTERS} fit.",
            "Ask for each by itself.",
        )
    empty = negatives.draw_empty(found.annotated, kinds, wanted.share)
    for place, each in enumerate(found.annotated):
        if each.objects or place in empty:
            truths = tuple(truth for kind in kinds for truth in each.objects.get(kind, ()))
            yield _Asked(found.pictures[each.id], kinds, truths)


def _count_absent(asked: Sequence[_Asked], there: set[Picture], changes: Changes) -> None:
    """Count questions about what is not there; `there` are the pictures that have an object."""
    absent = [each.picture for each in asked if not each.truths]
    for _ in absent:
        changes.count(ABSENT)
    for picture in absent:
        if picture not in there:
            changes.count(OF_EMPTY, picture.path.name)


def _codes(asked: Sequence[_Asked], file: Path) -> Iterator[str]:
    """The `<seg>` tokens of all objects in order."""
    codec = MaskCodec.load(file)
    objects = [(truth, each.picture) for each in asked for truth in each.truths]
    for start in range(0, len(objects), MASKS_AT_ONCE):
        inside = [
            _inside_box(truth, *picture.upright)
            for truth, picture in objects[start : start + MASKS_AT_ONCE]
        ]
        for codes in codec.encode(torch.from_numpy(np.stack(inside))[:, None]).tolist():
            yield encode_codes(codes)


def _inside_box(truth: Truth, width: int, height: int) -> np.ndarray:
    """The mask of an object that has one, as the codec takes it."""
    assert truth.mask is not None
    return crop(truth.mask(), truth.box.to_xyxy_px(width, height))
