"""Which layers go to which GPU where one alone is too small; never to the CPU or a disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, PaliGemmaForConditionalGeneration

from models.schema import UserError

_FOR_WEIGHTS = 0.9  # of what is free; the rest is for caches and activations


def free_gpu_bytes() -> dict[int, int]:
    """Free bytes of each GPU."""
    return {i: torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())}


def split(
    folder: Path, precision: str, dtype: torch.dtype, free_bytes: Mapping[int, int]
) -> dict[str, int]:
    """A `device_map` of the checkpoint in `folder`: module -> GPU.

    Nothing is loaded: shapes come from config.json. `free_bytes` is by GPU. UserError where the
    layers, which are not divided, cannot be spread so that all of them are on GPUs.
    """
    from accelerate import infer_auto_device_map, init_empty_weights
    from accelerate.utils import CustomDtype, get_balanced_memory

    with init_empty_weights():
        model = PaliGemmaForConditionalGeneration(AutoConfig.from_pretrained(folder))
    model.tie_weights()
    small = {"int8": torch.int8, "nf4": CustomDtype.INT4}.get(precision)
    special = {
        name: small
        for name, parameter in model.named_parameters()
        if small is not None and ".language_model.layers." in name and parameter.ndim == 2
    }
    options = {
        "no_split_module_classes": sorted(model._no_split_modules or ()),
        "dtype": dtype,
        "special_dtypes": special,
    }
    limits = {gpu: int(free * _FOR_WEIGHTS) for gpu, free in free_bytes.items()}
    # Even shares first; where the last GPU's is too small for a whole layer, fill one by one.
    for memory in (get_balanced_memory(model, max_memory=dict(limits), **options), limits):
        found = infer_auto_device_map(model, max_memory=dict(memory), **options)
        if not {"cpu", "disk"} & {str(device) for device in found.values()}:
            return dict(found)
    sizes = ", ".join(f"{free / 1e9:.1f} GB" for free in free_bytes.values())
    raise UserError(
        f"The layers cannot be divided among the GPUs, of which {sizes} are free.",
        "Choose nf4, int8 or a smaller size.",
    )
