"""What `/v1/answer` takes above the engine: picture, JSON and HTTP, of the app as it is served.

    python -m evaluation.speed.overhead --write docs/speed.md

Each picture is asked about three times in turn, by the backend itself, as JSON with a data URL and
as a form with a file, in an order that changes. One pixel differs each time, so that no features
are in the cache. What is not the model's is the difference within a picture.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import secrets
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from api.settings import ApiSettings
from app import SWITCH_INTERVAL_S, create_app, launch_options
from data import documents
from evaluation.report import machine
from evaluation.report.tables import table
from evaluation.speed.stopwatch import stopwatch
from models.catalog.catalog import Catalog
from models.prompts import grammar
from models.schema import Decoding, Request, Result
from models.serving.local_backend import LocalBackend
from training.nano.scenes.scene import HELD_OUT, draw
from ui.batch.runs import BatchRuns
from ui.batch.settings import BatchSettings
from ui.embedding import Embedding

PROMPTS = ("caption en", "segment star")
WAYS = ("backend", "JSON", "form")
NAME = "evaluation.speed.overhead"
SEEDS_FROM = HELD_OUT + 12_000
PORT = 7863


@contextmanager
def served(backend: LocalBackend) -> Iterator[http.client.HTTPConnection]:
    """`/v1` in this process, beside the page as the demo serves both, and a connection to it."""
    batches = BatchRuns(backend, BatchSettings())
    page = create_app(backend)
    options = launch_options(backend, ApiSettings(rate=0), Embedding(), batches)
    with TemporaryDirectory() as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page.launch(
            server_name="127.0.0.1",
            server_port=PORT,
            prevent_thread_lock=True,
            quiet=True,
            **options,
        )
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        try:
            yield connection
        finally:
            connection.close()
            batches.close()
            page.close(verbose=False)


def asked_directly(backend: LocalBackend, image: Image.Image, prompt: str) -> str:
    """The text by the backend."""
    tokens = grammar.default_max_new_tokens(
        grammar.parse(prompt).task, backend.catalog.default_checkpoint.variant
    )
    *_, result = backend.answer(
        Request(image, prompt, decoding=Decoding(tokens), is_streamed=False)
    )
    assert isinstance(result, Result)  # an answer ends with it
    return result.text


def posted(connection: http.client.HTTPConnection, body: bytes, kind: str) -> str:
    """The text by `/v1/answer`."""
    connection.request("POST", "/v1/answer", body, {"Content-Type": kind})
    reply = connection.getresponse()
    content = reply.read()
    if reply.status != 200:
        raise RuntimeError(content.decode())
    return json.loads(content)["text"]


def as_json(png: bytes, prompt: str) -> tuple[bytes, str]:
    """The body and its type, with a data URL."""
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return json.dumps({"image": url, "prompt": prompt}).encode(), "application/json"


def as_form(png: bytes, prompt: str) -> tuple[bytes, str]:
    """The body and its type, with a file."""
    bound = secrets.token_hex(8)
    head = f"--{bound}\r\nContent-Disposition: form-data; name="
    fields = f'{head}"prompt"\r\n\r\n{prompt}\r\n{head}"image"; filename="a.png"\r\n\r\n'
    body = fields.encode() + png + f"\r\n--{bound}--\r\n".encode()
    return body, f"multipart/form-data; boundary={bound}"


def measure(
    backend: LocalBackend, connection: http.client.HTTPConnection, prompt: str, pictures: int
) -> list[list[float]]:
    """Of each picture the seconds of WAYS."""
    found = []
    for number in range(-2, pictures):  # the first two warm up and do not count
        drawn = draw(SEEDS_FROM + number).image
        spent, texts = [0.0] * len(WAYS), set()
        for turn in range(len(WAYS)):
            way = (number + turn) % len(WAYS)  # each begins as often
            image = drawn.copy()
            image.putpixel((0, 0), (turn, turn, turn))
            png = io.BytesIO()
            image.save(png, "PNG")
            body, kind = (as_json if WAYS[way] == "JSON" else as_form)(png.getvalue(), prompt)
            connection.close()
            connection.connect()  # as clients keep one; the server may have closed it meanwhile
            passed = stopwatch()
            if WAYS[way] == "backend":
                texts.add(asked_directly(backend, image, prompt))
            else:
                texts.add(posted(connection, body, kind))
            spent[way] = passed()
        if number >= 0:
            found.append(spent)
    return found


def render(runs: dict[str, list[list[float]]]) -> str:
    """What `measure` found for each prompt, as Markdown; differences first within a picture."""
    about = machine.about(NAME, sys.argv[1:])
    rows = []
    for prompt, found in runs.items():
        alone = statistics.median(each[0] for each in found)
        above = [statistics.median(each[way] - each[0] for each in found) for way in (1, 2)]
        ratio = statistics.median(each[1] / each[0] for each in found)
        cells = [alone * 1e3, *(each * 1e3 for each in above)]
        rows.append((prompt, *(f"{each:.1f}" for each in cells), f"{ratio:.2f}"))
    head = ("prompt", "backend, ms", "JSON above it, ms", "form above it, ms", "JSON, × backend")
    count = len(next(iter(runs.values())))
    line = (
        f"nano-224, greedy, one request at a time; medians of {count} pictures on {about['cpu']}, "
        f"GPU: {about['gpu']}, load average {about['load_average']} at the end, "
        f"{about['versions']}; `{about['command']}`:"
    )
    return f"{line}\n\n{table(head, rows, markdown=True)}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=40, help="that are asked about")
    parser.add_argument("--write", type=Path, nargs="+", default=[], help="documents with marks")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # as app.main does
    backend = LocalBackend(Catalog())
    backend.warm(backend.catalog.default)
    with served(backend) as connection:
        runs = {each: measure(backend, connection, each, options.pictures) for each in PROMPTS}
    backend.close()
    found = render(runs)
    print(found)
    for document in options.write:
        documents.write(document, {"overhead": found})


if __name__ == "__main__":
    main()
