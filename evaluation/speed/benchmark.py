"""How fast answers come: this project's way from request to result beside plain `generate`.

    python -m evaluation.benchmark --checkpoint nano-224
    python -m evaluation.speed.true_shape --like 3b-pt-224 --out build/true-shape/3b-random
    python -m evaluation.benchmark --folder build/true-shape/3b-random=3b-pt-224 \\
        --precisions bf16 nf4 --answers 5 --max-new-tokens 16 --rows 1 4 --json speed.json

One run measures all ways on the same machine, pictures and prompts, taking turns, so that what else
the machine does falls on all of them. Memory is measured in a process of its own for each way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from data import documents
from evaluation.nano.predict import timer
from evaluation.report import machine
from evaluation.report.tables import table
from evaluation.speed import limits, memory
from evaluation.speed.ways import PROMPTS, Run, Way, in_own_thread, ours, plain
from models.catalog.checkpoints import Checkpoint
from models.catalog.lookup import find
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
REPEATS = 5  # of everything that is not counted in answers


def compare(ways: Sequence[Way], answers: int, resolution: int) -> list[list[Run]]:
    """The runs of each way on as many pictures, the ways beginning in turn."""
    runs: list[list[Run]] = [[] for _ in ways]
    order = list(range(len(ways)))
    for number in range(answers):
        image = draw(HELD_OUT + 1 + number, resolution).image
        for index in order if number % 2 == 0 else order[::-1]:
            runs[index].append(ways[index].answer(image, PROMPTS[number % len(PROMPTS)]))
    return runs


def together(mine: Way, theirs: Way, kind: str, rows: int, resolution: int) -> dict[str, float]:
    """Seconds until `rows` requests about as many pictures are answered, medians of REPEATS.

    Ours come at once; plain `generate` takes one after another, or all as one padded batch, which
    has to wait for the last request and ends with the longest answer.
    """
    found: dict[str, list[float]] = {"at_once_s": [], "in_turn_s": [], "as_batch_s": []}
    for number in range(REPEATS):
        seed = HELD_OUT + 1000 + number * rows
        images = [draw(seed + index, resolution).image for index in range(rows)]
        prompts = list(itertools.islice(itertools.cycle(TOGETHER[kind]), rows))
        asked = list(zip(images, prompts, strict=True))
        seconds = timer()
        with ThreadPoolExecutor(rows) as pool:
            list(pool.map(lambda pair: mine.answer(*pair), asked))
        found["at_once_s"].append(seconds())
        seconds = timer()
        for pair in asked:
            theirs.answer(*pair)
        found["in_turn_s"].append(seconds())
        seconds = timer()
        theirs.answer_batch(images, prompts)
        found["as_batch_s"].append(seconds())
    return {name: statistics.median(values) for name, values in found.items()}


def second_question(mine: Way, resolution: int) -> dict[str, float]:
    """Seconds to the first token of the first and the second question about a picture, medians."""
    found: dict[str, list[float]] = {"first_s": [], "second_s": []}
    for number in range(REPEATS):
        image = draw(HELD_OUT + 5000 + number, resolution).image
        for name, prompt in zip(found, ("describe en", "caption en"), strict=True):
            found[name].append(mine.answer(image, prompt).first_token_s)
    return {name: statistics.median(values) for name, values in found.items()}


def measure(name: str, precisions: Sequence[str], options: argparse.Namespace) -> dict:
    """All ways on one checkpoint, as a JSON-able dict; a precision may be "auto"."""
    checkpoint, device = find(name), best_device()
    precisions = [resolve_precision(checkpoint, each, device) for each in precisions]
    dtypes = {each: DTYPES[each] for each in ("bf16", "fp32")}
    best = in_own_thread(lambda: limits.measure(device, dtypes))
    backend = LocalBackend()
    ways: list[Way] = []
    for precision in precisions:
        ways.append(ours(backend, name, precision, options.max_new_tokens))
        ways.append(plain(name, precision, options.max_new_tokens))
    runs = compare(ways, options.answers, checkpoint.resolution)
    record = {
        "machine": machine.about("evaluation.speed.benchmark", sys.argv[1:]),
        "checkpoint": name,
        "resolution": checkpoint.resolution,
        "answers": options.answers,
        "limits": asdict(best),
        "prefix_operations": limits.prefix_operations(checkpoint),
        "ways": [summary(*each, checkpoint, best, device) for each in zip(ways, runs, strict=True)],
        "same_text": {
            way.precision: sum(a.text == b.text for a, b in zip(a_runs, b_runs, strict=True))
            for way, a_runs, b_runs in zip(ways[::2], runs[::2], runs[1::2], strict=True)
        },
        "second_question": {
            way.precision: second_question(way, checkpoint.resolution)
            for way in ways
            if way.is_ours and options.second
        },
        "together": [
            {"precision": precision, "kind": kind, "rows": rows}
            | together(mine, theirs, kind, rows, checkpoint.resolution)
            for precision, mine, theirs in zip(precisions, ways[::2], ways[1::2], strict=True)
            for kind in TOGETHER
            for rows in options.rows
        ],
        "runs": [[asdict(run) for run in each] for each in runs],
    }
    backend.close()
    return record


def summary(
    way: Way,
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
    small_head = way.is_ours and way.precision == "nf4" and on_cpu
    read = limits.token_bytes(checkpoint, way.precision, on_cpu, small_head)
    format = "fp32" if way.precision == "fp32" else "bf16"
    operations = limits.prefix_operations(checkpoint) / best.operations_per_s[format]
    return {
        "name": way.name,
        "precision": way.precision,
        "load_s": way.load_s,
        "first_token_s": first_s,
        "tokens_per_s": rate,
        "answer_s": statistics.median(run.total_s for run in runs),
        "token_bytes": read,
        "bandwidth_share": read * rate / best.bytes_per_s,
        "operations_share": operations / first_s,
    }


def render(record: dict) -> str:
    """What `measure` found, as Markdown. Ratios are to the second way, plain in the first
    precision; above 1 is faster."""
    base = record["ways"][1]
    rows = []
    for way in record["ways"]:
        peak = way.get("above_weights")
        rows.append(
            (
                f"{way['name']}, {way['precision']}",
                f"{way['load_s']:.1f}",
                f"{way['first_token_s']:.3f}",
                f"{base['first_token_s'] / way['first_token_s']:.2f}",
                f"{way['operations_share']:.0%}",
                f"{way['tokens_per_s']:.1f}",
                f"{way['tokens_per_s'] / base['tokens_per_s']:.2f}",
                f"{way['bandwidth_share']:.0%}",
                "" if peak is None else f"{peak / 1e6:,.0f}",
            )
        )
    head = (
        "way", "load, s", "first token, s", "×", "of GEMM", "tokens/s", "×", "of bandwidth",
        "above weights, MB",
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
        head = (
            "requests", "ours at once, s", "plain in turn, s", "plain as batch, s", "× in turn",
            "× batch",
        )  # fmt: skip
        parts.append(table(head, cells, markdown=True))
    return "\n\n".join(parts)


def _notes(record: dict) -> Iterator[str]:
    for precision, same in record["same_text"].items():
        yield f"- {precision}: same text in {same} of {record['answers']} answers."
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
    parser.add_argument("--answers", type=int, default=20, help="that every way gives")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--rows", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--no-second", dest="second", action="store_false")
    parser.add_argument("--memory", action="store_true", help="also measure memory; CPU, Linux")
    parser.add_argument("--json", type=Path, help="write every run here")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    name = options.checkpoint
    if options.folder:
        name = memory.offer([options.folder])[0]
    record = measure(name, options.precisions, options)
    if options.memory:
        for way in record["ways"]:
            is_plain = way["name"] != "this project"
            found = memory.in_own_process(name, way["precision"], is_plain)
            way["above_weights"] = found["above_weights"]
    print(render(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False))
    for document in options.write:
        documents.write(document, {f"speed {name}": render(record)})


if __name__ == "__main__":
    main()
