"""The picture with what was found on it, drawn into its pixels; the page's own is of elements."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from models.schema import Detection
from ui.pictures import at_viewing_size, mask_layer
from ui.theme import FONTS

FONT = FONTS / "hanken-grotesk-latin-wght-normal.woff2"
WEIGHT = 650
LABEL_SHARE, SMALLEST_LABEL_PX = 1 / 45, 15  # of the picture's longer side
PLATE, INK = "#14211d", "#ffffff"  # as on the page


def annotated(
    image: Image.Image,
    detections: Sequence[Detection],
    labels: Sequence[str],
    colours: Sequence[str],
) -> Image.Image:
    """RGB at the size to look at (`at_viewing_size`), with masks, boxes and labels.

    A label that the font has no letters for is drawn as the object's number, from 1.
    """
    drawn = at_viewing_size(image).convert("RGBA")
    for detection, colour in zip(detections, colours, strict=True):
        if detection.mask is not None:
            drawn.alpha_composite(mask_layer(drawn.size, detection.mask, colour))
    pen = ImageDraw.Draw(drawn)
    height_px = max(SMALLEST_LABEL_PX, round(max(drawn.size) * LABEL_SHARE))
    font = ImageFont.truetype(str(FONT), height_px)
    font.set_variation_by_axes([WEIGHT])
    line = max(3, height_px // 6)
    boxes = [each.box_yxyx_norm.to_xyxy_px(*drawn.size) for each in detections]
    for (left, top, right, bottom), colour in zip(boxes, colours, strict=True):
        inner = (left, top, max(left, right - 1), max(top, bottom - 1))
        # Dark around the colour, as the picture below may be of any.
        pen.rectangle(_grown(inner, 1), outline="#000000", width=line + 2)
        pen.rectangle(inner, outline=colour, width=line)
    for index, (box, label, colour) in enumerate(zip(boxes, labels, colours, strict=True), start=1):
        has_letters = all(ord(letter) < 256 for letter in label)
        _put_label(pen, font, box, label if has_letters else str(index), colour)
    return drawn.convert("RGB")


def _grown(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left - by, top - by, right + by, bottom + by


def _put_label(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    box: tuple[float, float, float, float],
    label: str,
    colour: str,
) -> None:
    """A plate above the box, or inside it where there is no room; never outside the picture."""
    width, height = pen.im.size
    room = round(font.size * 0.35)
    plate_width = font.getlength(label) + 3 * room
    plate_height = font.size + room
    left = max(0, min(box[0], width - plate_width))
    top = box[1] - plate_height if box[1] >= plate_height else box[1]
    top = max(0, min(top, height - plate_height))
    pen.rectangle((left, top, left + plate_width, top + plate_height), fill=PLATE)
    pen.rectangle((left, top, left + room * 0.6, top + plate_height), fill=colour)
    pen.text((left + 1.5 * room, top + plate_height / 2), label, fill=INK, font=font, anchor="lm")
