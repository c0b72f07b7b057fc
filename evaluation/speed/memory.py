"""What loading and answering take in memory, against what `models.catalog.memory` says.

    python -m evaluation.speed.true_shape --like 3b-pt-224 --out build/true-shape/3b-random
    python -m evaluation.speed.memory --write docs/memory.md \\
        --folder build/true-shape/3b-random=3b-pt-224

Each line is a process of its own, which imports everything, notes its memory, loads, and answers.
A peak is the most anonymous memory, read every 5 ms, less what was there before, and the weights
that are used straight from their mapped file. Other pages of files are not counted: the kernel
drops them when it needs room. CPU only, Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from data import documents
from evaluation.report import tables
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.images import open_image

TOKENS = 16
PROMPT = "caption en"
PICTURE = Path(__file__).parents[2] / "examples" / "caption.png"
CPU = torch.device("cpu")


def anonymous() -> int:
    """Bytes of this process in memory that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most anonymous memory within; the list has it at the end."""
    found, ended = [anonymous()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            found[0] = max(found[0], anonymous())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def in_files(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors that lie in mapped files."""
    spans = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".safetensors"):
            low, high = (int(edge, 16) for edge in line.split()[0].split("-"))
            spans.append((low, high))
    sizes = {each.data_ptr(): each.numel() * each.element_size() for each in tensors}
    return sum(size for at, size in sizes.items() if any(low <= at < high for low, high in spans))


def measure(checkpoint: Checkpoint, precision: str, is_plain: bool = False) -> dict[str, float]:
    """In this process: bytes and seconds of a load and of an answer after it.

    `is_plain` answers with `transformers.generate`, for comparison. `above_weights` is how far the
    answer's peak is above what was held after the load.
    """
    from models.catalog import memory
    from models.loading.precision import QUANTIZED

    # Everything is imported before memory is looked at.
    for module in ("models.engine.engine", *(("bitsandbytes",) if precision in QUANTIZED else ())):
        importlib.import_module(module)
    torch.ones(64, 64) @ torch.ones(64, 64)  # starts the threads
    # A blank picture can end the answer at once, and every token of it is to be in the peak.
    image = open_image(PICTURE).image.resize((checkpoint.resolution,) * 2)
    before = anonymous()
    started = time.monotonic()
    with peak() as load_peak:
        model, answer = (_plain if is_plain else _ours)(checkpoint, precision, image)
    loaded_s = time.monotonic() - started
    mapped = in_files(model.parameters())
    held = anonymous()
    started = time.monotonic()
    with peak() as answer_peak:
        answer()
    answered_s = time.monotonic() - started
    expected = memory.estimate(checkpoint, precision, on_cpu=True)
    return {
        "weights": expected.weights,
        "estimate": expected.total,
        "load_peak": load_peak[0] - before + mapped,
        "answer_peak": answer_peak[0] - before + mapped,
        "above_weights": answer_peak[0] - held,
        "load_s": loaded_s,
        "answer_s": answered_s,
    }


def _ours(
    checkpoint: Checkpoint, precision: str, image: Image.Image
) -> tuple[Any, Callable[[], Any]]:
    from models.catalog.model_key import ModelKey
    from models.engine.engine import generate
    from models.loading.loader import Loader
    from models.schema import Decoding, Request

    loaded = Loader(CPU).load(ModelKey(checkpoint, precision))
    request = Request(image, PROMPT, checkpoint.name, decoding=Decoding(max_new_tokens=TOKENS))
    return loaded.model, lambda: list(generate(loaded, request))


def _plain(
    checkpoint: Checkpoint, precision: str, image: Image.Image
) -> tuple[Any, Callable[[], Any]]:
    from transformers import PaliGemmaProcessor

    from models.loading.loader import Loader, read_model

    folder = Loader(CPU).fetch(checkpoint)
    model = read_model(folder, precision, CPU).eval()
    processor = PaliGemmaProcessor.from_pretrained(folder)
    inputs = processor(text=f"<image>{PROMPT}", images=image, return_tensors="pt").to(model.dtype)
    answer = torch.inference_mode()(model.generate)
    return model, lambda: answer(**inputs, max_new_tokens=TOKENS, do_sample=False)


def with_folders(catalog: Catalog, folders: Iterable[str]) -> tuple[Catalog, list[Checkpoint]]:
    """With each FOLDER=LIKE as a checkpoint; and those checkpoints."""
    found = []
    for each in folders:
        folder, _, like = each.rpartition("=")
        catalog, checkpoint = catalog.with_checkpoint(str(Path(folder).resolve()), like)
        found.append(checkpoint)
    return catalog, found


def in_own_process(
    checkpoint: str, precision: str, is_plain: bool = False, folders: Sequence[str] = ()
) -> dict[str, float]:
    """As `measure`, of a checkpoint of the environment or of the FOLDER=LIKE ones."""
    command = [sys.executable, "-m", "evaluation.speed.memory", "--here", checkpoint, precision]
    command += ["--folder", *folders, *(["--plain"] if is_plain else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[tuple[str, str, dict[str, float]]]) -> str:
    """Markdown: megabytes, and measured against said."""
    head = (
        "checkpoint", "precision", "weights, MB", "load peak, MB", "÷ weights", "answer peak, MB",
        "estimate, MB", "peak ÷ estimate", "load, s", "answer, s",
    )  # fmt: skip
    lines = []
    for name, precision, found in rows:
        peak = max(found["load_peak"], found["answer_peak"])
        lines.append(
            (
                name,
                precision,
                f"{found['weights'] / 1e6:,.0f}",
                f"{found['load_peak'] / 1e6:,.0f}",
                f"{found['load_peak'] / found['weights']:.2f}",
                f"{found['answer_peak'] / 1e6:,.0f}",
                f"{found['estimate'] / 1e6:,.0f}",
                f"{peak / found['estimate']:.2f}",
                f"{found['load_s']:.1f}",
                f"{found['answer_s']:.1f}",
            )
        )
    return tables.table(head, lines, True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", nargs="*", default=["nano-224"], help="catalog names")
    parser.add_argument("--folder", nargs="*", default=[], help="FOLDER=LIKE, of true_shape")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "nf4"])
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    catalog, added = with_folders(Catalog.from_environment(os.environ), options.folder)
    if options.here:
        name, precision = options.here
        print(json.dumps(measure(catalog.find(name), precision, options.plain)))
        return
    rows = []
    for name in (*options.checkpoints, *(each.name for each in added)):
        for precision in options.precisions:
            found = in_own_process(name, precision, folders=options.folder)
            rows.append((name, precision, found))
            print(*rows[-1])
    print(table(rows))
    for document in options.write:
        documents.write(document, {"memory": table(rows)})


if __name__ == "__main__":
    main()
