"""Clients that other people wrote, unmodified, with `/v1`."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator

import openai
import pytest

from models.schema import Decoding, Request
from tests.app.v1_requests import chat, data_url, image
from tests.choosing import answer_of
from tests.serving import ROOT


@pytest.fixture
def client(served, page_backend) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def caption(backend) -> str:
    request = Request(image(), "caption en", decoding=Decoding(64))
    return answer_of(backend, request)[1].text


def test_openai_lists_the_models_and_gets_a_caption(client, caption):
    names = [each.id for each in client.models.list()]
    assert "nano-224" in names and client.models.retrieve("nano-448").id == "nano-448"
    reply = client.chat.completions.create(**chat("caption en"))
    assert reply.choices[0].message.content == caption
    assert reply.usage.total_tokens > 196
    assert reply.model_extra["paligemma"]["text"] == caption


def test_openai_streams_it(client, caption):
    options = {"stream": True, "stream_options": {"include_usage": True}}
    pieces, used = [], None
    for chunk in client.chat.completions.create(**chat("caption en"), **options):
        pieces += [each.delta.content or "" for each in chunk.choices]
        used = chunk.usage or used
    assert "".join(pieces) == caption and used.completion_tokens > 3


def test_openai_reads_log_probabilities(client, caption):
    asked = chat("caption en", logprobs=True, top_logprobs=2)
    content = client.chat.completions.create(**asked).choices[0].logprobs.content
    assert "".join(each.token for each in content) == caption
    assert all(len(each.top_logprobs) == 2 for each in content)


def test_openai_raises_its_own_errors_with_our_sentences(client):
    with pytest.raises(openai.NotFoundError, match="There is no checkpoint 'gpt'"):
        client.chat.completions.create(**chat("caption en", model="gpt"))
    with pytest.raises(openai.BadRequestError, match="No message has a picture"):
        asked = [{"role": "user", "content": "caption en"}]
        client.chat.completions.create(model="nano-224", messages=asked)
    with pytest.raises(openai.UnprocessableEntityError, match="n is not 1"):
        client.chat.completions.create(**chat("caption en", n=3))


def test_the_line_of_the_readme_returns_boxes(served, page_backend):
    (line,) = re.findall(r"^curl .*$", (ROOT / "README.md").read_text("utf-8"), flags=re.M)
    command = shlex.split(line.replace("http://127.0.0.1:7860", served.url))
    run = subprocess.run([*command, "-s"], cwd=ROOT, capture_output=True, check=True)
    found = json.loads(run.stdout)["detections"]
    assert found and all(len(each["box_xyxy_px"]) == 4 for each in found)


def test_a_data_url_by_curl_streams(served, page_backend):
    body = f'{{"image": "{data_url()}", "prompt": "caption en", "stream": true}}'
    command = ["curl", "-sN", f"{served.url}/v1/answer", "-H", "Content-Type: application/json"]
    run = subprocess.run([*command, "-d", "@-"], input=body.encode(), capture_output=True)
    assert run.stdout.count(b"event: token") > 3 and b"event: result" in run.stdout
