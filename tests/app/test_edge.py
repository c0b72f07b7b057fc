"""What the server says to requests that it cannot answer, and which headers and tags it sends."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import ValidationError

from ui import incoming
from ui.edge import A_YEAR
from ui.social import DESCRIPTION

CALL, QUEUE = "/gradio_api/call", "/gradio_api/queue/join"


def refused(reply: httpx.Response, status: int, sentence: str) -> None:
    """Assert that a reply is one sentence with a status, without a word of Python."""
    assert reply.status_code == status, reply.text
    said = reply.json()["error"]
    assert sentence in said
    assert "Traceback" not in said and "\n" not in said


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        (f"{CALL}/answer", {}, 422, "The values are not a list"),
        (f"{CALL}/answer", {"data": []}, 422, "Send 23: image, task"),
        (f"{CALL}/answer", [1], 422, "no JSON object"),
        (f"{CALL}/v2/answer", {}, 422, '"image" is missing'),
        (f"{CALL}/v2/answer", {"image": None, "foo": 1}, 422, 'no argument "foo"'),
        (f"{CALL}/nothing", {"data": []}, 404, 'no endpoint "nothing". Use one of /answer'),
        (f"{CALL}/v2/nothing", {}, 404, 'no endpoint "nothing"'),
        (QUEUE, {"data": [], "session_hash": "a", "fn_index": 999}, 404, "no such function"),
        (QUEUE, {"data": [], "session_hash": "a", "fn_index": 0}, 422, "not those of the page"),
        ("/gradio_api/run/x", {"data": [], "fn_index": 0}, 404, "past the queue is closed"),
        ("/gradio_api/component_server", {"component_id": 1}, 404, "no such function"),
        ("/gradio_api/cancel", {}, 422, "session_hash is missing"),
        ("/gradio_api/nothing", {}, 404, "nothing at this address"),
        ("/gradio_api/info", {}, 405, "does not take this method"),
    ],
)
def test_a_request_of_the_wrong_form_is_refused(served, path, body, status, sentence):
    refused(httpx.post(f"{served.url}{path}", json=body), status, sentence)


def test_a_function_of_the_page_takes_all_of_its_values(served):
    functions = httpx.get(f"{served.url}/config").json()["dependencies"]
    index = next(
        each["id"]
        for each in functions
        if each["queue"] is False and each["backend_fn"] and each["inputs"]
    )
    body = {"data": [], "fn_index": index}
    reply = httpx.post(f"{served.url}/gradio_api/run/x", json=body)
    refused(reply, 422, "not those of the page")


def test_what_is_not_json_or_too_much_of_it_is_refused(served):
    address = f"{served.url}{CALL}/answer"
    refused(httpx.post(address, content=b"\xff\xfe"), 400, "not JSON")
    refused(httpx.post(address, content=b"[" * 100_000), 400, "not JSON")
    refused(httpx.post(address, content=b" " * (1 << 21)), 413, "Upload the picture")
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        named = f"{served.url}{CALL}/v2/answer"
        reply = httpx.post(named, content='{"image": null}', headers={"content-type": kind})
        refused(reply, 415, f'type is "{kind}". Send the header Content-Type')


def test_an_upload_that_is_no_form_or_too_large_is_refused(served):
    address = f"{served.url}/gradio_api/upload"
    refused(httpx.post(address, content=b"x"), 400, "not a form with a file")
    large = b"\x89PNG" + bytes(21 * 1024 * 1024)
    refused(httpx.post(address, files={"files": ("a.png", large)}), 413, "larger than 20 MB")


BEGUN = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\naaa'


def begin_upload(served, length: int) -> socket.socket:
    """A connection with the first part of an upload, which the server has asked to go on with."""
    address = urlsplit(served.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.sendall(
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n" % length + BEGUN
    )
    return connection


def parts_of_uploads() -> set[Path]:
    return set(Path(get_upload_folder()).glob("tmp*"))


def test_an_upload_that_stands_still_is_not_waited_for_and_leaves_nothing(served, monkeypatch):
    monkeypatch.setattr(incoming, "PART_WITHIN_S", 0.2)
    before = parts_of_uploads()
    with begin_upload(served, 1_000_000) as connection:
        assert b" 400 " in connection.recv(4096)
    assert parts_of_uploads() == before


def test_an_upload_that_is_left_leaves_nothing(served):
    before = parts_of_uploads()
    with begin_upload(served, 1_000_000):
        pass
    deadline = time.monotonic() + 20
    while parts_of_uploads() != before:
        assert time.monotonic() < deadline, "a part of the upload stays"
        httpx.get(f"{served.url}/healthz")


def test_an_upload_of_very_much_is_refused_before_it_has_come(served):
    with begin_upload(served, incoming.LARGEST_UPLOAD + 1) as connection:
        assert b" 413 " in connection.recv(4096)


def test_a_request_that_does_not_come_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(incoming, "READ_WITHIN_S", 0.2)
    address = urlsplit(served.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(
            b"POST /gradio_api/call/answer HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert b" 408 " in connection.recv(4096)


@pytest.mark.parametrize(
    "sent",
    [
        {"files": {"other": ("a.png", b"x")}},
        {"data": {"files": "a text"}, "files": {"other": ("a.png", b"x")}},
        {
            "data": {"files": "a text"},
            "files": {"other": ("a.png", b"x")},
            "params": {"upload_id": "one"},  # whose progress is told
        },
    ],
    ids=["under another name", "a text", "a text that is watched"],
)
def test_an_upload_without_a_file_is_refused(served, sent):
    refused(httpx.post(f"{served.url}/gradio_api/upload", **sent), 400, "no file")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ('"question": ["en"]', 'question is ["en"]. Send a text.'),
        ('"question": {"a": 1}', 'question is {"a": 1}'),
        ('"task": "paint"', 'task is "paint". Use one of caption, answer'),
        ('"language": "xx"', 'language is "xx". Use one of '),
        ('"size": "4B"', 'size is "4B". Use one of nano, 3B'),
        ('"objects": true', "objects is true"),
        ('"adapter": false', "adapter is false"),
        ('"temperature": true', "temperature is true. Send a number."),
        ('"temperature": NaN', "temperature is NaN"),
        ('"seed": 1e999', "seed is Infinity"),
        ('"seed": 1' + "0" * 400, "seed is 1000"),
        ('"top_k": [1]', "top_k is [1]"),
        ('"text": "\\ud800"', "text is no text in Unicode"),
        ('"image": 5', "image is 5"),
        ('"image": {"path": 5}', "picture's path is of the wrong type"),
        ('"image": {"path": "/etc/passwd"}', "not uploaded here"),
        ('"image": {"path": "a\\u0000b"}', "not uploaded here"),
        ('"image": {"path": "http://169.254.169.254/x"}', "web address"),
        ('"image": {"path": null, "url": "http://127.0.0.1:9/x.png"}', "not sent as a file"),
        ('"image": {"path": "x", "url": "data:image/png;base64,aaaa"}', "not sent as a file"),
    ],
)
def test_an_ill_typed_value_is_one_sentence_that_names_the_field(
    served, page_backend, given, sentence
):
    asked = len(page_backend.requests)
    image = "" if '"image"' in given else '"image": null, '
    body = "{" + image + given + "}"
    refused(httpx.post(f"{served.url}{CALL}/v2/answer", content=body), 422, sentence)
    assert len(page_backend.requests) == asked


def test_the_python_client_is_told_which_field_is_wrong(served, scene_png):
    client = Client(served.url, verbose=False)
    with pytest.raises(ValidationError, match=r'question is \["en"\]'):
        client.predict(image=handle_file(scene_png), question=["en"], api_name="/answer")


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "app.py", "%2e%2e/app.py", "https://example.com/x", "/proc/self/environ"],
)
def test_no_file_of_the_server_is_handed_out(served, path):
    assert httpx.get(f"{served.url}/gradio_api/file={path}").status_code in (403, 404)


def test_no_address_is_fetched_for_a_caller(served):
    reply = httpx.get(f"{served.url}/gradio_api/proxy=http://127.0.0.1:9/")
    assert reply.status_code == 400


def test_a_link_to_the_page_shows_its_own_title_and_picture(served):
    page = httpx.get(served.url).text
    tags = re.findall(r'<meta\s+(?:property|name)="((?:og|twitter):\w+)"\s+content="([^"]*)"', page)
    assert len({name for name, _ in tags}) == len(tags)
    found = dict(tags)
    assert found["og:title"] == "PaliGemma 2"
    assert found["og:description"] == DESCRIPTION
    assert "gradio" not in " ".join(found.values()).lower()
    picture = httpx.get(found["og:image"])
    assert picture.headers["content-type"] == "image/png"


def test_hashed_assets_are_cached_for_long_and_the_page_is_not(served):
    page = httpx.get(served.url)
    assert page.headers["cache-control"] == "no-cache"
    assets = re.findall(r'(?:href|src)="\./(assets/[^"]+)"', page.text)
    assert assets
    for asset in assets:
        assert httpx.get(f"{served.url}/{asset}").headers["cache-control"] == A_YEAR
    fonts = re.findall(
        r"gradio_api/file=[^')\"]+\.woff2", httpx.get(f"{served.url}/theme.css").text
    )
    assert fonts
    assert "max-age" in httpx.get(f"{served.url}/{fonts[0]}").headers["cache-control"]
    assert "cache-control" not in httpx.get(f"{served.url}/assets/nothing.js").headers


def test_closing_a_stream_cancels_its_answer(served, page_backend, scene_png):
    with scene_png.open("rb") as file:
        sent = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("s.png", file)})
    page_backend.hold(after_tokens=1)
    finished = page_backend.finished
    image = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{served.url}{CALL}/v2/answer", json={"image": image, "task": "describe"})
    address = f"{served.url}{CALL}/answer/{call.json()['event_id']}"
    with httpx.stream("GET", address, timeout=60) as stream:
        assert next(stream.iter_lines()).startswith("event:")
        assert page_backend.wait_for_active(1)
    assert page_backend.wait_for_active(0)
    assert page_backend.finished == finished


def tags_of(page: str) -> dict[str, str]:
    """The page's tags for other sites."""
    tag = r'<meta (?:property|name)="((?:og|twitter):\w+)" content="([^"]*)"'
    return dict(re.findall(tag, page))


@pytest.mark.parametrize("header", ["host", "x-forwarded-host"])
@pytest.mark.parametrize(
    "said",
    [
        'evil.example"><script>alert(1)</script>',
        "evil.example/path",
        "user@evil.example",
        "evil.example:99999",
        "[::1",
        "a" * 300,
        "evil example",
    ],
)
def test_what_has_not_the_form_of_a_host_gets_into_no_address(served, header, said):
    reply = httpx.get(served.url, headers={header: said})
    assert reply.status_code == 200
    assert "evil" not in reply.text and "a" * 300 not in reply.text
    assert ("og:url" in tags_of(reply.text)) == (header != "host")
    info = httpx.get(f"{served.url}/gradio_api/info", headers={header: said})
    assert info.status_code == 200
    assert "evil" not in info.text and "a" * 300 not in info.text


@pytest.mark.parametrize("host", ["example.org", "example.org:8080", "[2001:db8::1]:7860"])
def test_addresses_are_those_under_which_the_page_was_asked_for(served, host):
    headers = {"host": host, "x-forwarded-proto": "https"}
    assert tags_of(httpx.get(served.url, headers=headers).text)["og:url"] == f"https://{host}/"


def test_one_visitors_address_is_not_given_to_the_next(served):
    address = f"{served.url}/gradio_api/info"
    for name in ("x-forwarded-host", "x-gradio-server"):
        asked = httpx.get(address, headers={name: "evil.example"})
        assert "x-forwarded-host" in asked.headers["vary"].lower()
        assert "evil.example" not in httpx.get(address).text
        assert "evil.example" not in httpx.get(f"{served.url}/config").text


def test_the_page_is_sent_compressed_to_whom_can_read_it(served):
    def asked(encoding: str) -> httpx.Response:
        return httpx.get(served.url, headers={"accept-encoding": encoding})

    plain, small = asked("identity"), asked("gzip, br")
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < len(plain.content) / 4
    assert DESCRIPTION in small.text and len(small.text) == len(plain.text)
    assert "accept-encoding" in plain.headers["vary"].lower()


@pytest.mark.parametrize("path", ["/batch/about/", "/theme.css/", "/v1/models/"])
def test_no_address_is_sent_on_to_a_host_that_the_asker_names(served, path):
    named = {"host": "evil.example", "x-forwarded-proto": "https"}
    reply = httpx.get(f"{served.url}{path}", headers=named)
    if reply.is_redirect:
        assert reply.headers["location"] == path.rstrip("/")
    else:
        assert reply.json()["object"] == "list"


def test_an_uploaded_file_is_read_as_its_name_says(served):
    sent = {"files": ("a.png", b"<script>alert(1)</script>")}
    (path,) = httpx.post(f"{served.url}/gradio_api/upload", files=sent).json()
    reply = httpx.get(f"{served.url}/gradio_api/file={path}")
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
