"""Random weights in the true shape and layout of a published checkpoint, to load and measure.

    python -m evaluation.speed.true_shape --like 3b-pt-224 --out build/true-shape/3b-random

Files and tensor names are those of the published repositories: numbered safetensors shards with an
index, `config.json`, and a processor. Only the numbers mean nothing, and the tokenizer is nano's,
whose ids are all below the published vocabulary.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO, NANO_CODEC, Checkpoint
from models.loading.loader import CODEC_FILE, local_folder
from training.configuration import configuration

SHARD_BYTES = 2_000_000_000
# Where transformers keeps a tensor -> how the published files call it.
PUBLISHED_NAMES = (
    ("model.language_model.", "language_model.model."),
    ("model.vision_tower.", "vision_tower.vision_model."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
)


def published_name(name: str) -> str:
    """The name that a tensor has in the published files."""
    for prefix, published in PUBLISHED_NAMES:
        if name.startswith(prefix):
            return published + name.removeprefix(prefix)
    return name


def build(checkpoint: Checkpoint, out: Path) -> None:
    """Writes the folder; about as many bytes as the published one has."""
    out.mkdir(parents=True, exist_ok=True)
    nano = local_folder(NANO)
    processor = PaliGemmaProcessor.from_pretrained(nano)
    processor.image_processor.size = {
        "height": checkpoint.resolution,
        "width": checkpoint.resolution,
    }
    processor.image_processor.image_seq_length = checkpoint.image_tokens
    processor.image_seq_length = checkpoint.image_tokens
    processor.save_pretrained(out)
    vocabulary = processor.tokenizer.get_vocab()
    settings = configuration(checkpoint.shape, checkpoint.resolution, vocabulary)
    settings.dtype = torch.bfloat16
    settings.save_pretrained(out)
    shutil.copy(nano / "generation_config.json", out)
    shutil.copy(NANO_CODEC, out / CODEC_FILE)
    with torch.device("meta"):
        model = PaliGemmaForConditionalGeneration(settings)
    shapes = {name: tuple(each.shape) for name, each in model.named_parameters()}
    shards = list(_shards(shapes))
    where: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {published_name(name): _random(name, shapes[name]) for name in names}
        save_file(tensors, out / file, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file)
    total = 2 * sum(torch.Size(shape).numel() for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), "utf-8")


def _shards(shapes: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        grown = 2 * torch.Size(shape).numel()
        if names and size + grown > SHARD_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
        size += grown
    yield names


def _random(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """bfloat16 of a size that keeps activations finite; norms and biases do nothing."""
    if len(shape) == 1:
        is_scale = name.endswith("weight") and "vision_tower" in name
        return torch.full(shape, float(is_scale), dtype=torch.bfloat16)
    return torch.empty(shape, dtype=torch.bfloat16).normal_(0, shape[-1] ** -0.5)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--like", default="3b-pt-224", help="a catalog name")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    build(Catalog().find(options.like), options.out)


if __name__ == "__main__":
    main()
