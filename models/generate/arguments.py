"""The options of the command line."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from models.catalog.catalog import Catalog
from models.catalog.memory import PRECISIONS
from models.schema import UserError

FAILED = 2
INTERRUPTED = 130

_EXAMPLES = """\
examples:
  python -m models.generate --image cat.png --prompt "detect cat ; dog" --json
  python -m models.generate --image left.png --image right.png --prompt "answer en …"
  python -m models.generate --checkpoint 3b-mix-448 --image cat.png --prompt "describe en"
  python -m models.generate --jsonl requests.jsonl > answers.jsonl
  find-pictures | python -m models.generate --jsonl - | use-answers

a line of --jsonl:
  {"image": "cat.png", "prompt": "caption en", "id": "a1", "max_new_tokens": 32, "adapter": null}
  "image" may be a list, for a prompt with several pictures. The last three may be left out or
  null; the options then say. Lines are answered side by side, and the answers come in the order of
  the lines, each with its "line" and "id". A line that cannot be answered gets
  {"line": 2, "error": "…"}, and the others go on.
"""
EXIT_CODES = f"""\
exit codes:
  0 all was answered, {FAILED} something could not be, {INTERRUPTED} interrupted
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"error: {message}\n")


def parse_arguments(arguments: Sequence[str] | None, catalog: Catalog) -> argparse.Namespace:
    """The options as given; UserError where two exclude each other or one is missing."""
    options = _parser(catalog).parse_args(arguments)
    if options.jsonl is not None and options.prompt is not None:
        raise UserError("--prompt goes with --image.", "Write the prompts into the lines instead.")
    if options.image is not None and options.prompt is None:
        raise UserError("There is no --prompt.", 'Add one, such as "caption en".')
    return options


def _parser(catalog: Catalog) -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m models.generate",
        description="Answer a prompt about a picture, or a file of them, with PaliGemma 2.",
        epilog="\n".join((_EXAMPLES, checkpoint_names(catalog), EXIT_CODES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--image",
        metavar="FILE",
        action="append",
        help="the picture, with --prompt; again for each further one of the prompt",
    )
    source.add_argument(
        "--jsonl", metavar="FILE", help="one request a line (see below); - is the standard input"
    )
    add("--prompt", help='such as "caption en" or "detect cat ; dog"')
    add_model_options(parser)
    add("--json", action="store_true", help="print the result as JSON, as --jsonl does")
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """What answers and how: checkpoint, adapter, precision, decoding and deadline."""
    add = parser.add_argument
    add("--checkpoint", metavar="NAME", default="nano-224", help="default: nano-224; see below")
    add("--adapter", metavar="NAME", help="a LoRA of the checkpoint, or its folder; default: none")
    add(
        "--precision",
        metavar="NAME",
        default="auto",
        help=f"of the weights: auto (default), {', '.join(PRECISIONS)}",
    )
    add(
        "--max-new-tokens",
        metavar="TOKENS",
        type=int,
        help="where an answer is cut off; default: what the task needs, 32 to 512",
    )
    add("--temperature", type=float, default=0.0, help="0 to 2; default: 0, which is greedy")
    add("--top-k", metavar="TOKENS", type=int, default=0, help="default: 0, which is off")
    add("--top-p", metavar="SHARE", type=float, default=1.0, help="default: 1, which is off")
    add("--num-beams", metavar="BEAMS", type=int, default=1, help="1 to 8; default: 1")
    add("--seed", type=int, default=0, help="of the drawing above temperature 0; default: 0")
    add(
        "--deadline-s",
        metavar="SECONDS",
        type=float,
        help="for one answer without its wait; default: 120 or more, by checkpoint and tokens",
    )


def checkpoint_names(catalog: Catalog) -> str:
    """The end of a help text: what `--checkpoint` takes."""
    names = ", ".join(each.name for each in catalog.checkpoints)
    return "checkpoints:\n" + textwrap.indent(textwrap.fill(names, 96), "  ") + "\n"
