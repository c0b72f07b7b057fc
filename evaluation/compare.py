"""Several checkpoints, adapters and precisions on one set of items, side by side.

    python -m evaluation.compare --data easy-vqa --split test \\
        --systems nano-224 nano-224+easy-vqa nano-224+easy-vqa@nf4 --write README.md
    python -m evaluation.compare --data instances.json --task segment --systems nano-224
    python -m evaluation.compare --data textvqa --systems 3b-pt-224@bf16 3b-pt-224@nf4

`training.data` says what `--data` may be. Answers are kept in `--work`, so that a run that was
stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import transformers

from evaluation import documents, measures, plot, report
from evaluation.systems import answers, parse_systems
from models.device import best_device
from models.loader import Loader
from models.mask_codec import MaskCodec
from models.schema import UserError
from training.data import read, source


def table(columns: Mapping[str, Sequence[dict]], markdown: bool = True) -> str:
    """Measures down, systems across, each value with its interval."""
    names = dict.fromkeys(row["measure"] for rows in columns.values() for row in rows)
    by_system = [{row["measure"]: row for row in rows} for rows in columns.values()]
    lines = []
    for name in names:
        found = [each.get(name) for each in by_system]
        count = next(str(row["count"]) for row in found if row)
        lines.append((name, *(_cell(row) for row in found), count))
    return report.table(("measure", *columns, "n"), lines, markdown)


def _cell(row: dict | None) -> str:
    if row is None:
        return ""
    low, high = (_number(row[edge]) for edge in ("low", "high"))
    return f"{_number(row['value'])} ({low}–{high})"


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def about(name: str, count: int, command: str) -> str:
    """What the table is of, and how it was made."""
    device = best_device()
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    if device.type == "cpu":
        where = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
    return (
        f"{count:,} items of {name}, greedy, with 95 % intervals; {where}, {versions}; `{command}`"
    )


def main(given: Sequence[str] | None = None) -> int:
    """Command line; 2 where the data or a system cannot be had."""
    given = sys.argv[1:] if given is None else given
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="as for training.finetune")
    parser.add_argument("--split", help="of the data")
    parser.add_argument("--half", help="first or second: one half of the split")
    parser.add_argument("--task", help="of a COCO file: detect or segment")
    parser.add_argument("--images", type=Path, help="folder of a COCO file's pictures")
    parser.add_argument("--image-column", help="of a Hub dataset")
    parser.add_argument("--answer-column", help="of a Hub dataset")
    parser.add_argument("--template", help="prefix with columns in braces")
    parser.add_argument("--limit", type=int, help="items, from the beginning")
    parser.add_argument("--systems", nargs="+", default=["nano-224"])
    parser.add_argument("--work", type=Path, help="a folder for answers, to go on from")
    parser.add_argument("--json", type=Path, help="write all rows here")
    parser.add_argument("--plot", type=Path, help="draw the rows into this PNG")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args(given)
    try:
        systems = parse_systems(options.systems)
        chosen = source(
            options.data,
            split=options.split,
            half=options.half,
            task=options.task,
            images=options.images,
            image=options.image_column,
            answer=options.answer_column,
            template=options.template,
            limit=options.limit,
        )
        items = read(chosen)
        columns = {}
        for system in systems:
            _, codec = Loader().fetch(system.checkpoint)
            found = answers(system, items, options.work)
            columns[system.label] = measures.rows(items, found, MaskCodec.load(codec))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    name = Path(options.data).name
    command = documents.command("evaluation.compare", given)
    print(table(columns, markdown=False))
    if options.json:
        content = {"data": name, "items": len(items), "systems": columns}
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if options.plot:
        plot.draw(columns, options.plot)
    text = f"{about(name, len(items), command)}:\n\n{table(columns)}"
    for document in options.write:
        documents.write(document, {f"compared {name}": text})
    return 0


if __name__ == "__main__":
    sys.exit(main())
