"""Whether a processor gives a checkpoint's model what it takes; tried before weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from transformers import PaliGemmaProcessor

from models.schema import UserError

_DEFAULT_SIDE, _DEFAULT_PATCH = 224, 16  # of transformers' SiglipVisionConfig
_DEFAULT_VOCABULARY = 256_000  # of its Gemma2Config
_COPY = "Copy the processor's files from the checkpoint it was made from."


def check_processor(processor: PaliGemmaProcessor, config: Mapping[str, Any], name: str) -> None:
    """UserError where a picture or a prompt becomes something that the model cannot take.

    `config` is the folder's config.json, `name` the checkpoint's in messages. A blank picture
    and a short prompt are tried, so that whatever the libraries raise is raised
    now.
    """
    vision, text = config.get("vision_config") or {}, config.get("text_config") or {}
    side = vision.get("image_size", _DEFAULT_SIDE)
    due = (side // vision.get("patch_size", _DEFAULT_PATCH)) ** 2
    blank = Image.new("RGB", (side, side))
    batch = processor(images=blank, text="<image>caption en", return_tensors="pt")
    height, width = batch["pixel_values"].shape[-2:]
    if (height, width) != (side, side):
        raise UserError(
            f"The processor of {name} makes pictures of {width} × {height} px, and its"
            f" weights are for {side} × {side}.",
            _COPY,
        )
    ids = batch["input_ids"][0]
    is_image = ids == processor.image_token_id
    found = int(is_image.sum())
    if found != due:
        raise UserError(
            f"The processor of {name} makes {found} tokens of a picture, and its weights {due}.",
            _COPY,
        )
    if int(ids[~is_image].max()) >= text.get("vocab_size", _DEFAULT_VOCABULARY):
        raise UserError(f"The tokenizer of {name} has tokens that its weights lack.", _COPY)
