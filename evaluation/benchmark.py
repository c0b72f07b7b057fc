"""How fast answers come: this project's way from request to result beside plain `generate`.

    python -m evaluation.benchmark --checkpoint nano-224
    python -m evaluation.benchmark --checkpoint nano-224 --repeats 5 --json speed.json

One run measures both on the same machine, weights, number type, pictures and prompts, taking turns,
so that what else the machine does falls on both. Ours goes through `LocalBackend`, as the page
does; plain is `from_pretrained`, the processor and `model.generate`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from PIL import Image
from transformers import PaliGemmaProcessor
from transformers.generation.streamers import BaseStreamer

from evaluation.predict import timer
from evaluation.report import table
from models.catalog import find
from models.device import best_device, resolve_precision
from models.loader import Loader, read_model
from models.schema import Decoding, Request, Result, TokenEvent
from models.service import LocalBackend
from training.nano.scenes import HELD_OUT, draw

# What visitors of a page ask, one kind each, when requests come together.
TOGETHER = (
    "caption en",
    "describe en",
    "answer en what color is the background?",
    "ocr",
    "detect cat ; dog",
    "segment dog",
    "caption de",
    "question en yes",
)
ROWS = 8  # requests that come together
PROMPTS = ("caption en", "describe en", "answer en what color is the background?", "ocr")


@dataclass(frozen=True)
class Run:
    """One answer; seconds from the request to the first token and to the end, loading excluded."""

    prompt: str
    text: str
    first_token_s: float
    total_s: float
    tokens: int

    @property
    def tokens_per_s(self) -> float | None:
        """Rate of the tokens after the first; None for an answer of one token."""
        decode_s = self.total_s - self.first_token_s
        return (self.tokens - 1) / decode_s if self.tokens > 1 and decode_s > 0 else None


@dataclass(frozen=True)
class Way:
    """A way to answer: its name, the seconds it took to load, and what answers one prompt."""

    name: str
    load_s: float
    answer: Callable[[Image.Image, str], Run]


class _Clock(BaseStreamer):
    """Notes when each token of `generate` came; the first call brings the prompt."""

    def __init__(self, seconds: Callable[[], float]):
        self.seconds = seconds
        self.times: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.times.append(self.seconds())

    def end(self) -> None:
        """Nothing is kept back."""


def ours(checkpoint: str, precision: str, max_new_tokens: int) -> Way:
    """The backend of the page. Its first answer, which loads the model, is not among the runs."""
    backend = LocalBackend()

    def answer(image: Image.Image, prompt: str) -> tuple[Run, Result]:
        request = Request(
            image=image,
            prompt=prompt,
            checkpoint=checkpoint,
            precision=precision,
            decoding=Decoding(max_new_tokens=max_new_tokens),
        )
        seconds = timer()
        first: float | None = None
        result: Result | None = None
        for event in backend.answer(request):
            if isinstance(event, TokenEvent) and first is None:
                first = seconds()
            elif isinstance(event, Result):
                result = event
        total = seconds()
        run = Run(
            prompt,
            result.text.strip(),
            total if first is None else first,
            total,
            result.timings.tokens,
        )
        return run, result

    _, loading = answer(draw(HELD_OUT).image, PROMPTS[0])
    return Way(
        "this project", loading.timings.load_s, lambda image, prompt: answer(image, prompt)[0]
    )


def plain(folder: Path, precision: str, max_new_tokens: int) -> Way:
    """`transformers` as its documentation shows it, on the same weights."""
    seconds = timer()
    device = best_device()
    model = read_model(folder, precision, device).eval()
    processor = PaliGemmaProcessor.from_pretrained(folder)
    load_s = seconds()

    def answer(image: Image.Image, prompt: str) -> Run:
        seconds = timer()
        inputs = processor(text=f"<image>{prompt}", images=image, return_tensors="pt")
        inputs = inputs.to(device).to(model.dtype)
        clock = _Clock(seconds)
        with torch.inference_mode():
            out = model.generate(
                **inputs, do_sample=False, max_new_tokens=max_new_tokens, streamer=clock
            )
        new = out[0, inputs["input_ids"].shape[1] :]
        text = processor.decode(new, skip_special_tokens=True).strip()
        end = model.generation_config.eos_token_id
        tokens = int((new != end).sum()) if isinstance(end, int) else len(new)
        return Run(prompt, text, clock.times[1], seconds(), max(1, tokens))

    answer(draw(HELD_OUT).image, PROMPTS[0])  # the first answer warms up, as with ours
    return Way("transformers.generate", load_s, answer)


def compare(ways: list[Way], repeats: int, resolution: int) -> dict[str, list[Run]]:
    """`repeats` times every prompt, each about another picture, the ways beginning in turn."""
    runs: dict[str, list[Run]] = {way.name: [] for way in ways}
    for number in range(repeats):
        for index, prompt in enumerate(PROMPTS):
            image = draw(HELD_OUT + 1 + number * len(PROMPTS) + index, resolution).image
            turn = ways if (number + index) % 2 == 0 else ways[::-1]
            for way in turn:
                runs[way.name].append(way.answer(image, prompt))
    return runs


def together(mine: Way, theirs: Way, rows: int, repeats: int, resolution: int) -> dict[str, float]:
    """Seconds until `rows` requests about as many pictures are answered, medians.

    Ours come at once; plain `generate` takes one after another, as it cannot do otherwise.
    """
    found: dict[str, list[float]] = {"at_once_s": [], "in_turn_s": []}
    for number in range(repeats):
        seed = HELD_OUT + 1000 + number * rows
        images = [draw(seed + index, resolution).image for index in range(rows)]
        asked = list(zip(images, itertools.islice(itertools.cycle(TOGETHER), rows), strict=True))
        seconds = timer()
        with ThreadPoolExecutor(rows) as pool:
            list(pool.map(lambda pair: mine.answer(*pair), asked))
        found["at_once_s"].append(seconds())
        seconds = timer()
        for pair in asked:
            theirs.answer(*pair)
        found["in_turn_s"].append(seconds())
    return {name: statistics.median(values) for name, values in found.items()}


def second_question(mine: Way, repeats: int, resolution: int) -> dict[str, float]:
    """Seconds to the first token of the first and the second question about a picture, medians."""
    found: dict[str, list[float]] = {"first_s": [], "second_s": []}
    for number in range(repeats):
        image = draw(HELD_OUT + 5000 + number, resolution).image
        for name, prompt in zip(found, ("describe en", "caption en"), strict=True):
            found[name].append(mine.answer(image, prompt).first_token_s)
    return {name: statistics.median(values) for name, values in found.items()}


def summary(way: Way, runs: list[Run]) -> dict[str, float]:
    """Medians over the runs."""
    rates = [run.tokens_per_s for run in runs if run.tokens_per_s]
    return {
        "load_s": way.load_s,
        "first_token_s": statistics.median(run.first_token_s for run in runs),
        "tokens_per_s": statistics.median(rates) if rates else float("nan"),
        "answer_s": statistics.median(run.total_s for run in runs),
    }


def machine() -> dict[str, str]:
    """What the numbers depend on besides the code."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    return {
        "cpu": f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
        "command": shlex.join(["python", "-m", "evaluation.benchmark", *sys.argv[1:]]),
    }


def measure(name: str, precision: str, repeats: int, max_new_tokens: int) -> dict:
    """Both ways on one checkpoint, as a JSON-able dict; `precision` may be "auto"."""
    checkpoint = find(name)
    precision = resolve_precision(checkpoint, precision, best_device())
    ways = [
        ours(checkpoint.name, precision, max_new_tokens),
        plain(Loader().fetch(checkpoint.name)[0], precision, max_new_tokens),
    ]
    runs = compare(ways, repeats, checkpoint.resolution)
    at_once = together(*ways, ROWS, repeats, checkpoint.resolution)
    return {
        "machine": machine(),
        "checkpoint": checkpoint.name,
        "precision": precision,
        "answers": len(runs[ways[0].name]),
        "same_text": sum(a.text == b.text for a, b in zip(*runs.values(), strict=True)),
        "together": at_once,
        "second_question": second_question(ways[0], repeats, checkpoint.resolution),
        "summary": {way.name: summary(way, runs[way.name]) for way in ways},
        "runs": {name: [asdict(run) for run in each] for name, each in runs.items()},
    }


def render(record: dict) -> str:
    """What `measure` found, for a terminal; a ratio above 1 means that ours is faster."""
    mine, theirs = record["summary"].values()
    rows = []
    for measured, value in mine.items():
        pair = (value, theirs[measured])
        high, low = pair if measured == "tokens_per_s" else pair[::-1]
        ratio = f"{high / low:.2f}" if low else "–"
        rows.append((measured, f"{value:.3f}", f"{theirs[measured]:.3f}", ratio))
    at_once, in_turn = record["together"].values()
    first, second = record["second_question"].values()
    about = "\n".join(f"{key}: {value}" for key, value in record["machine"].items())
    return (
        f"{about}\ncheckpoint: {record['checkpoint']}, {record['precision']}, one request at a "
        f"time, greedy; medians of {record['answers']} answers\n\n"
        f"{table(('measure', *record['summary'], 'faster by'), rows, markdown=False)}\n\n"
        f"same text in {record['same_text']} of {record['answers']} answers\n"
        f"{ROWS} requests: {at_once:.3f} s at once, {in_turn:.3f} s in turn by "
        f"transformers.generate, {in_turn / at_once:.2f} times\n"
        f"first token of the first question about a picture {first:.3f} s, of the second "
        f"{second:.3f} s"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", default="nano-224", help="a catalog name")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--repeats", type=int, default=5, help="times that every prompt is asked")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--json", type=Path, help="write every run here")
    options = parser.parse_args()
    record = measure(options.checkpoint, options.precision, options.repeats, options.max_new_tokens)
    print(render(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
