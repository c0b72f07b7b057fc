"""A part of the picture: a box that is drawn on it, and asking about the cut-out alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder

from models.images import OpenedImage
from models.schema import Box, UserError
from ui import markup
from ui.components import SafeImage, usable
from ui.downloads import whole_pixels
from ui.events import AT_ONCE, PRIVATE, SCRIPTED, call

CUT_AT_ONCE = 2  # each holds a picture in memory
Edge = float | UserError | None  # as a number field hands it on; an empty one is 0


@dataclass(frozen=True)
class Part:
    """What stands below the picture: `cut` shows where there is a box, `whole` after a cut."""

    mark: gr.Checkbox
    cut: gr.Button
    whole: gr.Button


def part_controls() -> Part:
    """Within a line; `scripts/part.js` lets the box be drawn and says which of them show."""
    mark = gr.Checkbox(
        False, label="Mark a part", container=False, elem_id="mark", min_width=0, scale=0
    )
    cut = gr.Button("Ask about this part only", size="sm", elem_id="cut", min_width=0, scale=0)
    whole = gr.Button("Back to the whole picture", size="sm", elem_id="whole", min_width=0, scale=0)
    return Part(mark, cut, whole)


def percent_box(left: Edge, top: Edge, right: Edge, bottom: Edge) -> Box:
    """A box given in percent of the picture; UserError where it has no area or leaves it, or where
    an edge is one."""
    edges = [float(usable(edge) or 0) / 100 for edge in (left, top, right, bottom)]
    x_min, y_min, x_max, y_max = edges
    if not (0 <= x_min < x_max <= 1 and 0 <= y_min < y_max <= 1):
        raise UserError(
            "The box has no area inside the picture.",
            "Left must be less than right and top less than bottom, all from 0 to 100.",
        )
    return Box(y_min=y_min, x_min=x_min, y_max=y_max, x_max=x_max)


def cut_out(
    image: OpenedImage | UserError | None, left: Edge, top: Edge, right: Edge, bottom: Edge
) -> tuple[Any, str, Any]:
    """(The file of the part in the box, the note on the picture, whether a part is marked).

    Without a picture or a box the note says what is missing and nothing else changes.
    """
    try:
        if isinstance(image, UserError):
            raise image
        if image is None:
            raise UserError("There is no picture yet.", "Upload, paste or take one first.")
        box = percent_box(left, top, right, bottom).to_xyxy_px(*image.image.size)
    except UserError as error:
        return gr.skip(), markup.notice(str(error), "error"), gr.skip()
    part = image.image.crop(whole_pixels(box, image.image.size))
    return save_pil_to_cache(part, get_upload_folder(), format="png"), "", False


def wire_part(part: Part, image: SafeImage, image_note: gr.HTML, box: Sequence[gr.Number]) -> None:
    """The cut-out becomes the picture, and the browser keeps what it was cut from."""
    part.cut.click(
        fn=cut_out,
        js=call("keepWhole"),
        inputs=[image, *box],
        outputs=[image, image_note, part.mark],
        concurrency_limit=CUT_AT_ONCE,
        concurrency_id="cut",
        **PRIVATE,
    ).success(fn=None, js=call("showPart"), inputs=image, **SCRIPTED)
    part.whole.click(fn=None, js=call("wholePicture"), outputs=image, **SCRIPTED)
    part.whole.click(fn=lambda: "", outputs=image_note, **AT_ONCE)
