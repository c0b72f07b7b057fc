"""`python app.py` as a stranger starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import free_port

ROOT = Path(__file__).parents[2]
SERVED_WITHIN_S = 15


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str, float]]:
    """The app in a process of its own: (process, address, time of the start)."""
    port = free_port()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "HF_HUB_OFFLINE": "1",
    }
    log = (tmp_path / "log").open("w")
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    yield process, f"http://127.0.0.1:{port}", begin
    process.terminate()
    process.wait(timeout=30)
    log.close()


@pytest.mark.slow
def test_the_page_is_served_soon_on_this_machine_only(started):
    process, address, begin = started
    transport = httpx.HTTPTransport(retries=0)
    with httpx.Client(transport=transport, timeout=5) as client:
        while process.poll() is None and time.monotonic() - begin < 4 * SERVED_WITHIN_S:
            try:
                reply = client.get(address)
            except httpx.TransportError:
                time.sleep(0.1)  # the gap between two looks, not a guess at how long it takes
                continue
            break
    taken = time.monotonic() - begin
    assert process.poll() is None
    assert reply.status_code == 200
    assert "PaliGemma 2" in reply.text
    assert taken < SERVED_WITHIN_S
