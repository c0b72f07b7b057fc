"""Whether the engine's logits are those of transformers, on weights of the true shape.

    python -m evaluation.speed.true_shape --like 3b-pt-224 --out build/true-shape/3b-random
    python -m evaluation.speed.agreement --precision fp32 \\
        --folder build/true-shape/3b-random=3b-pt-224

One picture and prompt per checkpoint. Both use the same loaded weights; `generate` writes, and the
engine's decoder reads the same tokens. Random weights make the likeliest tokens nearly equal, so
equal tokens ask for more here than they would of trained ones.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch

from data import documents
from evaluation.report.tables import table
from evaluation.speed import memory
from evaluation.speed.stopwatch import stopwatch
from models.catalog.catalog import Catalog
from models.engine.inputs import pixel_values, prefix_ids, prepare
from models.layers.decoder import Decoder
from models.layers.vision import VisionTower
from models.loading.device import best_device
from models.loading.loader import LoadedModel, Loader
from models.loading.precision import resolve
from training.nano.scenes.scene import HELD_OUT, draw

PROMPT = "caption en"


@torch.inference_mode()
def compare(loaded: LoadedModel, resolution: int, tokens: int) -> dict[str, float]:
    """How far apart the logits of `tokens` tokens are, and how many of them both choose."""
    image = draw(HELD_OUT, resolution).image
    inputs = prepare(loaded, image, PROMPT)
    seconds = stopwatch()
    model: Any = loaded.model  # its `generate` is typed for other arguments than it takes
    written = model.generate(
        **inputs,
        max_new_tokens=tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    plain_s = seconds()
    theirs = torch.cat(written.logits).float()  # (tokens, vocabulary)
    prefix = prefix_ids(loaded, PROMPT)
    ids = written.sequences[0, len(prefix) :].tolist()
    seconds = stopwatch()
    decoder = Decoder(loaded.model, slots=1, length=len(prefix) + tokens)
    *_, features = VisionTower(loaded.model).encode(pixel_values(loaded, image))
    assert features is not None  # they come last
    embedded = decoder.embed(prefix, loaded.processor.image_token_id, features[0])
    *_, first = decoder.prefill([embedded], [0])
    assert first is not None  # the logits come last
    found = [first]
    for number, token_id in enumerate(ids[:-1]):
        found.append(decoder.step([token_id], [0], [len(prefix) + number]))
    ours = torch.cat(found).float()
    return {
        "spread": theirs.std().item(),
        "largest": (ours - theirs).abs().max().item(),
        "mean": (ours - theirs).abs().mean().item(),
        "chosen": (ours.argmax(-1) == theirs.argmax(-1)).sum().item(),
        "ours_s": seconds(),
        "plain_s": plain_s,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", nargs="+", required=True, help="FOLDER=LIKE, of true_shape")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--tokens", type=int, default=4)
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    _, checkpoints = memory.with_folders(Catalog.from_environment(os.environ), options.folder)
    rows = []
    for checkpoint in checkpoints:
        device = best_device()
        loaded = Loader(device).load(resolve(checkpoint, options.precision, device))
        each = compare(loaded, checkpoint.resolution, options.tokens)
        del loaded
        rows.append(
            (
                checkpoint.name,
                options.precision,
                f"{each['spread']:.3f}",
                f"{each['largest']:.2g}",
                f"{each['mean']:.2g}",
                f"{each['chosen']:.0f} of {options.tokens}",
                f"{each['ours_s']:.0f}",
                f"{each['plain_s']:.0f}",
            )
        )
    head = (
        "checkpoint", "precision", "spread of logits", "largest difference", "mean difference",
        "same choice", "ours, s", "plain, s",
    )  # fmt: skip
    found = table(head, rows, markdown=True)
    print(found)
    for document in options.write:
        documents.write(document, {"agreement": found})


if __name__ == "__main__":
    main()
