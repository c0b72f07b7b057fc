"""What only a GPU can show, in eight minutes on one card, as one JSON and one Markdown file.

    python -m evaluation.speed.gpu_check --out build/gpu-check
    python -m evaluation.speed.gpu_check --out build/gpu-check --parts tests 3b-pt-224

Each part is a process of its own with its own time limit, and the files are written after each, so
that a part which fails, hangs or is killed costs no other its result. `tests` runs those marked
gpu. The others make random weights in the true shape of a checkpoint, load them as a download is
loaded, and compare the served engine with plain `generate`. Parts run on a CPU too, with a nano.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from evaluation.compare import systems
from evaluation.report import machine
from evaluation.report.tables import table
from evaluation.speed import limits, true_shape
from evaluation.speed.implementations import PROMPTS, Implementation, plain, served
from evaluation.speed.stopwatch import stopwatch
from models.catalog import memory
from models.catalog.catalog import Catalog
from models.loading.device import best_device
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw

NAME = "evaluation.speed.gpu_check"
TESTS = "tests"
# Seconds that each part may take: together the eight minutes.
LIMITS_S = {TESTS: 120, "3b-pt-224": 150, "3b-pt-448": 90, "3b-pt-896": 120}
TOKENS = 32
TOGETHER = 16
REPEATS = 3
ROOT = Path(__file__).parents[2]


def run_tests() -> dict[str, Any]:
    """The tests marked gpu: pytest's exit code and its last lines."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/model"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else done.stderr[-400:],
            "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))]}  # fmt: skip


def measure_shape(like: str, tokens: int = TOKENS, together: int = TOGETHER) -> dict[str, Any]:
    """Load, first token, decode and memory of random weights in the shape of a checkpoint.

    Seconds are medians of REPEATS. `bandwidth_share` is how much of the bytes a second that this
    device reads in a sum it reads for the tokens of one answer.
    """
    device = best_device()
    checkpoint = Catalog().find(like)
    best = limits.measure(device, {})
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / f"{like}-random"
        seconds = stopwatch()
        true_shape.build(checkpoint, folder)
        found: dict[str, Any] = {"device": _device_name(device), "made_s": seconds()}
        system = systems.parse(f"{folder}={like}@bf16")
        resolved = systems.resolved(system, Catalog())
        backend = LocalBackend(resolved.catalog)
        try:
            engine = served(backend, resolved.checkpoint, "bf16", tokens)
            found["served"] = _timings(engine, checkpoint.resolution, together)
        finally:
            backend.close()
        if device.type == "cuda":
            expected = memory.estimate(checkpoint, "bf16", on_cpu=False)
            peak = torch.cuda.max_memory_allocated(device)
            found["memory"] = {"peak": peak, "estimate": expected.total}
        other = plain(resolved.checkpoint, "bf16", tokens)
        found["plain"] = _timings(other, checkpoint.resolution, together)
    read = limits.token_bytes(checkpoint, "bf16", device.type == "cpu", False)
    rate = found["served"]["tokens_per_s"]
    found["bandwidth_share"] = read * rate / best.bytes_per_s if rate else None
    return found


def _timings(own: Implementation, resolution: int, together: int) -> dict[str, Any]:
    """Medians over REPEATS answers of the longest task, and tokens a second of many at once."""
    images = [draw(HELD_OUT + number, resolution).image for number in range(together)]
    runs = [own.answer(images[number % together], PROMPTS[1]) for number in range(REPEATS)]
    rates = [run.tokens_per_s for run in runs if run.tokens_per_s]
    prompts = [PROMPTS[1]] * together
    seconds = stopwatch()
    if own.answer_batch is not None:
        own.answer_batch(images, prompts)
    else:
        with ThreadPoolExecutor(together) as pool:
            list(pool.map(own.answer, images, prompts))
    return {
        "load_s": own.load_s,
        "first_token_s": statistics.median(run.first_token_s for run in runs),
        "tokens_per_s": statistics.median(rates) if rates else None,
        "together": together,
        "together_s": seconds(),
    }


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def check(parts: Sequence[str], out: Path, limit_s: float | None = None) -> dict[str, Any]:
    """All parts one after another; what each found, or how it failed, is in `out` after each."""
    out.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"machine": machine.about(NAME, sys.argv[1:]), "parts": {}}
    for part in parts:
        record["parts"][part] = _in_own_process(part, limit_s or LIMITS_S.get(part, 120), out)
        (out / "gpu_check.json").write_text(json.dumps(record, indent=1), "utf-8")
        (out / "gpu_check.md").write_text(render(record), "utf-8")
    return record


def _in_own_process(part: str, limit_s: float, out: Path) -> dict[str, Any]:
    """The result of a part with the seconds it took; `failure` says why there is none."""
    file = out / f"{part}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", NAME, "--here", part, "--out", str(out)]
    seconds = stopwatch()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"failure": f"not done after {limit_s:.0f} s", "seconds": seconds()}
    if done.returncode or not file.is_file():
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"failure": "\n".join(lines[-12:]), "seconds": seconds()}
    return json.loads(file.read_text("utf-8")) | {"seconds": seconds()}


def render(record: dict[str, Any]) -> str:
    """What is known so far, as Markdown."""
    about = record["machine"]
    texts = [f"GPU: {about['gpu']}; {about['versions']}; `{about['command']}`"]
    rows = []
    for part, found in record["parts"].items():
        if "failure" in found:
            texts.append(f"- {part}: failed after {found['seconds']:.0f} s: {found['failure']}")
        elif part == TESTS:
            texts.append(f"- tests: {found['summary']}")
            texts += [f"  - {line}" for line in found["failed"]]
        else:
            rows += [_row(part, found, name) for name in ("served", "plain")]
    if rows:
        head = ("shape", "by", "load, s", "first token, s", "tokens/s", "together", "together, s",
                "of bandwidth", "peak ÷ estimate")  # fmt: skip
        texts += ["", table(head, rows, markdown=True)]
    return "\n".join(texts) + "\n"


def _row(part: str, found: dict[str, Any], name: str) -> tuple[str, ...]:
    own, is_served = found[name], name == "served"
    rate, share = own["tokens_per_s"], found["bandwidth_share"]
    used = found.get("memory")
    return (
        part,
        name,
        f"{own['load_s']:.1f}",
        f"{own['first_token_s']:.3f}",
        f"{rate:.1f}" if rate else "",
        str(own["together"]),
        f"{own['together_s']:.2f}",
        f"{share:.0%}" if is_served and share else "",
        f"{used['peak'] / used['estimate']:.2f}" if is_served and used else "",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 where a part failed."""
    parser = argparse.ArgumentParser(prog=f"python -m {NAME}", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"), help="a folder")
    parser.add_argument("--parts", nargs="+", default=list(LIMITS_S), help="tests, checkpoints")
    parser.add_argument("--limit-s", type=float, help="seconds for each part; default: its own")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        found = run_tests() if options.here == TESTS else measure_shape(options.here)
        (options.out / f"{options.here}.json").write_text(json.dumps(found), "utf-8")
        return 0
    record = check(options.parts, options.out, options.limit_s)
    print(render(record))
    failed = [p for p, found in record["parts"].items() if found.get("failure")]
    tests = record["parts"].get(TESTS, {})
    return int(bool(failed) or tests.get("exit_code", 0) not in (0, 5))


if __name__ == "__main__":
    sys.exit(main())
