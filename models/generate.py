"""The command line: one request, or a file of them.

    python -m models.generate --checkpoint nano-224 --image cat.png --prompt "caption en"
    python -m models.generate --jsonl requests.jsonl > answers.jsonl

Pictures are opened before a model is loaded, and torch is imported only then, so that a bad file
costs neither time nor memory.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from models.catalog import lookup
from models.images import open_image
from models.masks import rle
from models.prompts import grammar
from models.schema import Decoding, Request, Result, StatusEvent, TokenEvent, UserError

if TYPE_CHECKING:
    from models.serving.backend import Backend

FAILED = 2
INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"error: {message}\n")


def main(arguments: Sequence[str] | None = None, backend: Backend | None = None) -> int:
    """Run the command line; returns the exit code. A backend is made where none is given."""
    options = _parser().parse_args(arguments)
    warnings.simplefilter("ignore")  # of libraries; every failure is told in our own words
    logging.getLogger("models").addHandler(logging.NullHandler())  # and in one line
    try:
        with ExitStack() as stack:

            def open_backend() -> Backend:
                return backend or stack.enter_context(closing(_local_backend()))

            answer = _answer_file if options.jsonl else _answer_one
            return answer(options, open_backend)
    except UserError as error:
        _complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; nothing more can be said
        return FAILED
    except OSError as error:
        _complain(f"The answer could not be written: {error.strerror}.")
        # What is left would fail again at exit. It stays open until then, so no `with` (SIM115).
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m models.generate", description=__doc__.split("\n")[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", help="the picture, with --prompt")
    source.add_argument(
        "--jsonl",
        metavar="FILE",
        help="one request a line: image, prompt, optional max_new_tokens and adapter",
    )
    parser.add_argument("--prompt", help='such as "caption en" or "detect cat ; dog"')
    parser.add_argument("--checkpoint", default="nano-224", help="a name from the catalog")
    parser.add_argument("--adapter", help="a LoRA of the checkpoint")
    parser.add_argument(
        "--precision", default="auto", help=f"auto or one of {', '.join(lookup.PRECISIONS)}"
    )
    parser.add_argument("--max-new-tokens", type=int, help="default: what the task needs")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    parser.add_argument("--top-k", type=int, default=0, help="0 is off")
    parser.add_argument("--top-p", type=float, default=1.0, help="1 is off")
    parser.add_argument("--num-beams", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--deadline-s", type=float, help="default: what the choice may take")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _answer_one(options: argparse.Namespace, open_backend: Callable[[], Backend]) -> int:
    if options.prompt is None:
        raise UserError("There is no --prompt.", 'Add one, such as "caption en".')
    request, notes = _request(options, {"image": options.image, "prompt": options.prompt})
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for event in open_backend().answer(request):
        if isinstance(event, Result):
            if options.json:
                print(json.dumps(describe(event, notes), ensure_ascii=False))
            else:
                print(flush=True)
        elif isinstance(event, TokenEvent) and not options.json:
            print(event.piece, end="", flush=True)
        elif isinstance(event, StatusEvent) and sys.stderr.isatty():
            done = "" if event.share is None else f"{event.share:4.0%} "
            print(f"\r\x1b[2K{done}{event.message}\r", end="", file=sys.stderr, flush=True)
    return 0


def _answer_file(options: argparse.Namespace, open_backend: Callable[[], Backend]) -> int:
    path = Path(options.jsonl)
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # some editors begin with a mark
    except OSError:
        raise UserError(f"{path} cannot be read.", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {error.start} is wrong.", "Save it as UTF-8."
        ) from None
    code, backend = 0, None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request, notes = _request(options, _fields(line))
            backend = backend or open_backend()
            *_, result = backend.answer(request)
            answer = describe(result, notes)
        except UserError as error:
            answer = {"error": str(error), "line": number}
            code = FAILED
        print(json.dumps(answer, ensure_ascii=False), flush=True)
    return code


def _fields(line: str) -> dict[str, Any]:
    """The request on a line; UserError where it is not one."""
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    kinds = {"image": str, "prompt": str, "max_new_tokens": int, "adapter": (str, type(None))}
    if not isinstance(fields, dict):
        raise UserError("The line is not a JSON object.", 'Write {"image": …, "prompt": …}.')
    for name in ("image", "prompt"):
        if name not in fields:
            raise UserError(f"The line has no {name!r}.", 'Write {"image": …, "prompt": …}.')
    for name, value in fields.items():
        if name not in kinds:
            raise UserError(f"The line has an unknown field {name!r}.", f"Use {', '.join(kinds)}.")
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise UserError(f"{name!r} is {value!r}, which is of the wrong type.", "Correct it.")
    return fields


def _request(
    options: argparse.Namespace, fields: dict[str, Any]
) -> tuple[Request, tuple[str, ...]]:
    """A request from a line's fields and the options, and the notes on its picture.

    The picture is opened in its full size.
    """
    checkpoint = lookup.find(options.checkpoint)
    parsed = grammar.parse(fields["prompt"])
    opened = open_image(fields["image"], reduce_above=None)
    tokens = fields.get("max_new_tokens", options.max_new_tokens)
    if tokens is None:
        tokens = grammar.default_max_new_tokens(parsed.task, checkpoint.variant)
    request = Request(
        image=opened.image,
        prompt=fields["prompt"],
        checkpoint=checkpoint.name,
        precision=options.precision,
        adapter=fields.get("adapter", options.adapter),
        decoding=Decoding(
            max_new_tokens=tokens,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            num_beams=options.num_beams,
            seed=options.seed,
        ),
        deadline_s=options.deadline_s,
    )
    return request, opened.notes


def describe(result: Result, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A result as JSON: boxes in pixels of the picture, masks as COCO RLE, seconds.

    `notes` are what `open_image` changed about the picture.
    """
    timings = result.timings
    return {
        "text": result.text,
        "detections": [
            {
                "label": detection.label,
                "box_xyxy_px": [round(edge, 2) for edge in detection.box_xyxy_px],
                "mask": None if detection.mask is None else rle.encode(detection.mask),
            }
            for detection in result.detections
        ],
        "invalid_objects": result.invalid_objects,
        "prompt": result.prompt,
        "checkpoint": result.checkpoint,
        "adapter": result.adapter,
        "finish_reason": result.finish_reason,
        "notes": list(notes),
        "timings": {
            "load_s": round(timings.load_s, 3),
            "first_token_s": round(timings.first_token_s, 3),
            "decode_s": round(timings.decode_s, 3),
            "tokens": timings.tokens,
            "tokens_per_s": round(timings.tokens_per_s, 1),
        },
    }


def _local_backend() -> Backend:
    """The backend of this machine; imported here because torch takes seconds and memory."""
    from transformers.utils import logging

    from models.serving.local_backend import LocalBackend

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return LocalBackend()


def _complain(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
