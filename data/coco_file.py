"""A file of annotations in COCO's format -> its pictures with their objects.

What a file says twice is merged and counted, what it says in two ways is refused by its id. Boxes
are (x, y, width, height) in pixels there: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from data import coco_boxes, coco_pictures, outlines
from data.changes import Changes
from data.coco_pictures import Picture, Pictures
from data.items import Truth
from models.matching import SAME_FROM, box_iou
from models.schema import Box, UserError

KINDS_MERGED = "categories of one name, merged"
KINDS_TWICE = "categories that stand twice, merged"
OBJECTS_TWICE = "objects that stand twice, merged"
PICTURES_TWICE = "pictures that stand twice, merged"
CROWDS = "crowds left out"
NO_CROWDS = "crowds read as objects, as all in the file are crowds"
IGNORED = "objects to be ignored, left out"
CUT = "boxes cut at the edges of their pictures"
TOO_SMALL = "boxes too small or outside of their pictures, left out"
PARTS_LEFT_OUT = "polygons that are a point or a line, left out"
_FALSE, _TRUE = (None, 0, "", "0", "false", "False"), (1, "1", "true", "True")


@dataclass
class Annotated:
    """A picture of the file with the objects of each kind, kinds in the order of the file.

    `unsure` are kinds that the picture may have though no object of them is here: of crowds, of
    objects to be ignored and of boxes that were left out. `absent` are those that the file says are
    not there (LVIS), None where it says nothing and all others are absent.
    """

    id: Any
    objects: dict[str, list[Truth]] = field(default_factory=lambda: defaultdict(list))
    unsure: set[str] = field(default_factory=set)
    absent: frozenset[str] | None = None


@dataclass(frozen=True)
class CocoFile:
    """All pictures in the file's order, those without objects too; `pictures` finds their files."""

    annotated: tuple[Annotated, ...]
    pictures: Pictures

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of all kinds that have an object, in alphabetical order."""
        return tuple(sorted({name for each in self.annotated for name in each.objects}))


def load(file: Path, images: Path | None, masks: bool, changes: Changes) -> CocoFile:
    """The file's content; `images` as `data.finder.Finder` has it.

    UserError, or ValueError, KeyError, TypeError, AttributeError where it is no such file; OSError
    where it cannot be read.
    """
    content = json.loads(file.read_text("utf-8-sig"), object_pairs_hook=_once)
    if not isinstance(content, dict):
        raise ValueError("it is a list, as files of results are")
    for part in ("categories", "images", "annotations"):
        _check_list(content[part], part, file)
    names = _names(content["categories"], file, changes)
    entries, ids = _entries(content["images"], file, changes)
    annotations = content["annotations"]
    coco_boxes.check_pixels(annotations)
    pictures = Pictures(file, entries, images, changes)
    # Some tools write every mask as a crowd, as run lengths are for crowds in COCO itself.
    has_crowds = not all(_is_set(each, "iscrowd") for each in annotations)
    boxes = [
        (each.get("id"), ids[_known(each, "image_id", ids, file)], box)
        for each in annotations
        if (box := coco_boxes.numbers(each))
    ]
    # Label Studio measures the stored file, and draws on what a browser shows.
    made_by = dict(content.get("info") or {}).get("contributor")
    pictures.settle(boxes, are_upright=made_by == "Label Studio")
    found = {id: Annotated(id, absent=_absent(entry, names)) for id, entry in entries.items()}
    for each in annotations:
        image = ids[_known(each, "image_id", ids, file)]
        name = names[_known(each, "category_id", names, file)]
        _check_name(name, file)
        place = found[image]
        is_crowd = _is_set(each, "iscrowd")
        if is_crowd and not has_crowds:
            changes.count(NO_CROWDS, f"annotation {each.get('id')}")
        is_crowd = is_crowd and has_crowds
        if is_crowd or _is_set(each, "ignore"):
            changes.count(CROWDS if is_crowd else IGNORED, f"annotation {each.get('id')}")
            place.unsure.add(name)
            continue
        truth = _truth(each, pictures[image], name, masks, changes)
        if truth is None:
            place.unsure.add(name)
        elif any(_is_same(truth, other) for other in place.objects[name]):
            changes.count(OBJECTS_TWICE, f"annotation {each.get('id')}")
        else:
            place.objects[name].append(truth)
    for place in found.values():
        place.objects = {
            name: sorted(those, key=lambda each: (each.box.y_min, each.box.x_min))
            for name, those in place.objects.items()
            if those
        }
    return CocoFile(tuple(found.values()), pictures)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; UserError where it has a name twice, with two values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if found[name] != value:
                raise UserError(
                    f"What has the id {found.get('id')} says {name} twice, in two ways.",
                    "Take the one out that is not so.",
                )
    return found


def _check_list(part: Any, name: str, file: Path) -> None:
    """UserError where a part of the file is no list of objects."""
    if not isinstance(part, list):
        raise UserError(f"{name} of {file.name} is no list.", "Write it as COCO's format has it.")
    for place, each in enumerate(part, 1):
        if not isinstance(each, dict) or (name != "annotations" and each.get("id") is None):
            raise UserError(
                f"Number {place} of the {name} of {file.name} has no id.",
                "Give it one, or take it out.",
            )


def _names(categories: Sequence[dict], file: Path, changes: Changes) -> dict[Any, str]:
    """Names by id, in lower case as the names of a prompt are wherever one is sent."""
    names: dict[Any, str] = {}
    for each in categories:
        id, given = _key(each["id"]), each.get("name")
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise UserError(f"{file.name} has a category {id} without a name.", "Give it one.")
        name = re.sub(" +", " ", str(given).lower()).strip()
        if names.get(id, name) != name:
            raise UserError(
                f"{file.name} has two categories of the id {id}: {names[id]!r} and {name!r}.",
                "Give each an id of its own.",
            )
        if id in names:
            changes.count(KINDS_TWICE, name)
        elif name in names.values():
            changes.count(KINDS_MERGED, name)
        names[id] = name
    return names


def _check_name(name: str, file: Path) -> None:
    if not name.strip() or any(each in name for each in ";,<") or not name.isprintable():
        raise UserError(
            f"{file} has a category {name!r}.",
            "Name it in one line, without “<”, and without comma or semicolon, which part names.",
        )


def _entries(
    images: Sequence[dict], file: Path, changes: Changes
) -> tuple[dict[Any, dict], dict[Any, Any]]:
    """The entries of `images`, one of each name, and for every id the id under which its entry is.

    UserError where an id has two names, or a name two sizes.
    """
    entries: dict[Any, dict] = {}
    ids: dict[Any, Any] = {}
    names: dict[Any, PurePosixPath] = {}
    by_name: dict[PurePosixPath, Any] = {}
    for each in images:
        id, name = _key(each["id"]), coco_pictures.name_of(each, file)
        path = PurePosixPath(name.replace("\\", "/"))
        if names.setdefault(id, path) != path:
            raise UserError(
                f"{file.name} has two images of the id {id}: {names[id]} and {name}.",
                "Give each an id of its own.",
            )
        first = ids[id] = by_name.setdefault(path, id)
        kept = entries.setdefault(first, each)
        if kept is each:
            continue
        if coco_pictures.declared(kept) != coco_pictures.declared(each):
            raise UserError(
                f"Images {first} and {id} of {file.name} are both {name}, in two sizes.",
                "Take the one out that is not so.",
            )
        changes.count(PICTURES_TWICE, name)
    return entries, ids


def _key(id: Any) -> Any:
    """An id as it is looked up: tools write numbers as texts too."""
    if isinstance(id, float) and id.is_integer():
        return int(id)
    if isinstance(id, str) and id.isascii() and id.isdigit() and str(int(id)) == id:
        return int(id)
    if isinstance(id, bool) or not isinstance(id, int | str):
        raise ValueError(f"{id!r} is no id")
    return id


def _known(annotation: dict, key: str, known: Mapping[Any, Any], file: Path) -> Any:
    """The id of an annotation's image or category; UserError where the file does not have it."""
    given = annotation.get(key)
    try:
        id = _key(given)
    except ValueError:
        has = f"the {key} {given!r}" if isinstance(given, float) else f"no {key}"
        raise UserError(
            f"Annotation {annotation.get('id')} of {file.name} has {has}.",
            "Give it one, or take it out.",
        ) from None
    if id not in known:
        what = key.removesuffix("_id")
        raise UserError(
            f"Annotation {annotation.get('id')} is of the {what} {given}, which {file.name} does "
            "not have.",
            f"Add that {what}, or take the annotation out.",
        )
    return id


def _absent(entry: dict, names: Mapping[Any, str]) -> frozenset[str] | None:
    """The kinds that LVIS's files say to be absent from a picture."""
    given = entry.get("neg_category_ids")
    if given is None:
        return None
    return frozenset(names[_key(each)] for each in given if _key(each) in names)


def _is_set(annotation: dict, mark: str) -> bool:
    """Whether `iscrowd` or `ignore` is 1, as tools write it."""
    given = annotation.get(mark)
    if given in _FALSE:
        return False
    if given in _TRUE:
        return True
    raise UserError(f"Annotation {annotation.get('id')} has the {mark} {given!r}.", "Write 0 or 1.")


def _truth(
    annotation: dict, picture: Picture, label: str, masks: bool, changes: Changes
) -> Truth | None:
    """An object whose box is cut at the picture's edges; None where nothing is left of it."""
    given = coco_boxes.numbers(annotation)
    if given and not (given[2] and given[3]):  # a line, whose outline is none either
        changes.count(TOO_SMALL, f"annotation {annotation.get('id')}")
        return None
    outline = _outline(annotation, picture, is_needed=masks or given is None)
    corners = coco_boxes.corners(annotation, outline, picture, changes)
    if corners is None:
        changes.count(TOO_SMALL, f"annotation {annotation.get('id')}")
        return None
    box = picture.box(*corners)
    # Edges that fall on one <loc> are no box.
    if min(box.y_max - box.y_min, box.x_max - box.x_min) < 1 / 1023:
        changes.count(TOO_SMALL, f"annotation {annotation.get('id')}")
        return None
    x_min, y_min, x_max, y_max = corners
    beyond = max(-x_min, -y_min, x_max - picture.width, y_max - picture.height)
    if beyond > 0.5:  # less is how tools round
        changes.count(CUT, f"annotation {annotation.get('id')}")
    if not masks:
        return Truth(label, box)
    if outline is None:
        raise UserError(
            f"Annotation {annotation.get('id')} has no segmentation.", "Train on detect instead."
        )
    for _ in range(outline.left_out):
        changes.count(PARTS_LEFT_OUT, f"annotation {annotation.get('id')}")
    return Truth(label, box, partial(_mask, outline, picture))


def _outline(annotation: dict, picture: Picture, is_needed: bool) -> outlines.Outline | None:
    """What `segmentation` draws; where it is not needed, one that is damaged is none."""
    width, height = picture.width, picture.height
    try:
        return outlines.parse(annotation.get("segmentation"), height, width)
    except ValueError as error:
        if not is_needed:
            return None
        raise UserError(
            f"The segmentation of annotation {annotation.get('id')} cannot be read: {error}.",
            f"It needs polygons, or run lengths of {width} × {height} pixels.",
        ) from None


def _mask(outline: outlines.Outline, picture: Picture) -> Any:
    """bool[height, width] of the upright picture in the size of its annotations."""
    return picture.turned(outline.mask(picture.height, picture.width))


def _is_same(one: Truth, other: Truth) -> bool:
    """Whether two objects of a kind are one that stands twice: by their boxes, and their masks."""
    if box_iou(_edges(one.box), _edges(other.box)) < SAME_FROM:
        return False
    if one.mask is None or other.mask is None:
        return True
    first, second = one.mask(), other.mask()
    either = (first | second).sum()
    return not either or (first & second).sum() / either >= SAME_FROM


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.x_min, box.y_min, box.x_max, box.y_max
