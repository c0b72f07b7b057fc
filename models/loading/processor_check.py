"""Whether a processor gives a checkpoint's model what it takes; tried before weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from transformers import PaliGemmaProcessor

from models.catalog.checkpoints import Checkpoint
from models.schema import UserError

_COPY = "Copy the processor's files from the checkpoint it was made from."


def check_processor(
    processor: PaliGemmaProcessor, checkpoint: Checkpoint, config: Mapping[str, Any]
) -> None:
    """UserError where a picture or a prompt becomes something that the model cannot take.

    `config` is the folder's config.json. A blank picture and a short prompt are tried, so that
    whatever the libraries raise is raised now.
    """
    side = checkpoint.resolution
    blank = Image.new("RGB", (side, side))
    batch = processor(images=blank, text="<image>caption en", return_tensors="pt")
    height, width = batch["pixel_values"].shape[-2:]
    if (height, width) != (side, side):
        raise UserError(
            f"The processor of {checkpoint.name} makes pictures of {width} × {height} px, and its"
            f" weights are for {side} × {side}.",
            _COPY,
        )
    ids = batch["input_ids"][0]
    is_image = ids == processor.image_token_id
    found = int(is_image.sum())
    if found != checkpoint.image_tokens:
        raise UserError(
            f"The processor of {checkpoint.name} makes {found} tokens of a picture, and its weights"
            f" {checkpoint.image_tokens}.",
            _COPY,
        )
    text = config.get("text_config") or {}
    if int(ids[~is_image].max()) >= text.get("vocab_size", checkpoint.shape.text.vocabulary):
        raise UserError(
            f"The tokenizer of {checkpoint.name} has tokens that its weights lack.", _COPY
        )
