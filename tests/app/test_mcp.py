"""`/mcp` as the official SDK's client uses it, beside the page that is served."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx
import numpy as np
import pytest
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from pycocotools import mask as coco

from api.mcp_server import Lent, Mcp
from api.settings import ApiSettings
from api.shared import Shared
from models.results import result_to_json
from models.schema import Decoding, Request
from tests.app.v1_requests import data_url, image, png
from tests.choosing import answer_of
from tests.coroutines import finish
from tests.serving import ROOT
from ui.components import uploaded_file
from ui.downloads import drawn

ONE_SIDE = ("caption", "ask", "read_text", "detect", "segment")
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
BEGIN = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def with_session(
    url: str,
    use: Callable[[ClientSession], Awaitable[Any]],
    headers: dict[str, str] | None = None,
) -> Any:
    """What `use` gives for a session with a served app."""

    async def run() -> Any:
        async with (
            httpx.AsyncClient(headers=headers, timeout=60) as http,
            streamable_http_client(f"{url}/mcp", http_client=http) as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            return await use(session)

    return finish(run)


def call(url: str, name: str, **arguments: Any) -> types.CallToolResult:
    return with_session(url, lambda session: session.call_tool(name, arguments))


def untimed(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "timings"}


def text_of(reply: types.CallToolResult) -> str:
    first = reply.content[0]
    assert isinstance(first, types.TextContent)
    return first.text


def pictures_of(reply: types.CallToolResult) -> list[Image.Image]:
    found = [each for each in reply.content if isinstance(each, types.ImageContent)]
    return [Image.open(io.BytesIO(base64.b64decode(each.data))) for each in found]


@pytest.fixture
def expected(backend):
    """The documented JSON of what the backend answers, without the times."""

    def ask(prompt: str, tokens: int, **options: Any) -> dict:
        request = Request(image(), prompt, decoding=Decoding(tokens), **options)
        return untimed(result_to_json(answer_of(backend, request)[1]))

    return ask


def test_a_client_configured_as_documented_finds_the_tools_and_what_they_take(served):
    written = re.search(r"```json\n(.*?)```", (ROOT / "docs" / "mcp.md").read_text("utf-8"), re.S)
    assert written is not None
    given = json.loads(written[1])["mcpServers"]["paligemma"]
    assert given["type"] == "http" and given["url"].endswith("/mcp")
    url = given["url"].replace("http://127.0.0.1:7860", served.url).removesuffix("/mcp")
    found = with_session(url, lambda session: session.list_tools(), given["headers"]).tools
    assert [each.name for each in found] == [*ONE_SIDE, "compare"]
    for tool in found:
        assert tool.description and tool.title and tool.outputSchema
        assert tool.annotations and tool.annotations.readOnlyHint
        for name, field in tool.inputSchema["properties"].items():
            assert field.get("description") or name == "sides", (tool.name, name)
        written = json.dumps(tool.inputSchema)
        assert "nano-224+easy-vqa" in written and "3b-mix-224" not in written  # not on this machine


@pytest.mark.parametrize(
    ("name", "given", "prompt", "tokens"),
    [
        ("caption", {"language": "de"}, "caption de", 64),
        ("caption", {"length": "long", "max_new_tokens": 4}, "describe en", 4),
        ("ask", {"question": "how many cups are there?"}, "answer en how many cups are there?", 32),
        ("read_text", {}, "ocr", 128),
        ("detect", {"objects": "cat, cup"}, "detect cat ; cup", 128),
    ],
)
def test_a_tool_gives_what_the_backend_answers(
    served, page_backend, expected, name, given, prompt, tokens
):
    reply = call(served.url, name, image=data_url(), **given)
    assert not reply.isError
    wanted = expected(prompt, tokens)
    assert reply.structuredContent and untimed(reply.structuredContent) == wanted
    if not wanted["detections"] and "detect" not in prompt:
        assert text_of(reply).splitlines()[0] == wanted["text"].strip()
    if tokens == 4:
        assert "token limit" in text_of(reply)


def test_objects_come_in_words_as_masks_and_on_the_picture(served, page_backend, expected):
    reply = call(served.url, "segment", image=data_url(), objects="apple")
    assert reply.structuredContent is not None
    assert untimed(reply.structuredContent) == expected("segment apple", 384)
    (found, *_) = reply.structuredContent["detections"]
    assert coco.decode(found["mask"]).sum() > 0
    assert coco.decode(found["mask"]).shape == (224, 224)
    left, top, right, bottom = (round(edge) for edge in found["box_xyxy_px"])
    said = f"{found['label']}: left {left}, top {top}, right {right}, bottom {bottom} px, mask of "
    assert text_of(reply).startswith(said)
    (picture,) = pictures_of(reply)
    plain = image().resize(picture.size)
    assert max(picture.size) == 640
    assert np.abs(np.asarray(picture, int) - np.asarray(plain, int)).max() > 150  # a drawn line


def test_sides_are_compared_and_one_that_fails_leaves_the_others(served, page_backend, expected):
    sides = [{"model": "nano-224"}, {"model": "nano-448"}, {"model": "gpt"}]
    reply = call(served.url, "compare", image=data_url(), prompt="caption en", sides=sides)
    assert not reply.isError and reply.structuredContent
    first, second, third = reply.structuredContent["sides"]
    assert untimed(first["result"]) == expected("caption en", 64)
    assert untimed(second["result"]) == expected("caption en", 64, checkpoint="nano-448")
    assert third["result"] is None and "no checkpoint 'gpt'" in third["error"]
    assert reply.structuredContent["agree"] is False
    assert f"A, nano-224:\n{first['result']['text']}" in text_of(reply)
    same = [{"model": "nano-224"}] * 2
    reply = call(served.url, "compare", image=data_url(), prompt="ocr", sides=same)
    assert reply.structuredContent and reply.structuredContent["agree"] is True


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("caption", {"image": data_url(), "language": "xx"}, "no language 'xx'"),
    ("caption", {"image": data_url(), "length": "endless"}, "length: "),
    ("caption", {"image": data_url(), "model": "gpt"}, "no checkpoint 'gpt'"),
    ("caption", {"image": data_url(), "model": "3b-mix-224"}, "3b-mix-224"),
    ("caption", {"image": data_url(), "model": "nano-224+x"}, "no adapter 'x'"),
    ("caption", {"image": data_url(), "max_new_tokens": 5000}, "1024. See the tool's inputSchema."),
    ("caption", {}, "image: Field required"),
    ("caption", {"image": "cat.png"}, "neither a data URL"),
    ("caption", {"image": "/etc/hostname"}, "neither a data URL"),
    ("caption", {"image": "data:image/png;base64,!!!!"}, "not base 64"),
    ("caption", {"image": "data:image/png;base64,aGVsbG8="}, "not a picture"),
    ("caption", {"image": "https://example.org/a.png"}, "PALIGEMMA_IMAGE_HOSTS"),
    ("caption", {"image": "file:///etc/hostname"}, "neither a data URL nor an https one"),
    ("ask", {"image": data_url(), "question": " "}, "no question"),
    ("detect", {"image": data_url(), "objects": ","}, "no object"),
    ("compare", {"image": data_url(), "prompt": "ocr", "sides": [{"model": "nano-224"}]}, "sides"),
    ("compare", {"image": data_url(), "prompt": "", "sides": [{"model": "nano-224"}] * 2}, "empty"),
    ("dance", {"image": data_url()}, 'no tool "dance". Use one of caption, ask'),
]


def test_what_cannot_be_answered_is_refused_in_a_sentence(served):
    async def use(session: ClientSession) -> list[types.CallToolResult]:
        return [await session.call_tool(name, given) for name, given, _ in REFUSED]

    for reply, (name, _, sentence) in zip(with_session(served.url, use), REFUSED, strict=True):
        assert reply.isError and reply.structuredContent is None, name
        said = text_of(reply)
        assert sentence in said and "\n" not in said and "Traceback" not in said


def test_an_uploaded_file_can_be_named(served, page_backend, expected):
    sent = httpx.post(f"{served.url}/gradio_api/upload", files={"files": ("a.png", png())})
    reply = call(served.url, "caption", image=sent.json()[0])
    assert reply.structuredContent and untimed(reply.structuredContent) == expected(
        "caption en", 64
    )


def test_a_call_that_is_cancelled_ends_its_answer(served, page_backend):
    page_backend.hold(after_tokens=2)

    async def use(session: ClientSession) -> None:
        told: list[McpError] = []

        async def ask() -> None:
            with pytest.raises(McpError) as caught:
                await session.call_tool("caption", {"image": data_url()})
            told.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            assert await anyio.to_thread.run_sync(page_backend.wait_for_active, 1)
            about = types.CancelledNotificationParams(requestId=1)  # after the session's beginning
            note = types.CancelledNotification(params=about)
            await session.send_notification(types.ClientNotification(note))
        assert "cancelled" in str(told[0])
        assert await anyio.to_thread.run_sync(page_backend.wait_for_active, 0)
        page_backend.release()
        again = await session.call_tool("read_text", {"image": data_url()})
        assert not again.isError

    with_session(served.url, use)


def test_a_connection_that_is_closed_ends_its_answer(served, page_backend):
    page_backend.hold(after_tokens=2)
    address, about = f"{served.url}/mcp", {"name": "caption", "arguments": {"image": data_url()}}
    with httpx.Client(headers=HEADERS, timeout=60) as client:
        begun = client.post(address, json=BEGIN)
        client.headers["mcp-session-id"] = begun.headers["mcp-session-id"]
        note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert client.post(address, json=note).status_code == 202
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": about}
        with client.stream("POST", address, json=asked):
            assert page_backend.wait_for_active(1)
        assert page_backend.wait_for_active(0)
        assert client.delete(address).status_code == 200
        assert client.post(address, json=asked | {"id": 2}).status_code == 404


def statuses(backend, settings: ApiSettings, *headers: dict[str, str]) -> list[httpx.Response]:
    """The replies to clients that begin a session with these headers, one after the other."""
    mcp = Mcp(Shared.over(backend, settings), Lent(draw=drawn, uploaded=uploaded_file))

    async def run() -> list[httpx.Response]:
        async with mcp.running():
            transport = httpx.ASGITransport(mcp)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:7860", headers=HEADERS
            ) as client:
                return [await client.post("/mcp", json=BEGIN, headers=each) for each in headers]

    return finish(run)


def test_keys_and_rates_hold(backend):
    key = {"Authorization": "Bearer a-long-secret"}
    settings = ApiSettings(keys=frozenset({"a-long-secret"}), rate=2)
    wrong = {"Authorization": "Bearer another-secret"}
    found = statuses(backend, settings, {}, wrong, key, key, key)
    assert [each.status_code for each in found] == [401, 401, 200, 200, 429]
    assert "Authorization: Bearer KEY" in found[0].json()["error"]["message"]
    assert int(found[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://localhost:6274", "127.0.0.1:7860", 200),
        ("https://evil.example", "127.0.0.1:7860", 403),
        ("http://evil.example:7860", "evil.example:7860", 403),  # a name that leads to this machine
        ("http://localhost:6274", "evil.example:7860", 403),
        ("null", "127.0.0.1:7860", 403),
    ],
)
def test_web_pages_of_elsewhere_may_not_ask(backend, origin, host, status):
    (reply,) = statuses(backend, ApiSettings(), {"Origin": origin, "Host": host})
    assert reply.status_code == status
    assert status == 200 or "for programs" in reply.json()["error"]["message"]


@pytest.mark.slow
def test_the_sdk_is_not_imported_before_it_is_needed():
    code = "import app, sys; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"[" + b"1," * 30_000 + b"1]", 413, "commas"),
        (b'{"a":' * 100_000, 400, "nested too deep"),
        (json.dumps(BEGIN | {"method": "a" * 70_000}).encode(), 413, "no call of a tool"),
        (
            json.dumps(
                {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "a" * 70_000}}
            ).encode(),
            413,
            "no call of a tool",
        ),
    ],
)
def test_a_message_that_takes_long_to_read_or_to_log_is_refused(served, body, status, words):
    reply = httpx.post(f"{served.url}/mcp", content=body, headers=HEADERS)
    assert reply.status_code == status, reply.text
    assert words in reply.json()["error"]["message"]
