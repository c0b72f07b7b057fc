"""From an answer's text to its objects on the picture: boxes in pixels and masks in full size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from models.masks import repeats
from models.masks.codec import MaskCodec, paste
from models.prompts.confidence import confidence
from models.prompts.tokens import parse_detections
from models.schema import Detection, TokenScore, UserError

MASK_BYTES = 512_000_000  # of masks in one result; those beyond it come as boxes only


def detect_or_note(
    text: str,
    get_codec: Callable[[], MaskCodec],
    width: int,
    height: int,
    scores: Sequence[TokenScore] = (),
) -> tuple[tuple[Detection, ...], int, tuple[str, ...]]:
    """As `detect`, with a codec that is asked for only where the text has masks, and notes.

    Where `get_codec` raises UserError, the objects come without masks and a note says why. Another
    says how many objects repeat others.
    """
    codec: MaskCodec | None = None
    notes: tuple[str, ...] = ()
    if any(each.codes for each in parse_detections(text).objects):
        try:
            codec = get_codec()
        except UserError as error:
            notes = (f"Masks are missing: {error}",)
    found, invalid = detect(text, codec, width, height, scores)
    return found, invalid, (*notes, *repeats.note(found))


def detect(
    text: str,
    codec: MaskCodec | None,
    width: int,
    height: int,
    scores: Sequence[TokenScore] = (),
) -> tuple[tuple[Detection, ...], int]:
    """The objects of an answer on a picture of that size, and how many made no sense.

    Masks are full size; once they take MASK_BYTES, further objects come without. Without a codec
    all do. `scores` are of the tokens of `text`; without them no object has a confidence.
    """
    parsed = parse_detections(text)
    with_mask = [index for index, each in enumerate(parsed.objects) if each.codes and codec]
    with_mask = with_mask[: max(1, MASK_BYTES // (width * height))]
    masks = {}
    if with_mask and codec:
        codes = torch.tensor([parsed.objects[index].codes for index in with_mask])
        masks = dict(zip(with_mask, codec.decode(codes), strict=True))
    found = []
    for index, each in enumerate(parsed.objects):
        box = each.box.to_xyxy_px(width, height)
        mask = paste(masks[index], box, width, height) if index in masks else None
        sure = confidence(text, scores, each)
        found.append(Detection(each.label, each.box, box, mask, sure))
    return tuple(found), parsed.invalid
