"""Whatever does not become an answer is told in a sentence, as a status or as an event."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

import app
import ui.wiring
from models.schema import Request, UserError
from tests.serving import Served, WatchedBackend, serve

CALL = "/gradio_api/call/answer"


def upload(url: str, picture) -> dict:
    with picture.open("rb") as file:
        sent = httpx.post(f"{url}/gradio_api/upload", files={"files": ("s.png", file)})
    return {"path": sent.json()[0]}


def post(url: str, **values) -> httpx.Response:
    return httpx.post(f"{url}/gradio_api/call/v2/answer", json=values, timeout=60)


def events(lines: Iterator[str]) -> Iterator[tuple[str, object]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def last_event(url: str, event_id: str) -> tuple[str, object]:
    with httpx.stream("GET", f"{url}{CALL}/{event_id}", timeout=60) as stream:
        *_, last = events(stream.iter_lines())
    return last


def is_sentence(text: object) -> bool:
    return isinstance(text, str) and text.rstrip().endswith(".") and "\n" not in text


class Failing:
    """A backend that fails in a way that nobody foresaw, or as one that cannot load."""

    def __init__(self, backend: WatchedBackend, error: Exception) -> None:
        self._backend, self._error = backend, error

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def answer(self, request: Request) -> Iterator[object]:
        raise self._error
        yield


@pytest.mark.parametrize(
    "error, sentence",
    [
        (
            RuntimeError("secret path"),
            "The server could not answer because of an error",
        ),
        (UserError("nano lacks weights.", "Download it again."), "nano lacks weights."),
    ],
    ids=["unexpected", "load"],
)
def test_a_failure_inside_an_answer_is_told(backend, scene_png, error, sentence):
    with serve(Failing(backend, error)) as served:
        sent = post(served.url, image=upload(served.url, scene_png))
        name, data = last_event(served.url, sent.json()["event_id"])
    assert name == "error"
    assert data["error"].startswith(sentence) and is_sentence(data["error"])
    assert "secret" not in json.dumps(data)


@pytest.fixture
def narrow(backend, monkeypatch) -> Iterator[Served]:
    """A page that writes one answer, and where one more may wait."""
    monkeypatch.setattr(app, "WAITING_AT_MOST", 1)
    monkeypatch.setitem(ui.wiring.AS_ANSWERS, "concurrency_limit", 1)
    with serve(backend) as served:
        yield served


def test_a_full_queue_is_told_and_room_is_taken_again(narrow, scene_png):
    image = upload(narrow.url, scene_png)
    narrow.backend.hold(after_tokens=1)
    first = post(narrow.url, image=image).json()["event_id"]
    assert narrow.backend.wait_for_active(1)
    second = post(narrow.url, image=image).json()["event_id"]
    third = post(narrow.url, image=image)
    assert third.status_code == 503
    assert third.json()["error"] == "The queue is full. Try again in a minute."
    narrow.backend.release()
    assert last_event(narrow.url, first)[0] == last_event(narrow.url, second)[0] == "complete"


def test_an_unknown_answer_is_not_there(served):
    for path in (f"{CALL}/nothing", "/gradio_api/call/v2/answer/nothing"):
        reply = httpx.get(f"{served.url}{path}", timeout=20)
        assert reply.status_code == 404
        assert is_sentence(reply.json()["error"]) and "no answer" in reply.json()["error"]


def test_an_answer_that_was_left_is_not_there(served, page_backend, scene_png):
    image = upload(served.url, scene_png)
    page_backend.hold(after_tokens=1)
    event_id = post(served.url, image=image, task="describe").json()["event_id"]
    with httpx.stream("GET", f"{served.url}{CALL}/{event_id}", timeout=60) as stream:
        assert next(stream.iter_lines()).startswith("event:")
    assert page_backend.wait_for_active(0)
    reply = httpx.get(f"{served.url}{CALL}/{event_id}", timeout=20)
    assert (reply.status_code, is_sentence(reply.json()["error"])) == (404, True)


def test_a_cancelled_answer_says_so(served, page_backend, scene_png):
    image = upload(served.url, scene_png)
    page_backend.hold(after_tokens=1)
    event_id = post(served.url, image=image).json()["event_id"]
    with httpx.stream("GET", f"{served.url}{CALL}/{event_id}", timeout=60) as stream:
        lines = events(stream.iter_lines())
        assert next(lines)[0] == "generating"
        ids = {"session_hash": event_id, "event_id": event_id, "fn_index": 0}
        cancelled = httpx.post(f"{served.url}/gradio_api/cancel", json=ids)
        assert cancelled.json() == {"success": True}
        *_, (name, data) = lines
    assert (name, data) == ("error", {"error": "The answer was cancelled. Post the request again."})
    assert page_backend.wait_for_active(0)


def test_cancelling_what_is_not_there_changes_nothing(served):
    ids = {"session_hash": "nobody", "event_id": "nothing", "fn_index": 0}
    reply = httpx.post(f"{served.url}/gradio_api/cancel", json=ids)
    assert (reply.status_code, reply.json()) == (200, {"success": True})


def test_an_unknown_session_is_told_as_an_event_that_the_page_understands(served):
    address = f"{served.url}/gradio_api/queue/data"
    reply = httpx.get(address, params={"session_hash": "nobody"}, timeout=20)
    (said,) = [data for _, data in events(iter(reply.text.splitlines()))]
    assert said["session_not_found"] is True
    assert is_sentence(said["message"])


def test_every_function_of_the_page_tells_why_it_fails(served):
    """Values that the page never sends, as a program that has read its configuration may."""
    failed = 0
    for function in httpx.get(f"{served.url}/config").json()["dependencies"]:
        session = f"session-{function['id']}"
        values = {"data": [{"a": []}] * len(function["inputs"]), "fn_index": function["id"]}
        joined = httpx.post(
            f"{served.url}/gradio_api/queue/join", json={**values, "session_hash": session}
        )
        if joined.status_code != 200:
            assert is_sentence(joined.json()["error"]), joined.text
            continue
        data = {"session_hash": session}
        with httpx.stream("GET", f"{served.url}/gradio_api/queue/data", params=data) as stream:
            for _, message in events(stream.iter_lines()):
                if message["msg"] == "process_completed" and not message["success"]:
                    failed += 1
                    assert message["output"]["error"]
                    assert isinstance(message["output"]["error"], str)
        direct = httpx.post(f"{served.url}/gradio_api/run/x", json=values)
        assert direct.status_code == 200 or direct.json()["error"]
    assert failed
