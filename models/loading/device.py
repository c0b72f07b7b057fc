"""Where a model runs: the device, its free memory, and ZeroGPU.

This module does not know how a model is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from models.schema import UserError

Function = TypeVar("Function", bound=Callable[..., Any])

_CGROUP = Path("/sys/fs/cgroup")


def on_zero_gpu() -> bool:
    """Whether this is a ZeroGPU Space, where a GPU exists only inside `zero_gpu` functions."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if on_zero_gpu() or torch.cuda.is_available() else "cpu")


@contextmanager
def memory_watched(explain: Callable[[], UserError]) -> Iterator[None]:
    """Turns the end of memory within, the CPU's included, into the error that `explain` makes."""
    ended = False
    try:
        yield
    except RuntimeError as error:
        words = "DefaultCPUAllocator: can't allocate memory"
        ended = isinstance(error, torch.OutOfMemoryError) or words in str(error)
        if not ended:
            raise
    if ended:  # not in the handler: the error keeps alive what took the memory
        raise explain()


def available_bytes(device: torch.device) -> int:
    """Memory that a new model could take on a device now, all GPUs of a kind together."""
    if device.type == "cuda":
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    import psutil

    free = psutil.virtual_memory().available
    limit, used = _cgroup_number("memory.max"), _cgroup_number("memory.current")
    if limit is not None and used is not None:
        # A container may have less than its machine. Cached files count as used there but make
        # room when asked, so the limit alone decides how much they can take away.
        free = min(free, limit - used + _cgroup_cache())
    return max(free, 0)


def needs_several_gpus(needed: int, device: torch.device) -> bool:
    """Whether `needed` bytes have to be divided among several GPUs."""
    if device.type != "cuda" or on_zero_gpu() or torch.cuda.device_count() < 2:
        return False
    return torch.cuda.mem_get_info(device)[0] < needed


def zero_gpu(duration: Callable[..., int], size: str) -> Callable[[Function], Function]:
    """Run a function where ZeroGPU has a GPU of a size in ZERO_GPU_BYTES.

    `duration` gets the function's arguments and returns the seconds to ask for. The decorator
    keeps one GPU size per function, so each size needs a function of its own.
    """
    import spaces

    return lambda function: spaces.GPU(duration=duration, size=size)(function)


def enable_zero_gpu_placement() -> None:
    """Let this thread put tensors on the GPU that ZeroGPU will have later.

    `spaces` teaches torch to do so in the main thread only: its modes belong to a thread.
    """
    from spaces.zero import torch as zero_torch

    zero_torch.enter_mode()


def _cgroup_number(name: str) -> int | None:
    """A number that the container's control group states, None where it states none."""
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):
        return None


def _cgroup_cache() -> int:
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines).get("inactive_file", 0))
    except (OSError, ValueError):
        return 0
