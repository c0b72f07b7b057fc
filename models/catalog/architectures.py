"""The shapes of the models: layers and widths, from which parameters and memory follow.

This module knows neither torch nor a checkpoint. The numbers of the real sizes are those of the
`config.json` of the published checkpoints; the formulas count what transformers builds from one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A Gemma 2 decoder with tied embeddings; `head_dim` is that of queries, keys and values.

    Attention logits are divided by the root of `query_scalar`; `context` is how many tokens a
    sequence may have (`max_position_embeddings`).
    """

    layers: int
    width: int
    mlp: int
    heads: int
    key_heads: int
    head_dim: int
    query_scalar: int
    vocabulary: int
    context: int = 8192

    @property
    def linear_parameters(self) -> int:
        """Of the layers' linear modules, the head not among them: what 8-bit and 4-bit shrink."""
        attention = 2 * (self.heads + self.key_heads) * self.head_dim * self.width
        return self.layers * (attention + 3 * self.width * self.mlp)

    @property
    def parameters(self) -> int:
        """All, with four norms a layer and one at the end."""
        norms = (4 * self.layers + 1) * self.width
        return self.linear_parameters + self.vocabulary * self.width + norms

    @property
    def cache_values(self) -> int:
        """Numbers that one token keeps in the KV cache."""
        return 2 * self.layers * self.key_heads * self.head_dim


@dataclass(frozen=True)
class Vision:
    """A SigLIP tower without a pooling head; `patch` is the side of a patch in pixels."""

    layers: int
    width: int
    mlp: int
    heads: int
    patch: int

    def tokens(self, resolution: int) -> int:
        """Patches of a square picture of `resolution` pixels."""
        return (resolution // self.patch) ** 2

    def parameters(self, resolution: int) -> int:
        """All, biases and the position embeddings of a resolution among them."""
        attention = 4 * (self.width**2 + self.width)
        mlp = 2 * self.width * self.mlp + self.mlp + self.width
        norms = 4 * self.width
        patches = (3 * self.patch**2 + 1) * self.width
        positions = self.tokens(resolution) * self.width
        return self.layers * (attention + mlp + norms) + patches + positions + 2 * self.width


@dataclass(frozen=True)
class Shape:
    """A PaliGemma 2: the tower, a linear projector, and the decoder."""

    vision: Vision
    text: Text

    def parameters(self, resolution: int) -> int:
        """All parameters at a resolution in pixels."""
        projector = (self.vision.width + 1) * self.text.width
        return self.vision.parameters(resolution) + projector + self.text.parameters


_SO400M = Vision(layers=27, width=1152, mlp=4304, heads=16, patch=14)
_VOCABULARY = 257_152  # rows of the published embeddings; `<image>` is beyond them

SHAPES = {
    "nano": Shape(
        Vision(layers=6, width=256, mlp=1024, heads=4, patch=16),
        # Narrower heads than these cannot carry the four edges of a box.
        Text(5, 256, 1024, 4, 2, head_dim=128, query_scalar=128, vocabulary=9153, context=4096),
    ),
    "3B": Shape(_SO400M, Text(26, 2304, 9216, 8, 4, 256, 256, _VOCABULARY)),
    "10B": Shape(_SO400M, Text(42, 3584, 14336, 16, 8, 256, 256, _VOCABULARY)),
    "28B": Shape(_SO400M, Text(46, 4608, 36864, 32, 16, 128, 144, _VOCABULARY)),
}
