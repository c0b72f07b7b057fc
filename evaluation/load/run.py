"""Many people on the page at once: how long they wait, and whether all of them get what is theirs.

    python -m evaluation.load.run --clients 100 --seconds 120
    python -m evaluation.load.run --clients 50 --programs 50 --seconds 120

Serves the page on nano in a process of its own, asks every question once alone, and then lets the
clients ask them for a while, each anew as soon as it has its answer; one in ten closes its tab at
the first word. Programs, where there are some, do the same at `/v1/answer`, and how long each side
waits is told apart: the queue is one. An answer that differs from the one alone is a wrong one. At
the end twenty open long answers at once and close their tabs. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from data import documents
from evaluation.load.program import Program
from evaluation.load.visitor import Outcome, Page, Visitor
from evaluation.report.tables import table
from models.limits import MAX_NEW_TOKENS, MAX_TEMPERATURE
from training.nano.scenes.scene import HELD_OUT, draw

SCENES = 12
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"task": "caption"},
    {"task": "describe"},
    {"task": "caption", "language": "de"},
    {"task": "ocr"},
    {"task": "answer", "question": "what color is the background?"},
    {"task": "answer", "question": "how many objects are there?"},
    {"task": "detect", "objects": "cat ; dog"},
    {"task": "segment", "objects": "star"},
)
LEAVERS = 20
# So hot that the end is hardly ever drawn: the longest answer there is.
ENDLESS: dict[str, Any] = {
    "task": "describe",
    "max_new_tokens": MAX_NEW_TOKENS,
    "temperature": MAX_TEMPERATURE,
    "top_k": 0,
}
PATIENCE_S = 120.0
PAUSE_AFTER_FULL_S = 1.0


@contextmanager
def served(port: int) -> Iterator[psutil.Process]:
    """`python app.py` on a port, with its metrics, until the block ends."""
    with TemporaryDirectory() as uploads:
        variables = {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": uploads,
            "PALIGEMMA_METRICS": "1",
            "PALIGEMMA_API_RATE": "0",  # all programs are at one address
        }
        root = Path(__file__).parents[2]
        command = [sys.executable, "app.py"]
        process = subprocess.Popen(
            command, cwd=root, env=os.environ | variables, stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/metrics", process)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_for(address: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if "paligemma_running{" in httpx.get(address).text:  # the model is loaded
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError("the page did not come up")


def metrics(url: str) -> dict[str, float]:
    """The page's metrics by name, those of its one model."""
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    return {name: float(value) for name, value in re.findall(r"^(\w+)\{.*\} (\S+)$", text, re.M)}


async def alone(page: Page, images: Sequence[dict], http: httpx.AsyncClient) -> list[list[str]]:
    """The answer to every question about every image, one at a time."""
    found = []
    async with Visitor(page, http) as visitor:
        for image in images:
            answers = [await visitor.ask(image=image, **question) for question in QUESTIONS]
            if any(answer.kind != "answered" for answer in answers):
                raise RuntimeError(f"a question failed alone: {answers}")
            found.append([answer.text for answer in answers])
    return found


async def client(
    arrive: Callable[[], Visitor | Program],
    images: Sequence[Any],
    expected: list[list[str]],
    until: float,
    dice: random.Random,
) -> list[Outcome]:
    """One client after another on one chair: a new one arrives where one has closed its tab."""
    outcomes: list[Outcome] = []
    while time.monotonic() < until:
        async with arrive() as visitor:
            while time.monotonic() < until:
                scene, number = dice.randrange(len(images)), dice.randrange(len(QUESTIONS))
                leaves = dice.random() < 0.1
                question = QUESTIONS[number]
                asked = visitor.ask(leaves, image=images[scene], **question)
                try:
                    outcome = await asyncio.wait_for(asked, PATIENCE_S)
                except TimeoutError:
                    outcome = Outcome("hung", "", None, PATIENCE_S)
                if outcome.kind == "answered" and outcome.text != expected[scene][number]:
                    outcome = Outcome("wrong", outcome.text, outcome.first_s, outcome.total_s)
                outcomes.append(outcome)
                if outcome.kind == "left":
                    break
                if outcome.kind == "queue full":
                    await asyncio.sleep(PAUSE_AFTER_FULL_S * (0.5 + dice.random()))
    return outcomes


async def leavers(page: Page, image: dict, http: httpx.AsyncClient) -> float:
    """Seconds until no row is taken and nobody waits after LEAVERS tabs close in mid-answer."""
    ready = asyncio.Semaphore(0)
    go = asyncio.Event()

    go_on = asyncio.create_task(go.wait())

    async def keep_asking(visitor: Visitor) -> None:
        while True:  # an answer may end before all have come
            await visitor.ask(image=image, **ENDLESS)

    async def one() -> None:
        async with Visitor(page, http) as visitor:
            asking = asyncio.create_task(keep_asking(visitor))
            ready.release()
            await asyncio.wait((asking, go_on), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()  # what went wrong
            asking.cancel()

    tasks = [asyncio.create_task(one()) for _ in range(LEAVERS)]
    for _ in range(LEAVERS):
        await ready.acquire()
    running = queued = 0.0
    while running + queued < LEAVERS or running < 2:
        if any(task.done() for task in tasks):
            raise RuntimeError("an answer ended before its tab was closed")
        now = await asyncio.to_thread(metrics, page.url)
        running, queued = now["paligemma_running"], now["paligemma_queued"]
        await asyncio.sleep(0.02)
    go.set()
    await asyncio.gather(*tasks)
    closed = time.monotonic()
    while True:
        now = await asyncio.to_thread(metrics, page.url)
        if now["paligemma_running"] + now["paligemma_queued"] == 0:
            return time.monotonic() - closed
        await asyncio.sleep(0.02)


async def measure(
    url: str, process: psutil.Process, clients: int, seconds: float, programs: int = 0
) -> dict:
    """The whole run, as a JSON-able dict."""
    page = Page.at(url)
    images, addresses = [], []
    for number in range(SCENES):
        png = io.BytesIO()
        draw(HELD_OUT + number).image.save(png, "PNG")
        images.append(page.upload(png.getvalue()))
        content = base64.b64encode(png.getvalue()).decode()
        addresses.append(f"data:image/png;base64,{content}")
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as http:
        expected = await alone(page, images, http)
        memory = [anonymous(process)]
        until = time.monotonic() + seconds
        chairs = [
            client(lambda: Visitor(page, http), images, expected, until, random.Random(number))
            for number in range(clients)
        ] + [
            client(lambda: Program(url, http), addresses, expected, until, random.Random(number))
            for number in range(programs)
        ]
        running = asyncio.gather(*chairs)
        for _ in range(2):
            await asyncio.sleep(seconds / 2 * 0.99)
            memory.append(anonymous(process))
        found = await running
        freed_s = await leavers(page, images[0], http)
    outcomes = [each for chair in found for each in chair]
    record = {
        "clients": clients,
        "programs": programs,
        "seconds": seconds,
        **waits(outcomes),
        "memory": memory,
        "freed_s": freed_s,
        "failures": [each.text for each in outcomes if each.kind in ("failed", "wrong")][:10],
    }
    if programs:
        sides = (found[:clients], found[clients:])
        record["sides"] = [waits([each for chair in side for each in chair]) for side in sides]
    return record


def waits(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How questions ended, and seconds to the first text and to the end of those answered."""
    answered = [each for each in outcomes if each.kind == "answered"]
    return {
        "outcomes": dict(Counter(each.kind for each in outcomes)),
        "first_s": percentiles([each.first_s for each in answered if each.first_s is not None]),
        "total_s": percentiles([each.total_s for each in answered]),
    }


def anonymous(process: psutil.Process) -> int:
    """Bytes in memory that no file backs: the kernel takes back the others when it needs room."""
    found = process.memory_info()
    return found.rss - found.shared


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


def render(record: dict) -> str:
    """For a terminal."""
    sides = [("", record), *zip((", pages", ", programs"), record.get("sides", ()), strict=False)]
    rows = [
        (f"{name}{side}", *(f"{value:.2f}" for value in found[key].values()))
        for side, found in sides
        for name, key in (("first text, s", "first_s"), ("whole answer, s", "total_s"))
    ]
    ended = "; ".join(
        ", ".join(f"{count} {kind}" for kind, count in sorted(found["outcomes"].items()))
        + side.replace(", ", " of ")
        for side, found in sides
    )
    who = f"{record['clients']} clients" + (
        f" and {record['programs']} programs" if record["programs"] else ""
    )
    before, halfway, after = record["memory"]
    return (
        f"{who} for {record['seconds']:.0f} s: {ended}\n\n"
        f"{table(('', 'p50', 'p95', 'p99'), rows, markdown=True)}\n\n"
        f"memory grew by {(after - before) / 1e6:.0f} MB, {(after - halfway) / 1e6:.0f} MB of "
        f"it in the second half; {LEAVERS} closed tabs were free after {record['freed_s']:.2f} s"
        + "".join(f"\n  {text}" for text in record["failures"])
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--programs", type=int, default=0, help="that ask at /v1 meanwhile")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--port", type=int, default=7861)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    with served(options.port) as process:
        url = f"http://127.0.0.1:{options.port}"
        asked = (options.clients, options.seconds, options.programs)
        record = asyncio.run(measure(url, process, *asked))
    print(render(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))
    mark = "load beside programs" if options.programs else "load"
    for document in options.write:
        documents.write(document, {mark: render(record)})


if __name__ == "__main__":
    main()
