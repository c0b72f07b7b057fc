"""First stage: the vision tower and the projector learn to see, patch by patch."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PaliGemmaForConditionalGeneration

from training.nano import dense
from training.nano.data import pixels_of
from training.nano.scenes import Scene


def make(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """Pixels and dense targets of a batch, each with a leading batch dimension."""
    wanted = [dense.targets(scene) for scene in scenes]
    batch = {key: torch.from_numpy(np.stack([w[key] for w in wanted])) for key in wanted[0]}
    batch["pixels"] = torch.from_numpy(np.stack([pixels_of(scene) for scene in scenes]))
    return batch


def loss(
    model: PaliGemmaForConditionalGeneration, heads: dense.Heads, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, float]]:
    """Dense loss of a batch and what to log."""
    device = model.device
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16):
        features = model.get_image_features(batch["pixels"]).pooler_output
        logits = heads(features, model.model.language_model.embed_tokens.weight)
    return dense.loss(logits, batch)
