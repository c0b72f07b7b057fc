"""A checkpoint of the catalog -> a LoadedModel, ready to answer.

This module knows where weights come from, not who uses them: it keeps nothing.
"""

from __future__ import annotations

import ctypes
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BitsAndBytesConfig, PaliGemmaForConditionalGeneration, PaliGemmaProcessor

from models.catalog import folder_architecture, memory
from models.catalog.checkpoints import BUILT_IN, Checkpoint
from models.catalog.model_key import ModelKey
from models.hub import download
from models.layers.onednn import use_onednn
from models.loading.checkpoint_files import (
    check_files,
    check_loaded,
    explained,
    read_config,
    saved_precision,
)
from models.loading.device import best_device, needs_several_gpus, on_zero_gpu
from models.loading.device_map import free_gpu_bytes, split
from models.loading.precision import QUANTIZED, check_saved_precision, dtype_of
from models.loading.processor_check import check_processor
from models.masks.codec import MaskCodec
from models.masks.lazy_codec import LazyCodec
from models.schema import Status, StatusEvent, UserError

CODEC_FILE = "mask_codec.safetensors"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A checkpoint's model with its processor and mask codec.

    The model is in evaluation mode on `device` in `dtype`. `codec` is read from its file, and
    downloaded where it must be, at its first use; it is in float32 on the CPU.
    """

    checkpoint: Checkpoint
    model: PaliGemmaForConditionalGeneration
    processor: PaliGemmaProcessor
    lazy_codec: LazyCodec
    device: torch.device
    dtype: torch.dtype

    @property
    def codec(self) -> MaskCodec:
        """The mask codec; UserError where it cannot be had."""
        return self.lazy_codec.get()


class Loader:
    """Loads checkpoints onto one device, the best there is unless told otherwise."""

    def __init__(self, device: torch.device | None = None):
        self.device = device or best_device()

    def fetch(self, checkpoint: Checkpoint, status: Status = lambda event: None) -> Path:
        """A checkpoint's folder, downloaded where it is not here, its files checked.

        It takes no memory worth counting, so it may run beside the load of another model.
        """
        if checkpoint.path is not None:
            return local_folder(checkpoint)
        assert checkpoint.hub_id is not None  # it is in a folder or on the Hub
        folder = download.fetch(
            checkpoint.hub_id,
            status,
            size_bytes=checkpoint.download_bytes,
            revision=checkpoint.revision,
            is_gated=checkpoint.is_gated,
        )
        check_files(folder, checkpoint.name)
        if checkpoint not in BUILT_IN:
            _check_architecture(folder, checkpoint)
        return folder

    def load(self, key: ModelKey, status: Status = lambda event: None) -> LoadedModel:
        """Load a checkpoint in a precision, downloading it first where it is not here.

        `status` gets sentences for the person who waits. UserError where it cannot be had.
        """
        checkpoint, precision = key.checkpoint, key.precision
        dtype = dtype_of(precision, self.device)
        folder = self.fetch(checkpoint, status)
        name = checkpoint.name
        status(StatusEvent(f"Loading {name} …"))
        with explained(name, "processor"):
            processor = PaliGemmaProcessor.from_pretrained(folder, local_files_only=True)
            check_processor(processor, read_config(folder, name), name)
        needed = memory.estimate(checkpoint, precision, self.device.type == "cpu").total
        several = needs_several_gpus(needed, self.device)
        model = read_model(folder, precision, self.device, several, name)
        use_onednn(model)
        if precision == "nf4" and self.device.type == "cpu":
            _use_fast_nf4(model)
        return LoadedModel(
            checkpoint=checkpoint,
            model=model.eval().requires_grad_(False),
            processor=processor,
            lazy_codec=LazyCodec(lambda: find_codec(checkpoint, folder)),
            device=self.device,
            dtype=dtype,
        )


def _check_architecture(folder: Path, checkpoint: Checkpoint) -> None:
    """UserError where what came from the Hub is of another architecture than its owner said.

    Of a folder that is known at the start, before anything is downloaded.
    """
    name, listed = checkpoint.name, "the architecture that it was listed with"
    reason = folder_architecture.mismatch(read_config(folder, name), checkpoint, listed)
    if reason:
        raise UserError(
            f"{name} cannot be used: {reason}.",
            "Write in PALIGEMMA_CHECKPOINTS the built-in checkpoint whose architecture it has.",
        )


def find_codec(checkpoint: Checkpoint, folder: Path, status: Status = lambda event: None) -> Path:
    """The file of the mask codec of a checkpoint whose files are in `folder`.

    The folder's own, else the catalog's, else the published one, which is downloaded where it is
    not here; UserError where that fails.
    """
    return local_codec(checkpoint, folder) or download.fetch_codec(status)


def local_codec(checkpoint: Checkpoint, folder: Path) -> Path | None:
    """As `find_codec`, without the published one."""
    own = folder / CODEC_FILE
    return own if own.is_file() else checkpoint.codec


def read_model(
    folder: str | Path,
    precision: str,
    device: torch.device,
    on_several_gpus: bool = False,
    name: str = "",
) -> PaliGemmaForConditionalGeneration:
    """The weights in a folder, in a precision of PRECISIONS and straight on their device.

    `on_several_gpus` divides them among all GPUs; `name` is the checkpoint's in messages, else the
    folder's. UserError where weights are missing, unknown, of another shape or cannot be read.
    """
    folder = Path(folder)
    name = name or folder.name
    dtype = dtype_of(precision, device)
    # Quantized layers must be made on their device. On ZeroGPU there is no GPU yet: what is moved
    # there is remembered and follows once there is one.
    is_direct = precision in QUANTIZED or (device.type == "cuda" and not on_zero_gpu())
    device_map: dict[str, torch.device] | dict[str, int] = {"": device}
    if is_direct and on_several_gpus:
        device_map = split(folder, precision, dtype, free_gpu_bytes())
    saved = saved_precision(read_config(folder, name), name)
    check_saved_precision(saved, precision, name)
    with explained(name, "weights"):
        model = read_checked(
            folder,
            name,
            dtype=dtype,
            device_map=device_map if is_direct else None,
            quantization_config=None if saved else quantization(precision, dtype),
        )
    if precision in QUANTIZED and device.type == "cpu":
        _finish_cpu_quantization(model)
    return model if is_direct else moved(model, device)


def moved(
    model: PaliGemmaForConditionalGeneration, to: torch.device | torch.dtype | str
) -> PaliGemmaForConditionalGeneration:
    """`model.to`, which transformers wraps so that type checkers take it for a plain function."""
    untyped: Any = model
    return untyped.to(to)


def read_checked(folder: Path, name: str, **settings: Any) -> PaliGemmaForConditionalGeneration:
    """The model in a folder, with `settings` for `from_pretrained`.

    UserError naming weights that are missing, unknown or of another shape.
    """
    read: Any = PaliGemmaForConditionalGeneration.from_pretrained  # typed to return a model alone
    model, info = read(
        folder,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # refused below, by name
        **settings,
    )
    check_loaded(model, info, name)
    return model


def _finish_cpu_quantization(model: PaliGemmaForConditionalGeneration) -> None:
    """After quantizing on a CPU: let go of the files, and pack 4-bit weights now.

    What was not quantized is a view into the mapped files, which would keep all of them in memory;
    and bitsandbytes would pack each layer during the first answer.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for parameter in model.parameters():
        if parameter.dtype.is_floating_point:
            parameter.data = parameter.data.clone()
    model.eval()
    with torch.inference_mode():
        for module in model.modules():
            if isinstance(module, Linear4bit):
                module(torch.zeros(1, module.in_features, dtype=module.compute_dtype))
    _return_memory()


def _use_fast_nf4(model: PaliGemmaForConditionalGeneration) -> None:
    """Make 4-bit layers on a CPU call their kernel directly, and copy the head in 4 bits."""
    from models.layers import nf4_cpu, shortlist_head

    nf4_cpu.use_direct_kernel(model)
    shortlist_head.use_shortlist(model.lm_head)
    _return_memory()


def _return_memory() -> None:
    """Make glibc let go of what packing 4-bit weights took, a tenth of them; it would keep it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim:
        trim(0)


def quantization(precision: str, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """The settings of 8-bit and 4-bit: the announcement's, for the text model's layers alone."""
    if precision not in QUANTIZED:
        return None
    # It warns of a faster kernel that is not installed, and at every token that it uses float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    return BitsAndBytesConfig(
        load_in_8bit=precision == "int8",
        load_in_4bit=precision == "nf4",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )


def local_folder(checkpoint: Checkpoint) -> Path:
    """Where a local checkpoint's weights are; UserError where they are missing."""
    folder = checkpoint.path
    if folder is None:
        raise ValueError(f"{checkpoint.name} is not local")
    if not folder.is_dir():
        raise UserError(
            f"The folder of {checkpoint.name}, {folder}, is gone.",
            "Fetch or save it again in full.",
        )
    check_files(folder, checkpoint.name)
    return folder
