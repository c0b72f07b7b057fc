"""The results of a run in the formats that other tools read.

python -m data.export runs/cats --format coco yolo
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from data.exports.formats import FORMATS, export
from models.schema import UserError

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m data.export",
        description="Write the results of python -m models.batch in other formats.",
        epilog="formats:\n" + format_list(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the --out of models.batch")
    parser.add_argument(
        "--format",
        metavar="NAME",
        nargs="+",
        required=True,
        choices=list(FORMATS),
        help="see below; each gets a folder in RUN/exports",
    )
    options = parser.parse_args(arguments)
    try:
        for each in export(options.run, options.format):
            print(each)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return 0


def format_list() -> str:
    """What each format is, a line each."""
    return "".join(f"  {name:<14}{each.what}\n" for name, each in FORMATS.items())


if __name__ == "__main__":
    sys.exit(main())
