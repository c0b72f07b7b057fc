"""The shape of nano, a new one with good first weights, and the optimizer that trains it.

First weights matter when minutes are few: patches start as their principal components, positions as
waves, attention as near-identity maps (Trockman & Kolter 2023, arXiv 2305.09828), and the
`<loc>` embeddings as waves over their coordinate, so that near coordinates start alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration
from transformers.models.siglip.modeling_siglip import SiglipAttention

from models.catalog.architectures import SHAPES
from training.configuration import configuration
from training.nano.muon import muon

SHAPE = SHAPES["nano"]
PATCH, WIDTH = SHAPE.vision.patch, SHAPE.text.width
ROPE_THETA = 1e6  # slow enough for a token to find a patch that is 400 places away
GAIN_RATE = 10.0
BRANCH = 0.6  # first gain of what a layer of the text model adds to the residual stream


def config(resolution: int, vocabulary: dict[str, int]) -> PaliGemmaConfig:
    """nano at `resolution` pixels with the tokens of `vocabulary`."""
    shape = replace(SHAPE, text=replace(SHAPE.text, vocabulary=len(vocabulary)))
    return configuration(
        shape,
        resolution,
        vocabulary,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        max_position_embeddings=4096,
    )


def _waves(values: torch.Tensor, width: int, shortest: float, longest: float) -> torch.Tensor:
    """Sines and cosines of `values` (N,) at `width`/2 wavelengths: (N, width), unit variance."""
    lengths = torch.logspace(np.log10(shortest), np.log10(longest), width // 2, dtype=torch.float64)
    phase = 2 * torch.pi * values.double()[:, None] / lengths
    return (torch.cat([phase.sin(), phase.cos()], 1) * 2**0.5).float()


def _init_patches(model: PaliGemmaForConditionalGeneration, pixels: torch.Tensor) -> None:
    """Patch embedding = whitened principal components of `pixels` (N, 3, H, W) in [-1, 1]."""
    patches = nn.functional.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    _, scale, basis = torch.pca_lowrank(patches - mean, q=WIDTH - 16, niter=4)
    spread = scale / len(patches) ** 0.5
    weight = basis / (spread + 0.15 * spread[8])
    embedding = vision_of(model).embeddings.patch_embedding
    with torch.no_grad():
        embedding.weight.normal_(0, 0.01)
        embedding.weight[: WIDTH - 16] = (0.5 * weight.T).reshape(WIDTH - 16, 3, PATCH, PATCH)
        embedding.bias.zero_()
        embedding.bias[: WIDTH - 16] = -(0.5 * weight.T) @ mean


def new(
    settings: PaliGemmaConfig, pixels: torch.Tensor, locations: list[int], seed: int = 0
) -> PaliGemmaForConditionalGeneration:
    """A fresh nano; `pixels` (N, 3, H, W) are sample scenes, `locations` the ids of `<loc0000>`…"""
    torch.manual_seed(seed)
    model = PaliGemmaForConditionalGeneration(settings).float()
    tower, text = vision_of(model), model.model.language_model
    side = resolution_of(settings) // PATCH
    with torch.no_grad():
        # 1. Positions: waves over rows in one half of the width, over columns in the other.
        axis = torch.arange(side)
        waves = _waves(axis, WIDTH // 2, 2.0, 4.0 * side)
        rows, columns = torch.meshgrid(axis, axis, indexing="ij")
        position = torch.cat([waves[rows.flatten()], waves[columns.flatten()]], 1)
        tower.embeddings.position_embedding.weight.copy_(0.5 * position)
        # 2. Linear maps: variance that keeps the scale.
        for module in model.modules():
            if isinstance(module, nn.Linear) and module is not model.lm_head:
                nn.init.normal_(module.weight, 0, 0.7 * module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in tower.encoder.layers:
            nn.init.normal_(layer.mlp.fc2.weight, 0, 0.3 * layer.mlp.fc2.in_features**-0.5)
            nn.init.normal_(layer.self_attn.out_proj.weight, 0, 0.3 * WIDTH**-0.5)
            _init_queries(layer.self_attn)
        # 3. Tokens: unit size after Gemma's scaling by the root of the width.
        table = text.embed_tokens.weight
        table.normal_(0, WIDTH**-0.5)
        steps = torch.arange(len(locations))
        mix = torch.randn(WIDTH, WIDTH) * WIDTH**-0.5
        table[locations] = 0.9 * (_waves(steps, WIDTH, 24.0, 4096.0) @ mix) * WIDTH**-0.5
        _init_patches(model, pixels)
        # 4. Text: branches start small, and one head of each group looks for tokens like its own.
        for layer in text.layers:
            layer.post_attention_layernorm.weight.fill_(BRANCH - 1)
            layer.post_feedforward_layernorm.weight.fill_(BRANCH - 1)
            attention = layer.self_attn
            groups = attention.q_proj.weight.view(
                SHAPE.text.key_heads, -1, SHAPE.text.head_dim, WIDTH
            )
            attention.k_proj.weight.copy_(groups[:, 0].reshape(-1, WIDTH))
    model.tie_weights()
    return model


def _init_queries(attention: SiglipAttention) -> None:
    """Keys start as a noisy copy of the queries, so that a patch first attends to its like."""
    with torch.no_grad():
        noise = torch.randn_like(attention.k_proj.weight) * 0.5 * WIDTH**-0.5
        attention.k_proj.weight.copy_(0.7 * attention.q_proj.weight + noise)


def resolution_of(settings: PaliGemmaConfig) -> int:
    """The side of the square picture in pixels."""
    vision: Any = settings.vision_config
    return vision.image_size


def vision_of(model: PaliGemmaForConditionalGeneration) -> Any:
    """The module of the vision tower that holds `embeddings` and `encoder`."""
    tower = model.model.vision_tower
    return getattr(tower, "vision_model", tower)


class Optimizers:
    """Muon for the matrices of the hidden layers, AdamW for everything else.

    The vision tower learns at `vision_share` of the rates. The gains of the text model's norms
    learn GAIN_RATE times as fast: they start small, and set how far a layer can overrule what
    stands in the residual stream.
    """

    def __init__(
        self,
        named: list[tuple[str, nn.Parameter]],
        rate: float,
        muon_rate: float,
        vision_share: float = 1.0,
    ):
        hidden: dict[float, list[nn.Parameter]] = {}
        rest: dict[float, list[nn.Parameter]] = {}
        for name, parameter in named:
            share = vision_share if ".vision_tower." in name else 1.0
            if parameter.ndim == 2 and ".layers." in name:
                hidden.setdefault(muon_rate * share, []).append(parameter)
            else:
                is_gain = ".language_model." in name and "norm" in name
                base = rate * share * (GAIN_RATE if is_gain else 1.0)
                rest.setdefault(base, []).append(parameter)

        def groups(by_rate: dict[float, list[nn.Parameter]]) -> list[dict]:
            return [{"params": p, "base": base, "lr": base} for base, p in by_rate.items()]

        self.parts = [
            torch.optim.AdamW(groups(rest), betas=(0.9, 0.98), weight_decay=0.0),
            muon(groups(hidden), weight_decay=0.01, ns_steps=4),
        ]

    def step(self, factor: float) -> None:
        """One update at `factor` of the base rates, then clears the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["base"] * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        """For resuming."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Resumes from `state_dict`, at the rates of this object."""
        bases = [[group["base"] for group in part.param_groups] for part in self.parts]
        for part, state, kept in zip(self.parts, states, bases, strict=True):
            part.load_state_dict(state)
            for group, base in zip(part.param_groups, kept, strict=True):
                group["base"] = base
