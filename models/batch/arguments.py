"""The options of `python -m models.batch`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.exports.formats import FORMATS
from models.catalog.catalog import Catalog
from models.generate.arguments import (
    EXIT_CODES,
    Parser,
    add_model_options,
    checkpoint_names,
)

_EXAMPLES = """\
examples:
  python -m models.batch --images photos --prompt "detect cat" --out runs/cats --export coco yolo
  python -m models.batch --images photos.zip --prompt "caption en" --prompt ocr --out runs/texts

RUN/results.jsonl gets a line for each picture and prompt. The same command goes on where it was
stopped, however that was.
"""


def parse_arguments(arguments: Sequence[str] | None, catalog: Catalog) -> argparse.Namespace:
    """The options as given."""
    return _parser(catalog).parse_args(arguments)


def _parser(catalog: Catalog) -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m models.batch",
        description="Ask PaliGemma 2 the same about each of very many pictures.",
        epilog="\n".join((_EXAMPLES, checkpoint_names(catalog), EXIT_CODES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--images",
        metavar="PATH",
        nargs="+",
        required=True,
        help="a folder with all that is in it, a ZIP archive, or files",
    )
    add(
        "--prompt",
        action="append",
        required=True,
        help='such as "caption en" or "detect cat ; dog"; again for each further one',
    )
    add("--out", metavar="RUN", type=Path, required=True, help="the folder of results")
    add(
        "--export",
        metavar="FORMAT",
        nargs="+",
        default=[],
        choices=list(FORMATS),
        help=f"formats that are written into RUN/exports at the end: {', '.join(FORMATS)}",
    )
    add_model_options(parser)
    return parser
