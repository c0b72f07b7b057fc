"""The number formats of weights: which run on a device, which "auto" means, what they compute in.

This module does not know how a model is loaded.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch

from models.catalog.checkpoints import Checkpoint
from models.catalog.memory import PRECISIONS, check_precision
from models.catalog.model_key import ModelKey
from models.hub import download
from models.loading.checkpoint_files import read_config, saved_precision
from models.loading.device import on_zero_gpu
from models.schema import UserError

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
QUANTIZED = ("int8", "nf4")


def precisions(device: torch.device) -> tuple[str, ...]:
    """The precisions that can run on a device."""
    return tuple(each for each in PRECISIONS if _why_unavailable(each, device) is None)


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """The number format that a precision of PRECISIONS computes in."""
    if precision in QUANTIZED:
        return torch.bfloat16 if _has_bf16(device) else torch.float16
    return DTYPES[precision]


def _why_unavailable(precision: str, device: torch.device) -> str | None:
    """Why a precision cannot run on a device, in words; None where it can."""
    if precision == "bf16" and not _has_bf16(device):
        return "this GPU does not compute bfloat16"
    if precision == "fp16" and device.type == "cpu":
        return "a CPU has no fast float16"
    if precision in QUANTIZED and find_spec("bitsandbytes") is None:
        return "bitsandbytes is not installed"
    return None


def _has_bf16(device: torch.device) -> bool:
    # ZeroGPU's cards have it, and its parent process must not ask CUDA.
    if device.type != "cuda" or on_zero_gpu():
        return True
    return torch.cuda.is_bf16_supported(including_emulation=False)


def resolve(checkpoint: Checkpoint, precision: str, device: torch.device) -> ModelKey:
    """A checkpoint in what a wish for a precision comes to; see `resolve_precision`."""
    return ModelKey(checkpoint, resolve_precision(checkpoint, precision, device))


def resolve_precision(checkpoint: Checkpoint, precision: str, device: torch.device) -> str:
    """A name of PRECISIONS for a wish that may be "auto"; UserError where it cannot run here.

    "auto" is the precision in which a checkpoint's weights are saved where they are here and
    quantized. Else it is bf16, or fp16 on a GPU without, except for a nano on a CPU. There bf16
    has the first token sooner and fp32 each further one, about even for a caption, so the exact
    format is taken.
    """
    check_precision(precision)
    saved = _saved_precision(checkpoint)
    if precision == "auto" and saved is not None:
        precision = saved
    check_saved_precision(saved, precision, checkpoint.name)
    if precision == "auto":
        if device.type == "cpu" and checkpoint.size == "nano":
            return "fp32"
        return "bf16" if _has_bf16(device) else "fp16"
    reason = _why_unavailable(precision, device)
    if reason:
        raise UserError(
            f"{precision} cannot run here: {reason}.",
            f"Choose one of {', '.join(('auto', *precisions(device)))}.",
        )
    return precision


def check_saved_precision(saved: str | None, precision: str, name: str) -> None:
    """UserError where weights are saved in another quantized precision than is asked for."""
    if saved not in (None, precision):
        raise UserError(
            f"The weights of {name} are saved in {saved} and cannot be had in {precision}.",
            f"Choose {saved} or auto.",
        )


def _saved_precision(checkpoint: Checkpoint) -> str | None:
    """ "nf4" or "int8" where the weights are here and quantized; None in all other cases."""
    folder = checkpoint.path
    if folder is None and checkpoint.hub_id and not checkpoint.is_gated:
        folder = download.local_folder(checkpoint.hub_id, revision=checkpoint.revision)
    if folder is None or not (folder / "config.json").is_file():
        return None
    return saved_precision(read_config(folder, checkpoint.name), checkpoint.name)


def has_int8_layers(model: torch.nn.Module) -> bool:
    """Whether a model has 8-bit layers of bitsandbytes.

    They keep in 16 bits the columns in which any of the rows that come together has a large value.
    """
    return any(type(module).__name__ == "Linear8bitLt" for module in model.modules())
