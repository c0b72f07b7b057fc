"""A trained nano for another tokenizer or resolution, with what it has learned.

Every piece that the old tokenizer has keeps its embedding, a new one starts as the old pieces of
its text. Positions are interpolated, as the real family does between its stages.
"""

from __future__ import annotations

import torch
from torch.nn import functional
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from training.nano.model import PATCH, WIDTH, config

_POSITIONS = "embeddings.position_embedding.weight"
_POSITION_IDS = "embeddings.position_ids"
_TABLES = ("embed_tokens.weight", "lm_head.weight")


def grow(
    model: PaliGemmaForConditionalGeneration,
    old: PaliGemmaProcessor,
    new: PaliGemmaProcessor,
    resolution: int,
) -> PaliGemmaForConditionalGeneration:
    """`model`, whose processor is `old`, for `new` and pictures of `resolution` pixels a side."""
    grown = PaliGemmaForConditionalGeneration(config(resolution, new.tokenizer.get_vocab())).float()
    state = model.state_dict()
    for name, tensor in grown.state_dict().items():
        if name.endswith(_TABLES):
            state[name] = _table(state[name].float(), old, new)
        elif name.endswith(_POSITIONS):
            state[name] = _positions(state[name].float(), resolution // PATCH)
        elif name.endswith(_POSITION_IDS):
            state[name] = tensor
    grown.load_state_dict(state)
    grown.tie_weights()
    return grown


def _table(table: torch.Tensor, old: PaliGemmaProcessor, new: PaliGemmaProcessor) -> torch.Tensor:
    """float32[tokens, WIDTH] of the new tokenizer from that of the old one."""
    known, wanted = old.tokenizer.get_vocab(), new.tokenizer.get_vocab()
    generator = torch.Generator().manual_seed(0)
    grown = torch.randn(len(wanted), WIDTH, generator=generator) * WIDTH**-0.5
    for piece, number in wanted.items():
        if piece in known:
            grown[number] = table[known[piece]]
            continue
        text = piece.replace("▁", " ")
        pieces = old.tokenizer(text, add_special_tokens=False)["input_ids"]
        if pieces:
            grown[number] = table[pieces].mean(0) * len(pieces) ** 0.5
    return grown


def _positions(table: torch.Tensor, side: int) -> torch.Tensor:
    """float32[side², width] from that of another number of patches, in raster order."""
    before = round(len(table) ** 0.5)
    if before == side:
        return table
    grid = table.view(1, before, before, -1).permute(0, 3, 1, 2)  # (1, width, y, x)
    grid = functional.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(side * side, -1)
