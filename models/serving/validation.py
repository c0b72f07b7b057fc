"""What a request must be like before it is worth a model: limits, and what a choice needs.

This module looks no name up, looks at no model and asks no network.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from models import images
from models.catalog import memory
from models.catalog.checkpoints import Checkpoint
from models.catalog.model_key import ModelKey
from models.hub import download
from models.limits import (
    MAX_BEAMS,
    MAX_DEADLINE_S,
    MAX_GPU_SECONDS,
    MAX_IMAGES,
    MAX_NEW_TOKENS,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_TOP_K,
    MIN_DEFAULT_DEADLINE_S,
    MIN_TEMPERATURE,
    MIN_TOP_P,
)
from models.prompts import grammar
from models.schema import Decoding, Request, UserError

# What the slowest machine worth using computes and reads in a second: two busy cores took 140 s
# to the first token of a 3B at 896 px, about nine times as fast.
_SLOWEST = {"cpu": (2e10, 5e9), "cuda": (1e12, 5e10)}
_BYTES_PER_PARAMETER = max(other for _, other in memory.BYTES_PER_PARAMETER.values())


@dataclass(frozen=True)
class Offer:
    """What else can be chosen here: all checkpoints, and the precisions that can run."""

    checkpoints: tuple[Checkpoint, ...]
    precisions: tuple[str, ...]


def check(request: Request) -> None:
    """UserError where a request cannot be answered, whatever it is that answers."""
    grammar.check(request.prompt)
    for image in request.images:
        if not isinstance(image, Image.Image) or image.mode != "RGB":
            raise UserError("The picture is not RGB.", "Open it with models.images.open_image.")
        images.check_size(image)
    if request.deadline_s is not None and not 0 < request.deadline_s <= MAX_DEADLINE_S:
        raise UserError(
            f"The time limit is {request.deadline_s} s.",
            f"Use more than 0 and at most {MAX_DEADLINE_S:.0f}.",
        )
    _check_decoding(request.decoding)


def check_images(request: Request, checkpoint: Checkpoint) -> None:
    """UserError where a prompt has more pictures than a sequence of the checkpoint has room for."""
    given, most = len(request.images), checkpoint.max_images
    if given > most:
        pictures = "one picture" if most == 1 else f"{most} pictures"
        raise UserError(
            f"There are {given} pictures; {checkpoint.name} has room for {pictures} in a prompt.",
            "Take some out" + (", or choose a smaller resolution." if most < MAX_IMAGES else "."),
        )


def default_deadline_s(
    checkpoint: Checkpoint, decoding: Decoding, device_type: str, images: int = 1
) -> float:
    """Seconds that an answer may take where the request names no limit.

    Generous: two operations per parameter and token of the `images`, then all parameters once per
    token and beam, on a slow machine of that kind ("cpu" or "cuda"), in the widest precision.
    """
    operations_per_s, bytes_per_s = _SLOWEST.get(device_type, _SLOWEST["cpu"])
    seen = checkpoint.image_tokens * images
    first_s = 2 * checkpoint.parameters * seen / operations_per_s
    step_s = checkpoint.parameters * _BYTES_PER_PARAMETER * decoding.num_beams / bytes_per_s
    needed_s = first_s + step_s * decoding.max_new_tokens
    return min(max(needed_s, MIN_DEFAULT_DEADLINE_S), MAX_DEADLINE_S)


def gpu_seconds(request: Request, key: ModelKey) -> int:
    """Seconds of ZeroGPU to ask for, at most MAX_GPU_SECONDS: a visitor has few a day.

    They include the load, as a worker may be new or may not have the model yet; bitsandbytes
    unpacks weights at every step. The constants are generous guesses for an H200 in eager mode,
    not measured; `spaces` multiplies the sum on slower GPUs.
    """
    chosen, precision = key.checkpoint, key.precision
    billions = chosen.parameters / 1e9
    load = 5 + billions
    slower = {"nf4": 1.5, "int8": 2.5, "fp32": 2.0}.get(precision, 1.0)
    seen = chosen.image_tokens * len(request.images)
    prefill = 2 + 0.2 * billions * seen / 1024
    per_token = (0.03 + 0.003 * billions) * slower
    beams = request.decoding.num_beams**0.5
    needed = load + prefill * slower + per_token * beams * request.decoding.max_new_tokens
    return min(MAX_GPU_SECONDS, round(needed))


def gpu_size(key: ModelKey, offer: Offer) -> str:
    """The smallest ZeroGPU that holds a model; UserError naming a choice where none does."""
    needed = memory.estimate(key.checkpoint, key.precision, on_cpu=False).total
    for size, room in memory.ZERO_GPU_BYTES.items():
        if needed <= room:
            return size
    most = max(memory.ZERO_GPU_BYTES.values())
    raise too_little_memory(key, offer, most, on_cpu=False)


def missing_download(
    checkpoint: Checkpoint, too_large: UserError | None, needed: str
) -> str | None:
    """All that keeps a checkpoint without local weights from being used; None where nothing does.

    `too_large` says that it does not fit into memory, of which it takes `needed`.
    """
    fit = too_large.remedy[0].lower() + too_large.remedy[1:].rstrip(".") if too_large else ""
    reasons = [too_large.problem.rstrip(".")] if too_large else []
    size = gigabytes(checkpoint.download_bytes)
    takes = f"{size} to download" + ("" if too_large else f", {needed} of memory")
    about = f"{checkpoint.hub_id} is not on this machine ({takes})"
    remedy = f"{fit[:1].upper()}{fit[1:]}"
    # What would fit may be as far away as this one, or only nano, which is always here.
    then = f"; then {fit}" if fit else ""
    if fit.startswith(("try nano", "use ")):
        then = " on a machine with more memory"
    steps = []
    if checkpoint.is_gated and not download.has_token():
        reason = f"{about} and no Hugging Face token is set"
        steps = [
            f"accept the Gemma licence at {checkpoint.licence_url}",
            "create a token with read access",
            "set HF_TOKEN",
        ]
    if download.is_offline():
        reason = f"{about} and HF_HUB_OFFLINE forbids downloads"
        steps = ["unset HF_HUB_OFFLINE", *steps]
    if steps:
        reasons.append(reason)
        remedy = f"Choose nano, or {', '.join(steps)} and start again{then}"
    if not reasons:
        return None
    return f"{'; '.join(reasons)}. {remedy}."


def too_little_memory(key: ModelKey, offer: Offer, room: int, on_cpu: bool) -> UserError:
    """What to say where a model does not fit into `room` bytes, and what of the offer would."""
    chosen, precision = key.checkpoint, key.precision
    needed = gigabytes(memory.estimate(chosen, precision, on_cpu).total)
    fitting = named(smaller(key, offer, room, on_cpu))
    return UserError(
        f"{chosen.name} in {memory.PRECISION_NAMES[precision]} needs {needed}; "
        f"this machine has {gigabytes(room)} free.",
        f"Try {fitting}." if fitting else "Use a machine with more memory.",
    )


def smaller(key: ModelKey, offer: Offer, room: int, on_cpu: bool) -> tuple[str, ...]:
    """What of the offer fits into `room` bytes instead: the checkpoint in a lighter precision, and
    the largest smaller checkpoint, its own variant first; each where there is one.
    """
    chosen, precision = key.checkpoint, key.precision
    needed = memory.estimate(chosen, precision, on_cpu).total
    lighter = [(memory.estimate(chosen, each, on_cpu).total, each) for each in offer.precisions]
    lighter = [(size, each) for size, each in lighter if size <= room and size < needed]
    found = (max(lighter)[1],) if lighter else ()
    others = []
    for each in offer.checkpoints:
        size = memory.estimate(each, precision, on_cpu).total
        if size <= room and size < needed and each != chosen:
            others.append((each.size == chosen.size, each.variant == chosen.variant, size, each))
    best = max(others, key=lambda other: other[:3], default=None)
    return (*found, best[3].name) if best else found


def named(fitting: tuple[str, ...]) -> str:
    """What `smaller` found, in words; precisions as on the page."""
    return " or ".join(memory.PRECISION_NAMES.get(each, each) for each in fitting)


def gigabytes(number: int) -> str:
    """Bytes as people read them."""
    return f"{number / 1e6:.0f} MB" if number < 10**9 else f"{number / 1e9:.1f} GB"


def _check_decoding(decoding: Decoding) -> None:
    limits = (
        ("max_new_tokens", 1, MAX_NEW_TOKENS),
        ("temperature", 0, MAX_TEMPERATURE),
        ("top_k", 0, MAX_TOP_K),
        ("top_p", MIN_TOP_P, 1),
        ("num_beams", 1, MAX_BEAMS),
        ("seed", 0, MAX_SEED),
    )
    for name, low, high in limits:
        value = getattr(decoding, name)
        if not low <= value <= high:
            raise UserError(f"{name} is {value}.", f"Use {low} to {high}.")
    if 0 < decoding.temperature < MIN_TEMPERATURE:
        raise UserError(
            f"temperature is {decoding.temperature}, too small to divide by.",
            f"Use 0 (greedy), or {MIN_TEMPERATURE} to {MAX_TEMPERATURE}.",
        )
    if decoding.num_beams > 1 and decoding.temperature > 0:
        raise UserError(
            "Beams and a temperature exclude each other.", "Set one beam, or temperature 0."
        )
