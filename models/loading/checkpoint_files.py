"""What is checked of a checkpoint's folder: its files before anything is loaded, its weights after.

Every failure is one sentence and a remedy, so that nobody gets answers from random weights. This
module does not know devices.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from models.schema import UserError

logger = logging.getLogger(__name__)

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SAVE_AGAIN = "Fetch or save it again in full."
_CONVERT = "Serve the checkpoint it was made from; precisions int8 and nf4 shrink it here."
_SHOWN = 3  # names of weights in a message
_PATH = re.compile(r"(?<![\w:/])/(?:[^\s'\"/]+/)*([^\s'\"/]+)")  # its last part is the group
# Of older versions of transformers, and the pooling head of SigLIP, which PaliGemma does not use.
_UNUSED = (".position_ids", ".inv_freq", "vision_tower.head.", "vision_model.head.")


def check_files(folder: Path, name: str) -> None:
    """UserError where a folder does not hold a whole PaliGemma 2 that can be loaded here.

    `name` is what the person who reads the message calls the checkpoint. Only configurations and
    the headers of the weights are read.
    """
    config = read_config(folder, name)
    _check_architecture(config, name)
    saved_precision(config, name)
    _check_processor(folder, name)
    for shard in _shards(folder, name):
        _check_shard(shard, name)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The folder's config.json; UserError where it has no readable one."""
    return _read_json(folder / "config.json", name)


def saved_precision(config: Mapping[str, Any], name: str) -> str | None:
    """The quantized precision that weights are saved in, "nf4" or "int8"; None for 16 and 32 bits.

    UserError where they are in a form that is not read here.
    """
    if "quantization" in config:  # MLX's name
        raise UserError(f"{name} is quantized in MLX form, which cannot be read here.", _CONVERT)
    settings = config.get("quantization_config")
    if not settings:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    if method != "bitsandbytes":
        form = str(method or "an unknown").upper() if method != "torchao" else "torchao"
        raise UserError(f"{name} is quantized in {form} form, which cannot be read here.", _CONVERT)
    if settings.get("load_in_8bit"):
        return "int8"
    kind = settings.get("bnb_4bit_quant_type", "fp4")
    if settings.get("load_in_4bit") and kind == "nf4":
        return "nf4"
    raise UserError(
        f"{name} is quantized to {kind} by bitsandbytes, which cannot be read here.", _CONVERT
    )


def check_loaded(model: nn.Module, info: Mapping[str, Collection[Any]], name: str) -> None:
    """UserError naming weights that were missing, unknown or of another shape.

    `info` is what `from_pretrained(..., output_loading_info=True)` tells.
    """
    mismatched = {key: (tuple(found), tuple(due)) for key, found, due in info["mismatched_keys"]}
    mismatched |= _mismatched_quantized(model)
    missing = set(info["missing_keys"]) - set(mismatched)
    unknown = [key for key in info["unexpected_keys"] if not any(part in key for part in _UNUSED)]
    problems = []
    if missing:
        problems.append(f"lacks {_listed(missing)}")
    if mismatched:
        shapes = [f"{key} ({found}, not {due})" for key, (found, due) in mismatched.items()]
        problems.append(f"has weights of another shape, {_listed(shapes)}")
    if unknown:
        problems.append(f"has unknown weights, {_listed(unknown)}")
    if problems:
        raise UserError(
            f"The file of {name} does not fit its config.json: it {', and '.join(problems)}.",
            _SAVE_AGAIN,
        )


@contextmanager
def explained(name: str, part: str) -> Iterator[None]:
    """Turns what a library raises while it loads `part` of a checkpoint into one sentence.

    What has words of its own and what tells that memory ran out pass.
    """
    try:
        yield
    except (UserError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise
        logger.info("%s of %s cannot be loaded", part, name, exc_info=error)
        lines = str(error).strip().splitlines() or [""]
        said = _PATH.sub(r"\1", lines[0])
        reason = f"{type(error).__name__}: {said}".strip(": ")[:200].rstrip(".")
        raise UserError(
            f"The {part} of {name} cannot be loaded ({reason}).", _SAVE_AGAIN
        ) from error


def _mismatched_quantized(model: nn.Module) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Quantized weights by name with their shape and the one due; transformers checks none."""
    found: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            state = getattr(module.weight, "quant_state", None)  # of 4 bits, whose weights are flat
            shape = tuple(module.weight.shape if state is None else state.shape)
            due = (module.out_features, module.in_features)
            if shape != due:
                found[f"{name}.weight"] = (shape, due)
    return found


def _check_architecture(config: Mapping[str, Any], name: str) -> None:
    kind = config.get("model_type")
    if kind != "paligemma":
        raise UserError(f"{name} is a {kind}, not a PaliGemma 2.", "Choose a PaliGemma 2.")
    text = config.get("text_config")
    decoder = text.get("model_type") if isinstance(text, dict) else None
    if decoder != "gemma2":
        which = "a PaliGemma 1" if decoder in (None, "gemma") else f"a PaliGemma with {decoder}"
        raise UserError(
            f"{name} is {which}, which is not served here.", "Choose a PaliGemma 2 (gemma2)."
        )


def _check_processor(folder: Path, name: str) -> None:
    for what, files in (
        ("image processor", ("processor_config.json", "preprocessor_config.json")),
        ("tokenizer", ("tokenizer.json", "tokenizer.model")),
    ):
        if not any((folder / file).is_file() for file in files):
            raise UserError(
                f"{name} has no {what}: neither {files[0]} nor {files[1]} is there.",
                "Copy them from the checkpoint it was made from.",
            )


def _shards(folder: Path, name: str) -> list[Path]:
    """The files that hold the weights; UserError where one is missing or it is unclear which."""
    whole, index = folder / WEIGHTS, folder / INDEX
    if not index.is_file():
        if whole.is_file():
            return [whole]
        raise UserError(
            f"The weights of {name} are missing: there is neither {WEIGHTS} nor {INDEX}.",
            _SAVE_AGAIN,
        )
    weight_map = _read_json(index, name).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{INDEX} of {name} names no weights.", _SAVE_AGAIN)
    if not all(isinstance(file, str) for file in weight_map.values()):
        raise UserError(f"{INDEX} of {name} names files that are no texts.", _SAVE_AGAIN)
    shards = sorted(set(weight_map.values()))
    missing = [file for file in shards if not (folder / file).is_file()]
    if missing:
        raise UserError(
            f"{name} lacks {_listed(missing)}, which {INDEX} names.",
            f"{_SAVE_AGAIN} Delete the index if it is of an older save."
            if whole.is_file()
            else _SAVE_AGAIN,
        )
    if whole.is_file() and WEIGHTS not in shards:
        # transformers would take the one file and never look at the shards.
        raise UserError(
            f"{name} has both {WEIGHTS} and {INDEX}, and only one can be right.",
            "Delete the one that is not of this checkpoint.",
        )
    return [folder / file for file in shards]


def _check_shard(shard: Path, name: str) -> None:
    """UserError where a file is cut short, damaged or written by MLX."""
    try:
        with safe_open(shard, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{shard.name} of {name} is cut short or damaged.", _SAVE_AGAIN) from error
    if metadata.get("format") == "mlx":
        raise UserError(f"{name} is saved in MLX form, which cannot be read here.", _CONVERT)


def _read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{name} has no readable {file.name}.", _SAVE_AGAIN) from error
    if not isinstance(found, dict):
        raise UserError(f"{name} has no readable {file.name}.", _SAVE_AGAIN)
    return found


def _listed(names: Collection[str]) -> str:
    """The first names in order, and how many more there are."""
    first = ", ".join(sorted(names)[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{first} and {more} more" if more > 0 else first
