"""SigLIP and the projector: pixels are encoded into image features, a layer at a time.

The layers' own modules do the linear algebra, as in `models.layers.decoder`. Between two layers
others may be served, and neither scores nor the MLP's wide rows are held for all tokens at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import PaliGemmaForConditionalGeneration

from models.layers.attention import attend
from models.layers.chunking import chunks, concatenate
from models.layers.onednn import linear_add, linear_gelu


class VisionTower:
    """The image side of a loaded model."""

    def __init__(self, model: PaliGemmaForConditionalGeneration):
        # torch types the parts of modules as Tensor | Module.
        self._vision: Any = model.model.vision_tower
        self._projector: Any = model.model.multi_modal_projector

    def encode(self, pixels: torch.Tensor) -> Iterator[torch.Tensor | None]:
        """(n, 3, height, width) -> (n, image tokens, the decoder's width), after a None per layer.

        Each picture's features are what it gives alone.
        """
        # 1. Patches and their positions.
        embedded = self._vision.embeddings(pixels)
        pictures, tokens, _ = embedded.shape
        states = embedded.flatten(0, 1)  # (n · tokens, width)
        for layer in self._vision.encoder.layers:
            attention = layer.self_attn
            states = states.to(layer.layer_norm1.weight.device)  # large models may be spread
            # 2. Queries, keys and values.
            parts = [self._queries_keys_values(layer, part) for (part,) in chunks(states)]
            query, key, value = (
                concatenate(each, 0).view(pictures, tokens, -1, attention.head_dim).transpose(1, 2)
                for each in zip(*parts, strict=True)
            )  # (n, heads, tokens, head_dim)
            # 3. Every patch sees every patch of its picture.
            mixed = attend(query, key, value, attention.scale, softcap=None)
            flat = mixed.transpose(1, 2).reshape(states.shape)
            # 4. The rest of the layer.
            states = concatenate(
                [self._attention_output_and_mlp(layer, *part) for part in chunks(states, flat)], 0
            )
            yield None
        # 5. Into the width of the decoder.
        states = states.to(self._vision.post_layernorm.weight.device)
        normed = self._vision.post_layernorm(states)
        normed = normed.to(self._projector.linear.weight.device)
        yield self._projector(normed.view(pictures, tokens, -1))

    def _queries_keys_values(self, layer: Any, states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(tokens, width) -> query, key and value, each (tokens, width)."""
        normed, attention = layer.layer_norm1(states), layer.self_attn
        return attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)

    def _attention_output_and_mlp(
        self, layer: Any, states: torch.Tensor, flat: torch.Tensor
    ) -> torch.Tensor:
        """(tokens, width), and what attention gave for them, of the same shape."""
        states = linear_add(layer.self_attn.out_proj, flat, states)
        wide = linear_gelu(layer.mlp.fc1, layer.layer_norm2(states))  # (tokens, mlp)
        return linear_add(layer.mlp.fc2, wide, states)
