"""How fast answers come: the served engine from request to result beside plain `generate`.

    python -m evaluation.benchmark --checkpoint nano-224
    python -m evaluation.speed.true_shape --like 3b-pt-224 --out build/true-shape/3b-random
    python -m evaluation.benchmark --folder build/true-shape/3b-random=3b-pt-224 \\
        --precisions bf16 nf4 --answers 5 --max-new-tokens 16 --rows 1 4 --json speed.json

One run measures all implementations on the same machine, pictures and prompts, taking turns, so
that what else the machine does falls on all of them. Memory is measured in a process of its own for
each.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from data import documents
from evaluation.report import machine
from evaluation.report.tables import table
from evaluation.speed import limits, lines, memory
from evaluation.speed.implementations import (
    PROMPTS,
    Implementation,
    Run,
    in_own_thread,
    plain,
    served,
)
from evaluation.speed.stopwatch import stopwatch
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import Checkpoint
from models.loading.device import best_device
from models.loading.precision import DTYPES, resolve_precision
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw

# What comes together: one of each kind that visitors of a page ask, or eight long answers.
MIXED = (
    "caption en",
    "describe en",
    "answer en what color is the background?",
    "ocr",
    "detect cat ; dog",
    "segment dog",
    "caption de",
    "question en yes",
)
TOGETHER = {"mixed": MIXED, "descriptions": ("describe en",)}
NAME = "evaluation.benchmark"
REPEATS = 5  # of everything that is not counted in answers


def compare(
    implementations: Sequence[Implementation], answers: int, resolution: int
) -> list[list[Run]]:
    """The runs of each on as many pictures, the implementations beginning in turn."""
    runs: list[list[Run]] = [[] for _ in implementations]
    order = list(range(len(implementations)))
    for number in range(answers):
        image = draw(HELD_OUT + 1 + number, resolution).image
        for index in order if number % 2 == 0 else order[::-1]:
            runs[index].append(implementations[index].answer(image, PROMPTS[number % len(PROMPTS)]))
    return runs


def together(
    engine: Implementation, other: Implementation, kind: str, rows: int, resolution: int
) -> dict[str, float]:
    """Seconds until `rows` requests about as many pictures are answered, medians of REPEATS.

    Ours come at once; plain `generate` takes one after another, or all as one padded batch, which
    has to wait for the last request and ends with the longest answer.
    """
    as_batch = other.answer_batch
    if as_batch is None:
        raise ValueError(f"{other.name} takes no batch")
    found: dict[str, list[float]] = {"at_once_s": [], "in_turn_s": [], "as_batch_s": []}
    for number in range(REPEATS):
        seed = HELD_OUT + 1000 + number * rows
        images = [draw(seed + index, resolution).image for index in range(rows)]
        prompts = list(itertools.islice(itertools.cycle(TOGETHER[kind]), rows))
        asked = list(zip(images, prompts, strict=True))
        seconds = stopwatch()
        with ThreadPoolExecutor(rows) as pool:
            list(pool.map(lambda pair: engine.answer(*pair), asked))
        found["at_once_s"].append(seconds())
        seconds = stopwatch()
        for pair in asked:
            other.answer(*pair)
        found["in_turn_s"].append(seconds())
        seconds = stopwatch()
        as_batch(images, prompts)
        found["as_batch_s"].append(seconds())
    return {name: statistics.median(values) for name, values in found.items()}


def second_question(engine: Implementation, resolution: int) -> dict[str, float]:
    """Seconds to the first token of the first and the second question about a picture, medians."""
    found: dict[str, list[float]] = {"first_s": [], "second_s": []}
    for number in range(REPEATS):
        image = draw(HELD_OUT + 5000 + number, resolution).image
        for name, prompt in zip(found, ("describe en", "caption en"), strict=True):
            found[name].append(engine.answer(image, prompt).first_token_s)
    return {name: statistics.median(values) for name, values in found.items()}


def measure(
    catalog: Catalog, checkpoint: Checkpoint, precisions: Sequence[str], options: argparse.Namespace
) -> dict:
    """All implementations on one checkpoint of a catalog, as a JSON-able dict; a precision may be
    "auto"."""
    device = best_device()
    precisions = [resolve_precision(checkpoint, each, device) for each in precisions]
    dtypes = {each: DTYPES[each] for each in ("bf16", "fp32")}
    best = in_own_thread(lambda: limits.measure(device, dtypes))
    backend = LocalBackend(catalog)
    found: list[Implementation] = []
    for precision in precisions:
        found.append(served(backend, checkpoint, precision, options.max_new_tokens))
        found.append(plain(checkpoint, precision, options.max_new_tokens))
    runs = compare(found, options.answers, checkpoint.resolution)
    record = {
        "machine": machine.about(NAME, sys.argv[1:]),
        "checkpoint": checkpoint.name,
        "resolution": checkpoint.resolution,
        "answers": options.answers,
        "limits": asdict(best),
        "prefix_operations": limits.prefix_operations(checkpoint),
        "implementations": [
            summary(*each, checkpoint, best, device) for each in zip(found, runs, strict=True)
        ],
        "same_text": {
            own.precision: sum(a.text == b.text for a, b in zip(a_runs, b_runs, strict=True))
            for own, a_runs, b_runs in zip(found[::2], runs[::2], runs[1::2], strict=True)
        },
        "second_question": {
            own.precision: second_question(own, checkpoint.resolution)
            for own in found
            if own.is_served and options.second
        },
        "together": [
            {"precision": precision, "kind": kind, "rows": rows}
            | together(engine, other, kind, rows, checkpoint.resolution)
            for precision, engine, other in zip(precisions, found[::2], found[1::2], strict=True)
            for kind in TOGETHER
            for rows in options.rows
        ],
        "lines": [lines.compare_lines(backend, found[1], checkpoint, options.lines)]
        if options.lines
        else [],
        "runs": [[asdict(run) for run in each] for each in runs],
    }
    backend.close()
    return record


def summary(
    own: Implementation,
    runs: list[Run],
    checkpoint: Checkpoint,
    best: limits.Limits,
    device: torch.device,
) -> dict[str, Any]:
    """Medians over the runs, and the shares of the machine's limits that they reach."""
    rates = [run.tokens_per_s for run in runs if run.tokens_per_s]
    first_s = statistics.median(run.first_token_s for run in runs)
    rate = statistics.median(rates) if rates else float("nan")
    on_cpu = device.type == "cpu"
    small_head = own.is_served and own.precision == "nf4" and on_cpu
    read = limits.token_bytes(checkpoint, own.precision, on_cpu, small_head)
    format = "fp32" if own.precision == "fp32" else "bf16"
    operations = limits.prefix_operations(checkpoint) / best.operations_per_s[format]
    return {
        "name": own.name,
        "precision": own.precision,
        "load_s": own.load_s,
        "first_token_s": first_s,
        "tokens_per_s": rate,
        "answer_s": statistics.median(run.total_s for run in runs),
        "token_bytes": read,
        "bandwidth_share": read * rate / best.bytes_per_s,
        "operations_share": operations / first_s,
    }


def render(record: dict) -> str:
    """What `measure` found, as Markdown. Ratios are to the second, plain in the first
    precision; above 1 is faster."""
    base = record["implementations"][1]
    rows = []
    for own in record["implementations"]:
        peak = own.get("above_weights")
        rows.append(
            (
                f"{own['name']}, {own['precision']}",
                f"{own['load_s']:.1f}",
                f"{own['first_token_s']:.3f}",
                f"{base['first_token_s'] / own['first_token_s']:.2f}",
                f"{own['operations_share']:.0%}",
                f"{own['tokens_per_s']:.1f}",
                f"{own['tokens_per_s'] / base['tokens_per_s']:.2f}",
                f"{own['bandwidth_share']:.0%}",
                "" if peak is None else f"{peak / 1e6:,.0f}",
            )
        )
    head = (
        "implementation", "load, s", "first token, s", "×", "of GEMM", "tokens/s", "×",
        "of bandwidth", "above weights, MB",
    )  # fmt: skip
    best, about = record["limits"], record["machine"]
    rates = ", ".join(f"{k} {v / 1e9:,.0f} GFLOP/s" for k, v in best["operations_per_s"].items())
    parts = [
        f"{record['checkpoint']}, {record['resolution']} px, one request at a time, greedy; "
        f"medians of {record['answers']} answers on {about['cpu']}, GPU: {about['gpu']}, "
        f"{about['versions']}; limits measured in the run: {best['bytes_per_s'] / 1e9:.1f} GB/s, "
        f"{rates}; `{about['command']}`:",
        table(head, rows, markdown=True),
        "\n".join(_notes(record)),
    ]
    if record["together"]:
        cells = [
            (
                f"{each['rows']} {each['kind']}, {each['precision']}",
                *(f"{each[name]:.3f}" for name in ("at_once_s", "in_turn_s", "as_batch_s")),
                f"{each['in_turn_s'] / each['at_once_s']:.2f}",
                f"{each['as_batch_s'] / each['at_once_s']:.2f}",
            )
            for each in record["together"]
        ]
        heading = (
            "requests", "ours at once, s", "plain in turn, s", "plain as batch, s", "× in turn",
            "× batch",
        )  # fmt: skip
        parts.append(table(heading, cells, markdown=True))
    return "\n\n".join(parts)


def _notes(record: dict) -> Iterator[str]:
    for precision, same in record["same_text"].items():
        yield f"- {precision}: same text in {same} of {record['answers']} answers."
    for each in record["lines"]:
        yield f"- {lines.note(each)}"
    for precision, each in record["second_question"].items():
        sooner = 1 - each["second_s"] / each["first_s"]
        yield (
            f"- {precision}: first token of the first question about a picture after "
            f"{each['first_s']:.3f} s, of the second after {each['second_s']:.3f} s, "
            f"{sooner:.0%} sooner."
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name")
    parser.add_argument("--folder", help="FOLDER=LIKE of true_shape, in place of a catalog name")
    parser.add_argument("--precisions", nargs="+", default=["auto"])
    parser.add_argument("--answers", type=int, default=20, help="that each gives")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--no-second", dest="second", action="store_false")
    parser.add_argument(
        "--lines", type=int, default=0, help="captions by --jsonl, beside plain in batches"
    )
    parser.add_argument("--memory", action="store_true", help="also measure memory; CPU, Linux")
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    catalog, folders = Catalog.from_environment(os.environ), []
    if options.folder:
        folders = [options.folder]
        catalog, (checkpoint,) = memory.with_folders(catalog, folders)
    else:
        checkpoint = catalog.find(options.checkpoint)
    name = checkpoint.name
    record = measure(catalog, checkpoint, options.precisions, options)
    if options.memory:
        for own in record["implementations"]:
            is_plain = own["name"] != "this project"
            found = memory.in_own_process(name, own["precision"], is_plain, folders)
            own["above_weights"] = found["above_weights"]
    print(render(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False))
    for document in options.write:
        documents.write(document, {f"speed {name}": render(record)})


if __name__ == "__main__":
    main()
