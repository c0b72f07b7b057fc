"""What a comparison of two sides takes, beside one answer alone.

    python -m evaluation.speed.side_by_side --checkpoint nano-224 --write docs/compare.md

Both sides, greedy and sampled, are rows of one batch, as on the page's tab "Compare". Each picture
is asked about three times in turn: by one side, by the other, by both at once. One pixel differs,
so that no features are in the cache. "One answer" is the slower of the two sides alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from data import documents
from evaluation.report import machine
from evaluation.report.tables import table
from evaluation.speed.stopwatch import stopwatch
from models.catalog.catalog import Catalog
from models.schema import Decoding, Request, Result
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("caption en", "describe en")
SIDES = (Decoding(), Decoding(temperature=1.0))  # greedy, sampled
NAME = "evaluation.speed.side_by_side"
SEEDS_FROM = HELD_OUT + 9000


def seconds_of(backend: LocalBackend, requests: Sequence[Request]) -> float:
    """Seconds until all requests, which come at once, are answered."""
    passed = stopwatch()
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(lambda request: list(backend.answer(request))[-1], requests))
    spent = passed()
    if not all(isinstance(answer, Result) for answer in answers):
        raise RuntimeError("an answer was not finished")
    return spent


def measure(
    backend: LocalBackend, checkpoint: str, prompt: str, pictures: int
) -> list[tuple[float, float, float]]:
    """Of each picture the seconds of one answer, of both in turn, and of both at once."""
    resolution = backend.catalog.find(checkpoint).resolution
    found = []
    for number in range(-1, pictures):  # the first warms up and does not count
        image = draw(SEEDS_FROM + number, resolution).image
        turns = [SIDES[:1], SIDES[1:], SIDES]
        spent = [0.0] * len(turns)
        for turn in range(len(turns)):
            which = (number + turn) % len(turns)  # each begins as often
            fresh = _renewed(image, turn)
            asked = [Request(fresh, prompt, checkpoint, decoding=side) for side in turns[which]]
            spent[which] = seconds_of(backend, asked)
        if number >= 0:
            first, second, both = spent
            found.append((max(first, second), first + second, both))
    return found


def _renewed(image: Image.Image, number: int) -> Image.Image:
    """The picture with another pixel in its corner."""
    copy = image.copy()
    copy.putpixel((0, 0), (number, number, number))
    return copy


def render(checkpoint: str, runs: dict[str, list[tuple[float, float, float]]]) -> str:
    """What `measure` found for each prompt, as Markdown; medians, ratios first within a picture."""
    about = machine.about(NAME, sys.argv[1:])
    rows = []
    for prompt, found in runs.items():
        one, in_turn, both = (statistics.median(each) for each in zip(*found, strict=True))
        to_one = statistics.median(both / one for one, _, both in found)
        to_turn = statistics.median(both / in_turn for _, in_turn, both in found)
        rows.append(
            (prompt, *(f"{each:.3f}" for each in (one, in_turn, both)), f"{to_one:.2f}",
             f"{to_turn:.2f}")
        )  # fmt: skip
    head = (
        "prompt", "one answer, s", "two in turn, s", "two sides at once, s", "× one answer",
        "× in turn",
    )  # fmt: skip
    count = len(next(iter(runs.values())))
    line = (
        f"{checkpoint}, greedy against sampled; medians of {count} pictures on {about['cpu']}, "
        f"GPU: {about['gpu']}, load average {about['load_average']} at the end, "
        f"{about['versions']}; `{about['command']}`:"
    )
    return f"{line}\n\n{table(head, rows, markdown=True)}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name")
    parser.add_argument("--pictures", type=int, default=20, help="that are asked about")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    backend = LocalBackend(Catalog.from_environment(os.environ))
    name = backend.catalog.find(options.checkpoint).name
    runs = {prompt: measure(backend, name, prompt, options.pictures) for prompt in PROMPTS}
    backend.close()
    found = render(name, runs)
    print(found)
    for document in options.write:
        documents.write(document, {f"side by side {name}": found})


if __name__ == "__main__":
    main()
