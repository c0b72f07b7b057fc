"""What a precision costs in quality: the same scenes and prompts in each, side by side.

    python -m evaluation.nano.precisions --checkpoint nano-224 --scenes 200 --write docs/quality.md

Only measures that have a goal are shown; `evaluation.evaluate` prints all of one precision.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from data import documents
from evaluation.nano.asking import opened
from evaluation.nano.evaluate import evaluate
from evaluation.report import tables
from models.catalog.catalog import Catalog


def table(scores: Mapping[str, dict], markdown: bool = True) -> str:
    """Measures down, precisions across; `scores` are those of `evaluate` by precision."""
    columns = [
        {(row["task"], row["measure"]): row for row in each["rows"] if tables.has_goal(row)}
        for each in scores.values()
    ]
    rows = [
        (*measure, *(f"{column[measure]['value']:.3f}" for column in columns), str(row["count"]))
        for measure, row in columns[0].items()
    ]
    return tables.table(("task", "measure", *scores, "n"), rows, markdown)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name or a folder")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "int8", "nf4"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--batch", type=int, help="requests at once; default: what is served")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    catalog = Catalog.from_environment(os.environ)
    scores = {}
    for precision in options.precisions:
        with opened(catalog, options.checkpoint, precision, at_once=options.batch) as answerer:
            scores[precision] = evaluate(answerer, options.scenes)
    print(table(scores))
    for document in options.write:
        documents.write(document, {"precisions": table(scores)})


if __name__ == "__main__":
    main()
