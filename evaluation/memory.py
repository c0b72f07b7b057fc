"""What loading and answering take in memory, against what `models.memory` says.

    python -m evaluation.true_shape --like 3b-pt-224 --out build/true-shape/3b-random
    python -m evaluation.memory --folder build/true-shape/3b-random=3b-pt-224 --write README.md

Each line is a process of its own, which imports everything, notes its resident memory, loads, and
answers; the peaks are the kernel's (VmHWM), less what was there before. CPU only, Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from evaluation import documents, report

TOKENS = 16


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process in memory now (VmRSS) or at most since `forget_peak` (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def forget_peak() -> None:
    """Let VmHWM begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(checkpoint: str, precision: str) -> dict[str, float]:
    """In this process: bytes and seconds of a load and of an answer after it."""
    import torch
    from PIL import Image

    from models import catalog, memory
    from models.engine import generate
    from models.loader import Loader
    from models.schema import Decoding, Request

    chosen = catalog.find(checkpoint)
    torch.ones(64, 64) @ torch.ones(64, 64)
    loader = Loader(torch.device("cpu"))
    request = Request(
        Image.new("RGB", (chosen.resolution,) * 2, "white"),
        "caption en",
        checkpoint,
        decoding=Decoding(max_new_tokens=TOKENS),
    )
    before = resident()
    forget_peak()
    started = time.monotonic()
    loaded = loader.load(checkpoint, precision)
    loaded_s, load_peak = time.monotonic() - started, resident("VmHWM") - before
    forget_peak()
    started = time.monotonic()
    for _ in generate(loaded, request):
        pass
    answered_s, answer_peak = time.monotonic() - started, resident("VmHWM") - before
    expected = memory.estimate(chosen, precision)
    return {
        "weights": expected.weights,
        "estimate": expected.total,
        "load_peak": load_peak,
        "answer_peak": answer_peak,
        "load_s": loaded_s,
        "answer_s": answered_s,
    }


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
    return report.table(head, lines, True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoints", nargs="*", default=["nano-224"], help="catalog names")
    parser.add_argument("--folder", nargs="*", default=[], help="FOLDER=LIKE, of true_shape")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "nf4"])
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(*options.here)))
        return
    folders = [entry.rpartition("=") for entry in options.folder]
    own = ",".join(f"{Path(folder).resolve()}={like}" for folder, _, like in folders)
    environment = os.environ | {"PALIGEMMA_CHECKPOINTS": own}
    rows = []
    for name in (*options.checkpoints, *(Path(folder).name for folder, _, _ in folders)):
        for precision in options.precisions:
            command = [sys.executable, "-m", "evaluation.memory", "--here", name, precision]
            done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            rows.append((name, precision, json.loads(done.stdout.splitlines()[-1])))
            print(*rows[-1])
    print(table(rows))
    for document in options.write:
        documents.write(document, {"memory": table(rows)})


if __name__ == "__main__":
    main()
