"""Pictures and a prompt -> what a loaded model takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from models.loading.loader import LoadedModel


def prepare(
    loaded: LoadedModel,
    image: Image.Image,
    prompt: str,
    more_images: Sequence[Image.Image] = (),
) -> dict[str, torch.Tensor]:
    """The inputs of `generate` for a prompt and its pictures, `token_type_ids` among them.

    Without those the prefix mask would turn causal and the answer silently worse.
    """
    images = [image, *more_images]
    text = "<image>" * len(images) + prompt
    batch = loaded.processor(images=images, text=text, return_tensors="pt")
    inputs = {
        name: batch[name].to(loaded.device)
        for name in ("input_ids", "attention_mask", "token_type_ids", "pixel_values")
    }
    inputs["pixel_values"] = inputs["pixel_values"].to(loaded.dtype)
    return inputs


def prefix_ids(loaded: LoadedModel, prompt: str, images: int = 1) -> torch.Tensor:
    """int64[tokens]: the places of `images` pictures, BOS, prompt and newline, as the processor has
    it."""
    tokenizer, processor = loaded.processor.tokenizer, loaded.processor
    text = tokenizer(f"{tokenizer.bos_token}{prompt}\n", add_special_tokens=False)["input_ids"]
    ids = [processor.image_token_id] * (processor.image_seq_length * images) + text
    return torch.tensor(ids, device=loaded.device)


def pixel_values(loaded: LoadedModel, image: Image.Image) -> torch.Tensor:
    """(1, 3, height, width) in the model's format."""
    pixels = loaded.processor.image_processor(image, return_tensors="pt")["pixel_values"]
    return pixels.to(loaded.device, loaded.dtype)


def eos_ids(loaded: LoadedModel) -> set[int]:
    """The tokens that end an answer."""
    configured = loaded.model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {each for each in (*ids, loaded.processor.tokenizer.eos_token_id) if each is not None}
