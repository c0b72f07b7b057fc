"""From an answer's text to its objects on the picture: boxes in pixels and masks in full size."""

from __future__ import annotations

import torch

from models.masks.codec import MaskCodec, paste
from models.prompts.tokens import parse_detections
from models.schema import Detection

MASK_BYTES = 512_000_000  # of masks in one result; those beyond it come as boxes only


def detect(
    text: str, codec: MaskCodec, width: int, height: int
) -> tuple[tuple[Detection, ...], int]:
    """The objects of an answer on a picture of that size, and how many made no sense.

    Masks are full size; once they take MASK_BYTES, further objects come without.
    """
    parsed = parse_detections(text)
    with_mask = [index for index, each in enumerate(parsed.objects) if each.codes]
    with_mask = with_mask[: max(1, MASK_BYTES // (width * height))]
    masks = {}
    if with_mask:
        codes = torch.tensor([parsed.objects[index].codes for index in with_mask])
        masks = dict(zip(with_mask, codec.decode(codes), strict=True))
    found = []
    for index, each in enumerate(parsed.objects):
        box = each.box.to_xyxy_px(width, height)
        mask = paste(masks[index], box, width, height) if index in masks else None
        found.append(Detection(each.label, each.box, box, mask))
    return tuple(found), parsed.invalid
