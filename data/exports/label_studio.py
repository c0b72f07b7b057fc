"""Tasks with predictions for Label Studio, and the labelling interface that they belong to.

Coordinates are percent of the picture. A mask is one polygon, its parts and holes joined to one
path. Texts of other prompts stand in a text area.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from data.exports.outlines import joined, trace
from data.run_results import Found, Labelled, RunResults
from models.prompts import grammar

LOCAL_FILES = "/data/local-files/?d="  # Label Studio's address of files below its document root
DECIMALS = 6


def write(results: RunResults, folder: Path) -> list[str]:
    """`tasks.json` and `interface.xml`."""
    model = str(results.settings["checkpoint"])
    if results.settings["adapter"]:
        model += f"+{Path(results.settings['adapter']).name}"
    with (folder / "tasks.json").open("w", encoding="utf-8") as file:
        for number, picture in enumerate(results):
            file.write(",\n" if number else "[\n")
            file.write(json.dumps(_task(picture, model)))
        file.write("\n]\n" if len(results) else "[]\n")
    interface = _interface(results.labels)
    (folder / "interface.xml").write_text(interface, "utf-8")
    return [
        "Label Studio finds the pictures below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; "
        "interface.xml is the project's labelling interface."
    ]


def _task(picture: Labelled, model: str) -> dict[str, Any]:
    path = quote(picture.name, errors="surrogateescape")
    scores = [each.confidence for each in picture.objects if each.confidence is not None]
    prediction: dict[str, Any] = {"model_version": model, "result": [*_regions(picture)]}
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 3)
    return {
        "data": {"image": LOCAL_FILES + path, "name": picture.name},
        "predictions": [prediction],
    }


def _regions(picture: Labelled) -> Iterator[dict[str, Any]]:
    place = {
        "to_name": "image",
        "original_width": picture.width,
        "original_height": picture.height,
        "image_rotation": 0,
    }
    for number, each in enumerate(picture.objects):
        sure = {} if each.confidence is None else {"score": each.confidence}
        shape = _box(each, picture) if each.rle is None else _polygon(each, picture)
        yield {"id": f"object-{number}", **place, **shape, **sure}
    texts = [
        each.text for each in picture.answers if each.text and not _asks_for_objects(each.prompt)
    ]
    if texts:
        yield {
            "id": "text",
            "to_name": "image",
            "from_name": "text",
            "type": "textarea",
            "value": {"text": texts},
        }


def _asks_for_objects(prompt: str) -> bool:
    """Whether the answer to a prompt is objects, or that there are none."""
    return grammar.yields_boxes(grammar.parse(prompt).task)


def _box(found: Found, picture: Labelled) -> dict[str, Any]:
    x, y, width, height = found.box_xywh_px
    value = {
        "x": round(x / picture.width * 100, DECIMALS),
        "y": round(y / picture.height * 100, DECIMALS),
        "width": round(width / picture.width * 100, DECIMALS),
        "height": round(height / picture.height * 100, DECIMALS),
        "rotation": 0,
        "rectanglelabels": [found.label],
    }
    return {"from_name": "box", "type": "rectanglelabels", "value": value}


def _polygon(found: Found, picture: Labelled) -> dict[str, Any]:
    outlines = trace(found.mask())
    if not outlines:
        return _box(found, picture)
    points = joined([each.corners for each in outlines]) / (picture.width, picture.height) * 100
    value = {
        "points": points.round(DECIMALS).tolist(),
        "closed": True,
        "polygonlabels": [found.label],
    }
    return {"from_name": "outline", "type": "polygonlabels", "value": value}


def _interface(labels: tuple[str, ...]) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    for tag, name in (("RectangleLabels", "box"), ("PolygonLabels", "outline")):
        choices = ElementTree.SubElement(view, tag, name=name, toName="image")
        for label in labels:
            ElementTree.SubElement(choices, "Label", value=label)
    ElementTree.SubElement(view, "TextArea", name="text", toName="image", editable="true")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
