"""A checkpoint -> a model of which the right parts learn; and what was learnt -> files.

This module knows the methods, not the data and not the steps.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from models.catalog.checkpoints import Checkpoint
from models.hub.adapter_config import MODULES
from models.loading.loader import CODEC_FILE, quantization, read_checked
from models.loading.precision import dtype_of, resolve_precision
from models.schema import UserError
from training.finetune.options import Options

# Where each part of the options is in the model.
PLACES = {
    "vision_tower": "model.vision_tower",
    "projector": "model.multi_modal_projector",
    "language_model": "model.language_model",
}


def prepare(
    options: Options, checkpoint: Checkpoint, folder: Path, device: torch.device
) -> nn.Module:
    """The checkpoint, whose files are in `folder`, as a model on `device`, with LoRA matrices where
    the method has them.

    Weights that learn are float32, all others in the precision of the options; with "qlora" the
    text model's are in 4 bits and computed with in that precision. UserError where nothing would
    learn or the precision cannot be had.
    """
    kept = "fp32" if options.method == "full" else options.precision
    dtype = dtype_of(resolve_precision(checkpoint, kept, device), device)
    precision = "nf4" if options.method == "qlora" else kept
    if precision == "nf4":
        resolve_precision(checkpoint, precision, device)  # whether it can be had
    model = read_checked(
        folder,
        checkpoint.name,
        dtype=dtype,
        device_map={"": device} if device.type == "cuda" or precision == "nf4" else None,
        quantization_config=quantization(precision, dtype),
    )
    _use_cache(model, False)
    if options.checkpointing:
        # Without re-entering, so that frozen inputs need no gradients of their own.
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if options.method == "full":
        for part in options.freeze:
            model.get_submodule(PLACES[part]).requires_grad_(False)
        return model
    model.requires_grad_(False)
    return get_peft_model(model, lora_config(options, model))


def lora_config(options: Options, model: nn.Module) -> LoraConfig:
    """LoRA on every linear layer of the parts that are not frozen, the head left out."""
    frozen = tuple(PLACES[part] + "." for part in options.freeze)
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in MODULES
    ]
    chosen = [name for name in layers if not name.startswith(frozen)]
    if not chosen:
        raise UserError("No layer is left to learn.", "Freeze fewer parts.")
    names = sorted({name.rsplit(".", 1)[-1] for name in layers})
    return LoraConfig(
        r=options.rank,
        # PEFT only divides it by the rank: a fraction is as good as the integer of its types.
        lora_alpha=options.alpha,  # type: ignore[arg-type]
        lora_dropout=options.dropout,
        # Whole names where a part is frozen: the towers' layers are called alike.
        target_modules=chosen if frozen else names,
        task_type="CAUSAL_LM",
    )


def counts(model: nn.Module) -> tuple[int, int]:
    """How many parameters learn, and how many there are; of 4-bit ones as they were before."""
    learn = total = 0
    for parameter in model.parameters():
        count = getattr(parameter, "quant_state", None)
        size = count.shape.numel() if count is not None else parameter.numel()
        total += size
        learn += size if parameter.requires_grad else 0
    return learn, total


def save(
    model: nn.Module,
    processor: PaliGemmaProcessor,
    checkpoint: Checkpoint,
    codec: Path | None,
    out: Path,
) -> None:
    """Write an adapter of a checkpoint, or a whole one with its processor and mask codec, to `out`.

    `codec` None, as the published checkpoints have it, writes none.
    """
    if isinstance(model, PeftModel):
        # PEFT puts the folder there that the base was read from, which is nobody else's.
        base = checkpoint.hub_id or checkpoint.name
        model.peft_config["default"].base_model_name_or_path = base
        # False: it would ask the Hub whether the vocabulary was changed.
        model.save_pretrained(str(out), safe_serialization=True, save_embedding_layers=False)
        (out / "README.md").unlink(missing_ok=True)  # PEFT's template; the card is written after
        return
    assert isinstance(model, PaliGemmaForConditionalGeneration)
    _save_whole(model, processor, codec, out)


def merge(
    adapter: Path, processor: PaliGemmaProcessor, base: Path, codec: Path | None, out: Path
) -> None:
    """Write `base` with an adapter added to its weights, in the format that the base is kept in.

    The base is read again in that format, since adding to 4-bit weights would round the sum.
    """
    model = PaliGemmaForConditionalGeneration.from_pretrained(
        base, dtype="auto", use_safetensors=True, local_files_only=True
    )
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    _save_whole(merged, processor, codec, out)


def _use_cache(model: PaliGemmaForConditionalGeneration, use: bool) -> None:
    for config in (model.config, model.config.get_text_config()):  # each part reads its own
        config.use_cache = use


def _save_whole(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    codec: Path | None,
    out: Path,
) -> None:
    _use_cache(model, True)
    model.save_pretrained(out, max_shard_size="5GB")
    processor.save_pretrained(out)
    if codec is not None and codec.name == CODEC_FILE:
        shutil.copyfile(codec, out / CODEC_FILE)
