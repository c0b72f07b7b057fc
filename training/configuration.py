"""An architecture's `Shape` -> the configuration that transformers builds a PaliGemma 2 from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PaliGemmaConfig

from models.catalog.architectures import Shape


def configuration(
    shape: Shape, resolution: int, vocabulary: Mapping[str, int], **text: Any
) -> PaliGemmaConfig:
    """The family's soft-capping and prefix mask at `resolution` pixels.

    `vocabulary` has the ids of `<pad>`, `<bos>`, `<eos>` and `<image>`; `text` are further settings
    of the text model.
    """
    special: dict[str, Any] = {
        "pad_token_id": vocabulary["<pad>"],
        "bos_token_id": vocabulary["<bos>"],
        "eos_token_id": vocabulary["<eos>"],
    }
    return PaliGemmaConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": shape.vision.width,
            "intermediate_size": shape.vision.mlp,
            "num_hidden_layers": shape.vision.layers,
            "num_attention_heads": shape.vision.heads,
            "image_size": resolution,
            "patch_size": shape.vision.patch,
            "projection_dim": shape.text.width,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "gemma2",
            "vocab_size": shape.text.vocabulary,
            "hidden_size": shape.text.width,
            "intermediate_size": shape.text.mlp,
            "num_hidden_layers": shape.text.layers,
            "num_attention_heads": shape.text.heads,
            "num_key_value_heads": shape.text.key_heads,
            "head_dim": shape.text.head_dim,
            "query_pre_attn_scalar": shape.text.query_scalar,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "sliding_window": 4096,
            "num_image_tokens": shape.vision.tokens(resolution),
            **special,
            **text,
        },
        image_token_index=vocabulary["<image>"],
        projection_dim=shape.text.width,
        hidden_size=shape.text.width,
        tie_word_embeddings=True,
        **special,
    )
