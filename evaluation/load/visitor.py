"""A visitor of the page without a browser: the connections and messages that a page makes.

It holds the heartbeat that tells the server it is there, uploads, joins the queue, and follows the
event stream; closing it is what closing a tab is.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
from gradio_client.utils import apply_diff

TEXT, DETAILS = 1, 5  # places among the outputs of the page's answer
API = "/gradio_api"


@dataclass(frozen=True)
class Page:
    """What every visitor needs to know of a page: its address, and how its answer is called."""

    url: str
    function: int
    inputs: dict[str, Any]  # names of the answer's inputs with their first values, in order

    @staticmethod
    def at(url: str) -> Page:
        """Read from the page's own configuration."""
        config = httpx.get(f"{url}/config").raise_for_status().json()
        function = next(each for each in config["dependencies"] if each["api_name"] == "answer")
        info = httpx.get(f"{url}{API}/info").raise_for_status().json()
        parameters = info["named_endpoints"]["/answer"]["parameters"]
        inputs = {each["parameter_name"]: each.get("parameter_default") for each in parameters}
        return Page(url, function["id"], inputs)

    def upload(self, png: bytes) -> dict[str, Any]:
        """A picture on the server, as the value of an input."""
        reply = httpx.post(f"{self.url}{API}/upload", files={"files": ("scene.png", png)})
        path = reply.raise_for_status().json()[0]
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


@dataclass(frozen=True)
class Outcome:
    """How a question ended: `kind` is "answered", "queue full", "failed" or "left".

    Seconds count from asking; `first_s` to the first text, None where there was none. `text` is
    the answer, or what the page said.
    """

    kind: str
    text: str
    first_s: float | None
    total_s: float


class Visitor:
    """One open page. Use as an async context manager; leaving it closes the tab."""

    def __init__(self, page: Page, http: httpx.AsyncClient):
        self._page, self._http = page, http
        self._session = secrets.token_hex(8)
        self._heartbeat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Visitor:
        self._heartbeat = asyncio.create_task(self._stay())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._heartbeat is not None  # from __aenter__ on
        self._heartbeat.cancel()
        with suppress(asyncio.CancelledError):
            await self._heartbeat

    async def ask(self, leave_at_first_text: bool = False, **values: Any) -> Outcome:
        """Ask as the page's Run does, and follow the answer to its end, or to its first text."""
        started, first_s, text = time.monotonic(), None, ""
        data = list((self._page.inputs | values).values())
        body = {"data": data, "fn_index": self._page.function, "session_hash": self._session}
        joined = await self._http.post(f"{self._page.url}{API}/queue/join", json=body)
        if joined.status_code == 503:
            return Outcome("queue full", joined.text, None, time.monotonic() - started)
        joined.raise_for_status()
        output: list[Any] = []
        async for message in self._messages():
            found = message.get("output") or {}
            if message["msg"] == "process_generating":
                output = _changed(output, found["data"])
            elif message["msg"] == "process_completed" and message["success"]:
                output = found.get("data") or output
            text = output[DETAILS]["text"] if output and output[DETAILS] else ""
            if text and first_s is None:
                first_s = time.monotonic() - started
                if leave_at_first_text:
                    return Outcome("left", text, first_s, first_s)
            if message["msg"] == "process_completed":
                total_s = time.monotonic() - started
                if message["success"]:
                    return Outcome("answered", text, first_s, total_s)
                said = str(found.get("error"))
                is_full = "queue is full" in said or "is busy" in said
                return Outcome("queue full" if is_full else "failed", said, first_s, total_s)
        return Outcome("failed", "the stream ended early", first_s, time.monotonic() - started)

    async def _messages(self) -> AsyncIterator[dict[str, Any]]:
        address = f"{self._page.url}{API}/queue/data"
        query = {"session_hash": self._session}
        async with self._http.stream("GET", address, params=query) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    async def _stay(self) -> None:
        async with self._http.stream(
            "GET", f"{self._page.url}{API}/heartbeat/{self._session}"
        ) as on:
            async for _ in on.aiter_lines():
                pass


def _changed(before: list[Any], data: list[Any]) -> list[Any]:
    """The outputs after a message: the first has them whole, those after it what has changed."""
    if not before:
        return data
    return [apply_diff(value, change) for value, change in zip(before, data, strict=True)]
