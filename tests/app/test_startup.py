"""`python app.py` as a stranger starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The app in a process of its own, and the address that it shall serve."""
    port = free_port()
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process, f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.slow
def test_the_app_says_where_it_serves_the_page_and_does(app):
    process, address = app
    said = next(line for line in process.stdout if "running on" in line.lower())
    assert address in said
    reply = httpx.get(address, timeout=60)
    assert reply.status_code == 200
    assert "PaliGemma 2" in reply.text
