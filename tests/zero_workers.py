"""`python -m tests.zero_workers`: answers in workers that the real `spaces` package forks.

Its scheduling service and the GPU are played, and a model is a name; what the last line says is
what the workers held. It needs a process of its own, as the package changes torch at its import.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import types
from collections.abc import Iterator

import torch
from PIL import Image

from models.catalog.catalog import Catalog
from models.catalog.model_key import ModelKey
from models.schema import Request, StatusEvent

CATALOG = Catalog()
KEYS = [ModelKey(CATALOG.find(f"10b-pt-{side}"), "bf16") for side in (224, 448, 896)]
idle = [True]


def import_spaces() -> types.ModuleType:
    """The package's wrappers, on a CPU build of torch, with GPU 0 granted to whoever asks."""
    torch.version.cuda = torch.version.cuda or "12.8"
    torch._C._cuda_init = getattr(torch._C, "_cuda_init", int)
    import spaces
    from spaces.zero import wrappers

    wrappers.worker_init = lambda **arguments: None
    wrappers.client.schedule = lambda **arguments: types.SimpleNamespace(
        allowToken="token", nvidiaIndex=0, nvidiaUUID="GPU-0", idle=idle[0]
    )
    wrappers.client.release = lambda *arguments, **options: None
    spaces.GPU = lambda duration, size: (
        lambda task: wrappers.generator_function_wrapper(task, duration, size)
    )
    return spaces


def main() -> None:
    import_spaces()
    from models.loading.loader import Loader
    from models.serving import zero_gpu
    from models.serving.validation import Offer

    zero_gpu.enable_zero_gpu_placement = lambda: None
    was_cancelled = multiprocessing.get_context("fork").Event()

    class Names(Loader):
        """Loads names."""

        fetch = staticmethod(lambda *arguments: None)
        load = staticmethod(lambda *arguments: arguments[0])

    def work(loaded, request, adapter, cancelled, load_s) -> Iterator[StatusEvent]:
        held = [f"{key.checkpoint.name} {key.precision}" for key in zero.loaded]
        yield StatusEvent(json.dumps([os.getpid(), held]))
        try:
            while request.prompt == "ocr":
                yield StatusEvent("working")
        finally:
            if request.prompt == "ocr":
                was_cancelled.set()

    zero = zero_gpu.ZeroGpu(Names(torch.device("cpu")), Offer(CATALOG.checkpoints, ("bf16",)), work)

    def answer(key: ModelKey) -> tuple[int, list[str]]:
        *_, last = zero.answer(Request(Image.new("RGB", (8, 8)), "caption en"), key)
        return json.loads(last.message)

    answers = [answer(key) for key in (*KEYS, KEYS[0])]
    idle[0] = False
    busy, _ = answer(KEYS[0])
    idle[0] = True
    events = zero.answer(Request(Image.new("RGB", (8, 8)), "ocr"), KEYS[0])
    while next(events).message != "working":
        pass
    started = time.monotonic()
    events.close()
    found = {
        "parent": os.getpid(),
        "workers": [pid for pid, _ in answers],
        "held": [held for _, held in answers],
        "after busy": busy,
        "cancelled": was_cancelled.wait(20),
        "cancel_s": time.monotonic() - started,
        "after cancel": answer(KEYS[0])[0],
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
