"""Pascal VOC: an XML file for each picture, with boxes alone.

Its edges are whole pixels counted from 1, both within the object, so that a box over a whole
picture goes from 1 to the width.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from data.exports.copies import copy_picture
from data.exports.names import flat_stems
from data.run_results import Found, Labelled, RunResults


def write(results: RunResults, folder: Path) -> list[str]:
    """`JPEGImages`, `Annotations` and `ImageSets/Main/train.txt`."""
    pictures, stems = results.pictures(), flat_stems(results.names())
    annotations, sets = folder / "Annotations", folder / "ImageSets" / "Main"
    annotations.mkdir()
    sets.mkdir(parents=True)
    for picture in results:
        stem = stems[picture.name]
        file = copy_picture(pictures.open(picture.name), folder / "JPEGImages", stem)
        tree = ElementTree.ElementTree(_annotation(picture, file))
        ElementTree.indent(tree)
        tree.write(annotations / f"{stem}.xml", encoding="utf-8")
    (sets / "train.txt").write_text("".join(f"{each}\n" for each in stems.values()), "utf-8")
    return []


def _annotation(picture: Labelled, file: str) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _texts(root, folder="JPEGImages", filename=file)
    size = ElementTree.SubElement(root, "size")
    _texts(size, width=picture.width, height=picture.height, depth=3)
    _texts(root, segmented=0)
    for each in picture.objects:
        found = ElementTree.SubElement(root, "object")
        _texts(found, name=each.label, pose="Unspecified", truncated=0, difficult=0)
        x_min, y_min, x_max, y_max = _whole_pixels(each, picture)
        _texts(
            ElementTree.SubElement(found, "bndbox"), xmin=x_min, ymin=y_min, xmax=x_max, ymax=y_max
        )
    return root


def _whole_pixels(found: Found, picture: Labelled) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(edge) for edge in found.box_xyxy_px)
    x_min, y_min = min(left + 1, picture.width), min(top + 1, picture.height)
    return x_min, y_min, max(right, x_min), max(bottom, y_min)


def _texts(parent: ElementTree.Element, **values: object) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)
