"""First stage: the vision tower and the projector learn to see, patch by patch."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PaliGemmaForConditionalGeneration

from training.autocast import bf16_autocast
from training.nano.codec.codes import SceneCodes
from training.nano.scenes.scene import Scene
from training.nano.stages import dense
from training.nano.stages.batches import pixels_of


class Maker:
    """Shapes scenes for this stage; picklable, so that workers can hold it."""

    def __init__(self, codec_path: str):
        self.codes_of = SceneCodes(codec_path)

    def __call__(self, scenes: list[Scene]) -> dict[str, torch.Tensor]:
        """A batch: see `make`."""
        return make(scenes, [self.codes_of(scene) for scene in scenes])


def make(scenes: list[Scene], codes: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """Pixels and dense targets of a batch, each with a leading batch dimension."""
    wanted = [dense.targets(scene, of) for scene, of in zip(scenes, codes, strict=True)]
    batch = {key: torch.from_numpy(np.stack([w[key] for w in wanted])) for key in wanted[0]}
    batch["pixels"] = torch.from_numpy(np.stack([pixels_of(scene) for scene in scenes]))
    return batch


def loss(
    model: PaliGemmaForConditionalGeneration,
    heads: dense.Heads,
    batch: dict[str, torch.Tensor],
    bells: torch.Tensor,
    frozen: bool = False,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Dense loss of a batch and what to log; where `frozen`, only the heads learn."""
    device = model.device
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    with bf16_autocast(device):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            features = model.get_image_features(batch["pixels"]).pooler_output
        logits = heads(features, model.model.language_model.embed_tokens.weight)
    return dense.loss(logits, batch, bells)
