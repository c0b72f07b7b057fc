"""What `/v1` does not answer is refused with a status, a sentence and OpenAI's form of an error."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from api import bodies
from tests.app.v1_requests import chat, data_url, png

URL = data_url()
DEEP = "[" * 100_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def client(served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{served.url}/v1", timeout=60) as made:
        yield made


def error_of(reply: httpx.Response) -> dict[str, Any]:
    """The error of a refusal, checked to be of the form."""
    found = reply.json()
    assert set(found) == {"error"}
    error = found["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"].endswith((".", ")")) and len(error["message"]) > 20
    return error


ANSWERS: list[tuple[Any, int, str]] = [
    ({"image": URL}, 422, "either prompt or task"),
    ({"image": URL, "prompt": "ocr", "task": "ocr"}, 422, "either prompt or task"),
    ({"image": URL, "images": [URL], "prompt": "ocr"}, 422, "either image or images"),
    ({"prompt": "ocr"}, 422, "no picture"),
    ({"image": URL, "prompt": ""}, 400, "prompt is empty"),
    ({"image": URL, "prompt": "<image>ocr"}, 400, "<image>"),
    ({"image": URL, "prompt": "a\u2028b"}, 400, "line break"),
    ({"image": URL, "prompt": "x" * 600}, 400, "600 characters"),
    ({"image": URL, "prompt": 5}, 422, "prompt"),
    ({"image": URL, "task": "dance"}, 422, "task"),
    ({"image": URL, "task": "detect"}, 400, "no object"),
    ({"image": URL, "task": "answer"}, 400, "no question"),
    ({"image": URL, "task": "caption", "language": "xx"}, 400, "no language"),
    ({"image": URL, "task": "caption box", "box": [0, 0, 2, 2]}, 422, "box"),
    ({"image": URL, "task": "caption box", "box": [0.5, 0, 0.5, 1]}, 422, "box"),
    ({"image": URL, "task": "caption box", "box": "all"}, 422, "box"),
    ({"image": URL, "task": "caption box"}, 400, "no box"),
    ({"image": URL, "prompt": "ocr", "max_tokens": 5}, 422, "max_tokens"),
    ({"image": URL, "prompt": "ocr", "max_new_tokens": 0}, 400, "max_new_tokens"),
    ({"image": URL, "prompt": "ocr", "max_new_tokens": 10**30}, 400, "max_new_tokens"),
    ({"image": URL, "prompt": "ocr", "temperature": 1e-9}, 400, "temperature"),
    ({"image": URL, "prompt": "ocr", "num_beams": 2, "temperature": 1}, 400, "Beams"),
    ({"image": URL, "prompt": "ocr", "num_beams": 2, "temperature": 1, "stream": True}, 400, "Bea"),
    ({"image": URL, "prompt": "ocr", "precision": "fp1"}, 400, "precision"),
    ({"image": URL, "prompt": "ocr", "model": "gpt-4o"}, 404, "no checkpoint"),
    ({"image": URL, "prompt": "ocr", "model": "nano-224+none"}, 404, "none"),
    ({"image": URL, "prompt": "ocr", "model": "../nano"}, 404, "no checkpoint"),
    ({"image": URL, "prompt": "ocr", "model": "3b-mix-448"}, 503, "not on this machine"),
    ({"image": URL, "prompt": "ocr", "model": "nano-224+easy-vqa", "adapter": "b"}, 400, "adapter"),
    ({"image": URL, "prompt": "ocr", "deadline_s": -1}, 400, "time limit"),
    ({"images": [URL] * 5, "prompt": "ocr"}, 422, "images"),
    ({"image": "", "prompt": "ocr"}, 400, "neither a data URL"),
    ({"image": "cat.png", "prompt": "ocr"}, 400, "neither a data URL"),
    ({"image": "/etc/passwd", "prompt": "ocr"}, 400, "neither a data URL"),
    ({"image": "file:///etc/passwd", "prompt": "ocr"}, 400, "neither a data URL"),
    ({"image": "ftp://example.org/a.png", "prompt": "ocr"}, 400, "neither a data URL"),
    ({"image": "http://169.254.169.254/latest", "prompt": "ocr"}, 400, "data URL"),
    ({"image": "http://localhost:7860/a.png", "prompt": "ocr"}, 400, "data URL"),
    ({"image": "https://user@example.org/a.png", "prompt": "ocr"}, 400, "data URL"),
    ({"image": "http://[::1/a.png", "prompt": "ocr"}, 400, "address"),
    ({"image": "data:image/png;base64,@@@", "prompt": "ocr"}, 400, "base 64"),
    ({"image": "data:image/png;base64,", "prompt": "ocr"}, 400, "not a picture"),
    ({"image": "data:text/plain,hello", "prompt": "ocr"}, 400, "picture"),
    ({"image": "data:image/png;base64,aGVsbG8=", "prompt": "ocr"}, 400, "picture"),
    ({"image": None, "prompt": None}, 422, "prompt"),
    ({"image": URL, "prompt": "caption en", "language": "de"}, 422, "language goes with task"),
    ({"image": URL, "task": "caption", "objects": "taco"}, 422, "objects is no field"),
    ({"image": [URL], "prompt": "ocr"}, 422, "image"),
    ({"image": URL, "prompt": "ocr", "max_new_tokens": True}, 422, "max_new_tokens"),
    ({"image": URL, "prompt": "ocr", "max_new_tokens": "5"}, 422, "max_new_tokens"),
    ({"image": URL, "prompt": "ocr", "stream": "perhaps"}, 422, "stream"),
    ({"image": URL, "prompt": "ocr", "seed": 2**63}, 400, "seed"),
    ({"image": URL, "prompt": "ocr", "temperature": 1e400}, 400, "JSON"),
    ({"image": URL, "prompt": "caption \ud800"}, 400, "control character"),
    ({"image": URL, "prompt": "ocr", "model": "\uff4eano-224"}, 404, "no checkpoint"),
    ({"image": URL, "prompt": "ocr", "model": "a" * 100_000}, 422, "200 characters"),
    ({"image": URL, "prompt": "ocr", "adapter": "../../etc"}, 404, "no adapter"),
    ({"image": "data:image/png;base64,\ud800", "prompt": "ocr"}, 400, "base 64"),
    ({"image": "data:image/png,\ud800", "prompt": "ocr"}, 400, "picture"),
    ({"image": "data:image/png," + "%41" * 50_000, "prompt": "ocr"}, 400, "base 64"),
    ({"image": "data:image/png;base64," + "%" * 1_000_000, "prompt": "ocr"}, 400, "base 64"),
    ({"image": "data:image/svg+xml,<svg/>", "prompt": "ocr"}, 400, "picture"),
    ({"image": URL[:2000], "prompt": "ocr"}, 400, "damaged"),
    ({"image": "http://0x7f000001/", "prompt": "ocr"}, 400, "data URL"),
    ({"image": "http://a\r\nHost: b/", "prompt": "ocr"}, 400, "address"),
    ({"image": URL, "prompt": "ocr", "messages": [0] * 30_000}, 413, "commas"),
    ({f"field{number}": 0 for number in range(5_000)}, 422, "4999 more"),
]


@pytest.mark.parametrize("body, status, words", ANSWERS, ids=range(len(ANSWERS)))
def test_an_answer_that_cannot_be_given_is_refused_in_words(client, body, status, words):
    reply = client.post("/answer", content=json.dumps(body), headers=JSON)
    assert reply.status_code == status, reply.text
    assert words in error_of(reply)["message"]


CHATS: list[tuple[dict[str, Any], int, str]] = [
    (chat(n=2), 422, "n is not 1"),
    (chat(max_tokens=3, max_completion_tokens=4), 422, "differ"),
    (chat(top_logprobs=2), 422, "needs logprobs"),
    (chat(logprobs=True, top_logprobs=20), 422, "top_logprobs"),
    (chat(stream_options={"include_usage": True}), 422, "needs stream"),
    (chat(stop=["a"] * 5), 422, "stop"),
    (chat(stop=""), 422, "stop"),
    (chat(stop="a" * 1_000_000), 422, "500 characters"),
    (chat(model=["nano-224"]), 422, "model"),
    (chat("caption en", "file:///etc/passwd"), 400, "neither a data URL"),
    (chat("caption en", "http://169.254.169.254/latest/meta-data"), 400, "data URL"),
    (chat(messages=[{"role": "user", "content": "a"}] * 300), 422, "256 items"),
    (chat(messages=[{"role": "user", "content": [0] * 9_000}]), 422, "8999 more"),
    (chat(seed=2**65), 400, "seed"),
    (chat(temperature=3), 400, "temperature"),
    (chat(messages=[]), 422, "messages"),
    (chat(messages=[{"role": "user", "content": "caption en"}]), 400, "no message has a picture"),
    (chat(messages=[{"role": "king", "content": "caption en"}]), 422, "role"),
    (chat(messages=[{"role": "user", "content": [{"type": "audio"}]}]), 422, "type"),
    (chat(messages=[{"role": "user", "content": [{"type": "text"}]}]), 422, "needs text"),
    (chat(""), 400, "no message of the user has a text"),
    (chat("caption en", *[URL] * 5), 422, "4 pictures"),
    (chat(model="nano-224\ud800"), 422, "unicode"),
]


@pytest.mark.parametrize("body, status, words", CHATS, ids=range(len(CHATS)))
def test_a_completion_that_cannot_be_given_is_refused_in_words(client, body, status, words):
    reply = client.post("/chat/completions", content=json.dumps(body), headers=JSON)
    assert reply.status_code == status, reply.text
    assert words.lower() in error_of(reply)["message"].lower()


@pytest.mark.parametrize(
    "content, kind, status",
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'"text"', "application/json", 422),
        (DEEP.encode(), "application/json", 400),
        (b'{"prompt": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "application/json", 400),
        (b"{" + b'"a": {' * 50_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"nothing", "multipart/form-data", 400),
        (b"nothing", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 422),
    ],
)
def test_a_body_that_is_none_is_refused(client, content, kind, status):
    reply = client.post("/answer", content=content, headers={"Content-Type": kind} if kind else {})
    assert reply.status_code == status, reply.text
    error_of(reply)


def test_a_form_is_judged_as_json_is(client):
    fields = {"prompt": "ocr"}
    two = [("other", ("a.png", png()))]
    assert "field image" in error_of(client.post("/answer", files=two, data=fields))["message"]
    one = {"image": ("a.png", png())}
    both = client.post("/answer", files=one, data=fields | {"images": URL})
    assert both.status_code == 422
    many = [("image", ("a.png", png()))] * 5
    assert client.post("/answer", files=many, data=fields).status_code == 400
    bad = {"image": ("a.png", b"no picture")}
    assert client.post("/answer", files=bad, data=fields).status_code == 400


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/answer", 405),
        ("DELETE", "/models", 405),
        ("GET", "/nothing", 404),
        ("GET", "/models/none", 404),
        ("GET", "/models/nano-224+none", 404),
        ("GET", "/models/a%0Ab", 404),
        ("GET", "/../config", 404),
    ],
)
def test_addresses_that_are_none_have_the_form_too(client, method, path, status):
    reply = client.request(method, path)
    if path != "/../config":  # which the client makes the page's
        assert reply.status_code == status
        error_of(reply)


def test_a_body_that_is_too_large_is_refused_before_it_has_come(served):
    """By its length alone, and by its bytes where it tells none."""
    host, port = served.url.removeprefix("http://").split(":")
    head = "POST /v1/answer HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: 900000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4096)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"4000000\r\n" + b"a" * 0x4000000 + b"\r\n"
        with suppress(OSError):  # it may be closed on the way
            connection.sendall(chunk)
        assert b" 413 " in connection.recv(4096)


def test_two_lengths_or_both_ways_of_telling_one_are_refused(served):
    host, port = served.url.removeprefix("http://").split(":")
    head = "POST /v1/answer HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    for smuggled in (
        "Content-Length: 2\r\nContent-Length: 5\r\n",
        "Content-Length: -2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        f"Content-Length: {'9' * 30}\r\n",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Host: there\r\nContent-Length: 2\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"{head}{smuggled}\r\n{{}}\r\n\r\n".encode())
            assert connection.recv(4096).split(b" ")[1] == b"400", smuggled
    whole = json.dumps({"image": URL, "prompt": "ocr"})
    both = f"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{len(whole):x}\r\n{whole}"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Connection: close\r\n{both}\r\n0\r\n\r\n".encode())
        assert b"in two ways" in connection.makefile("rb").read()


def test_a_body_that_does_not_come_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.2)
    host, port = served.url.removeprefix("http://").split(":")
    head = "POST /v1/answer HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert b" 408 " in connection.recv(4096)


def test_a_body_that_is_compressed_is_refused(client):
    packed = gzip.compress(json.dumps({"image": URL, "prompt": "ocr"}).encode())
    reply = client.post("/answer", content=packed, headers={**JSON, "Content-Encoding": "gzip"})
    assert reply.status_code == 415 and "compressed" in error_of(reply)["message"]


def test_where_all_places_are_taken_it_says_when_to_come_again(served, backend):
    """The backend's own queue refuses first."""
    from fastapi.testclient import TestClient

    from api.app import create_v1
    from api.settings import ApiSettings
    from api.shared import Shared
    from models.schema import Busy

    class Full:
        catalog = backend.catalog

        def missing(self, checkpoint: str, precision: str = "auto") -> None:
            return None

        def answer(self, request):
            raise Busy("nano-224 is busy: 32 requests are waiting.", "Try again in a minute.")
            yield

    app = create_v1(Shared.over(Full(), ApiSettings()))
    reply = TestClient(app).post("/answer", json={"image": URL, "prompt": "ocr"})
    assert reply.status_code == 429 and int(reply.headers["retry-after"]) > 0
    assert error_of(reply)["code"] == "busy"
