"""The picture with what was found on it: masks, boxes with their labels, and a full screen.

Boxes are elements of the page and not pixels, so that lines and labels stay sharp at every size
and a row of the table can point at its box (`scripts/result.js`), also where the picture is zoomed
(`scripts/zoom.js`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from models.schema import Detection
from ui.pictures import MOST_DRAWN, at_viewing_size, mask_layer

MOST_LABELLED = 16  # objects whose labels always show; those of more would hide the picture
LABEL_ROOM = 0.07  # of the picture's height, which a label above a box takes

# Only Handlebars' {{…}}, which escapes: a label may be anything that somebody asked for.
TEMPLATE = """{{#if value}}
<figure class="found {{value.density}}">
  <div class="view" style="--ratio: {{value.ratio}}" tabindex="0" role="group"
    aria-label="{{value.summary}}. Plus and minus zoom, 0 shows all of it.">
  <div class="stage">
    <img class="base-image" src="{{value.image.url}}" alt="{{value.summary}}">
    {{#each value.annotations}}
    {{#if this.image}}
    <img class="mask" data-object="{{@index}}" src="{{this.image.url}}" alt="">
    {{/if}}
    {{/each}}
    {{#each value.annotations}}
    <div class="box {{this.anchor}} {{this.kind}}" data-object="{{@index}}"
      style="--mark: {{this.colour}}; left: {{this.left}}%; top: {{this.top}}%;
      width: {{this.width}}%; height: {{this.height}}%">
      <span class="box-label">{{this.label}}</span>
    </div>
    {{/each}}
  </div>
  </div>
  <div class="tools">
    <button type="button" data-zoom="out" aria-label="Zoom out" title="Zoom out">−</button>
    <button type="button" data-zoom="reset" title="Show all of it">100 %</button>
    <button type="button" data-zoom="in" aria-label="Zoom in" title="Zoom in">+</button>
    <button type="button" class="enlarge">Full screen</button>
  </div>
</figure>
{{/if}}"""


class FoundObject(GradioModel):
    """One object: its mask as an RGBA picture where it has one, and its box in percent."""

    image: FileData | None
    label: str
    colour: str
    left: float
    top: float
    width: float
    height: float
    anchor: str
    kind: str = ""  # a class of its box


class FoundData(GradioModel):
    """The picture and its objects; `ratio` is width by height."""

    image: FileData
    annotations: list[FoundObject]
    ratio: float
    summary: str
    density: str


class FoundPicture(gr.HTML):
    """Shows what `saved` made. Its files are written there, in the thread of the handler: Gradio
    would write them in the one that streams to all visitors."""

    data_model = FoundData

    @staticmethod
    def saved(
        image: Image.Image,
        detections: Sequence[Detection],
        labels: Sequence[str],
        colours: Sequence[str],
        kinds: Sequence[str] | None = None,
    ) -> FoundData:
        """The value for the first MOST_DRAWN detections, each with its label and colour, and with
        the class of its box where `kinds` are given."""
        shown = at_viewing_size(image)
        kinds = [""] * len(detections) if kinds is None else kinds
        drawn = list(zip(detections, labels, colours, kinds, strict=True))[:MOST_DRAWN]
        names = ", ".join(label for _, label, _, _ in drawn)
        return FoundData(
            image=_saved(shown, "webp"),
            annotations=[_found(shown.size, *each) for each in drawn],
            ratio=round(shown.width / shown.height, 4),
            summary=f"The picture with {names} marked" if names else "The picture",
            density="many" if len(drawn) > MOST_LABELLED else "few",
        )

    # What may be given follows from `data_model`: Gradio's own components differ in it likewise.
    def postprocess(self, value: Any) -> FoundData | None:  # type: ignore[override]
        """What `saved` gave, or nothing."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The schema of the value."""
        return self.data_model.model_json_schema()


def _found(
    size: tuple[int, int], detection: Detection, label: str, colour: str, kind: str
) -> FoundObject:
    box, mask = detection.box_yxyx_norm, detection.mask
    layer = None if mask is None else _saved(mask_layer(size, mask, colour), "png")
    across = "to-left" if box.x_min > 0.6 else "to-right"
    return FoundObject(
        image=layer,
        label=label,
        colour=colour,
        left=round(box.x_min * 100, 2),
        top=round(box.y_min * 100, 2),
        width=round((box.x_max - box.x_min) * 100, 2),
        height=round((box.y_max - box.y_min) * 100, 2),
        anchor=f"{across} {'inside' if box.y_min < LABEL_ROOM else 'above'}",
        kind=kind,
    )


def _saved(picture: Image.Image, format: str) -> FileData:
    path = save_pil_to_cache(picture, cache_dir=get_upload_folder(), format=format)
    return FileData(path=path)
