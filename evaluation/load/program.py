"""A program that asks at `/v1/answer`, as `visitor` is somebody who asks on the page."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from evaluation.load.visitor import Outcome


class Program:
    """One program. An async context manager as a visitor is, though it holds nothing open."""

    def __init__(self, url: str, http: httpx.AsyncClient):
        self._url, self._http = url, http

    async def __aenter__(self) -> Program:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def ask(self, leave_at_first_text: bool = False, **values: Any) -> Outcome:
        """Ask for a stream, and follow it to its end, or to its first text; `image` is a data
        URL."""
        started, first_s, name = time.monotonic(), None, ""
        body = values | {"stream": True}
        async with self._http.stream("POST", f"{self._url}/v1/answer", json=body) as reply:
            if reply.status_code != 200:
                said = (await reply.aread()).decode()
                kind = "queue full" if reply.status_code == 429 else "failed"
                return Outcome(kind, said, None, time.monotonic() - started)
            async for line in reply.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                    continue
                if not line:
                    continue
                data = json.loads(line.removeprefix("data: "))
                if name == "token" and first_s is None and data["piece"]:
                    first_s = time.monotonic() - started
                    if leave_at_first_text:
                        return Outcome("left", data["piece"], first_s, first_s)
                elif name == "result":
                    return Outcome("answered", data["text"], first_s, time.monotonic() - started)
                elif name == "error":
                    total_s = time.monotonic() - started
                    return Outcome("failed", data["error"]["message"], first_s, total_s)
        return Outcome("failed", "the stream ended early", first_s, time.monotonic() - started)
