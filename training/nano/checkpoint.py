"""A nano with all that trains: made new, taken from a checkpoint, and written as one.

A checkpoint is the folder that `from_pretrained` reads. The dense heads are kept apart, in the work
folder of the training that made them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoProcessor,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerBase,
)

from models.catalog.checkpoints import NANO
from models.loading.loader import CODEC_FILE, moved
from models.prompts.not_known import NOT_KNOWN, UNKNOWN
from training.nano import tokenizer
from training.nano.grow import grow
from training.nano.model import PATCH, config, new
from training.nano.scenes import sprites
from training.nano.scenes.scene import GROUNDS, LETTERS, draw
from training.nano.scenes.wide import WIDE
from training.nano.stages import dense, rows
from training.nano.stages.batches import pixels_of
from training.nano.tasks.empty import NOTHING
from training.nano.tasks.questions import examples, vocabulary
from training.nano.tasks.wordings import Asker

HEADS_FILE = "dense_heads.safetensors"  # in a work folder: only training reads it


@dataclass
class Nano:
    """Everything that trains, and what it needs to read text."""

    model: PaliGemmaForConditionalGeneration
    heads: dense.Heads
    processor: PaliGemmaProcessor

    def parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
        """Named parameters of the model and of the heads."""
        heads = [(f"heads.{n}", p) for n, p in self.heads.named_parameters()]
        return [*self.model.named_parameters(), *heads]


def corpus(scenes: int) -> list[str]:
    """Prompts and answers of `scenes` scenes, and every word there is."""
    texts = [*vocabulary(), *NOTHING.values(), *NOT_KNOWN.values(), UNKNOWN, *GROUNDS] * 8
    for seed in range(scenes):
        scene = draw(seed, world=WIDE) if seed % 4 == 0 else draw(seed)
        if scene.objects:
            rng = np.random.default_rng(seed)
            for example in examples(scene, rng, None, Asker(rng)):
                texts += [example.prefix, example.suffix]
    return [text for text in texts if "<loc" not in text]


def new_heads(pieces: PreTrainedTokenizerBase, ids: rows.Vocabulary) -> dense.Heads:
    """Fresh dense heads that read names, letters and colours with the tokens of `pieces`."""

    def tokens(text: str) -> list[int]:
        return pieces(text, add_special_tokens=False)["input_ids"]

    def letter(text: str) -> int:
        found = pieces.convert_tokens_to_ids(text)
        assert isinstance(found, int)  # a list is of a list
        return found

    return dense.Heads(
        [tokens(f" {noun.name}") for noun in sprites.nouns()],
        [letter(each) for each in LETTERS],
        [tokens(f" {colour}")[0] for colour in GROUNDS],
        list(ids.locations),
        list(ids.codes),
    )


def resume_from(
    folder: Path,
    resolution: int,
    renewed: Path | None,
    device: str,
    heads_file: Path | None = None,
) -> Nano:
    """An exported nano in float32, for pictures of `resolution` pixels.

    `renewed` is the folder of the processor that takes the place of its own; `heads_file` has the
    dense heads that it was trained with, and without one they begin anew.
    """
    old = AutoProcessor.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(renewed or folder)
    processor = tokenizer.processor(processor.tokenizer, resolution, PATCH)
    model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    heads = new_heads(processor.tokenizer, rows.Vocabulary.of(processor.tokenizer))
    if heads_file is not None:
        heads.load_state_dict(load_file(heads_file))
    return Nano(
        moved(grow(model, old, processor, resolution), device), heads.float().to(device), processor
    )


def make_processor(resolution: int, folder: Path, corpus_scenes: int) -> None:
    """A new tokenizer around the texts of scenes, unless `folder` holds one already."""
    if not folder.exists():
        made = tokenizer.processor(tokenizer.train(corpus(corpus_scenes)), resolution, PATCH)
        made.save_pretrained(folder)


def start(resolution: int, folder: Path, device: str) -> Nano:
    """A fresh nano around the processor in `folder`."""
    processor = AutoProcessor.from_pretrained(folder)
    ids = rows.Vocabulary.of(processor.tokenizer)
    pixels = torch.from_numpy(np.stack([pixels_of(draw(seed, resolution)) for seed in range(96)]))
    settings = config(resolution, processor.tokenizer.get_vocab())
    model = moved(new(settings, pixels, list(ids.locations)), device)
    return Nano(model, new_heads(processor.tokenizer, ids).to(device), processor)


def save_heads(nano: Nano, work: Path) -> Path:
    """Writes the dense heads into a work folder, for training that goes on; their file."""
    heads = {n: p.to(torch.bfloat16).contiguous() for n, p in nano.heads.state_dict().items()}
    save_file(heads, work / HEADS_FILE)
    return work / HEADS_FILE


def export(nano: Nano, out: Path, codec: Path) -> None:
    """The checkpoint as `from_pretrained` reads it: bf16 shards under 10 MB and the processor.

    And the mask codec that its codes are of, unless that is the one which all of nano share.
    """
    copy = PaliGemmaForConditionalGeneration(nano.model.config)
    copy.load_state_dict(nano.model.state_dict())
    copy.tie_weights()
    copy = moved(copy, torch.bfloat16).eval()
    copy.generation_config.update(
        max_new_tokens=128,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
        cache_implementation="dynamic",
    )
    aside = out.with_name(out.name + ".new")
    shutil.rmtree(aside, ignore_errors=True)
    copy.save_pretrained(aside, max_shard_size="9MB")
    nano.processor.save_pretrained(aside)
    _minify(aside / "tokenizer.json")
    if codec.resolve() != NANO.codec:
        shutil.copyfile(codec, aside / CODEC_FILE)
    # Whole or not at all: the old weights go when the new ones are written.
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("model*.safetensors*"):
        old.unlink()
    for file in aside.iterdir():
        file.chmod(0o644)
        file.replace(out / file.name)
    aside.rmdir()


def _minify(file: Path) -> None:
    """Writes a JSON file again without the spaces that take half of it."""
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")
