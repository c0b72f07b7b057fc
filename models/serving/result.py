"""The end of an answer on an engine -> its Result: objects, masks and timings."""

from __future__ import annotations

from models.engine.sequence import Finished
from models.loading.loader import LoadedModel
from models.masks.detections import detect_or_note
from models.schema import Request, Result, Timings


def to_result(
    loaded: LoadedModel, request: Request, end: Finished, load_s: float, wait_s: float = 0.0
) -> Result:
    """The whole answer to a request; `load_s` and `wait_s` as `Timings` has them."""
    size = request.full_size or request.image.size
    detections, invalid, notes = detect_or_note(end.text, loaded.lazy_codec.get, *size, end.scores)
    return Result(
        text=end.text,
        prompt=request.prompt,
        checkpoint=request.checkpoint,
        adapter=request.adapter,
        detections=detections,
        invalid_objects=invalid,
        timings=Timings(load_s, end.first_token_s, end.decode_s, end.tokens, wait_s),
        finish_reason=end.finish_reason,
        notes=(*end.notes, *notes),
        token_ids=end.token_ids,
        prompt_tokens=end.prompt_tokens,
    )
