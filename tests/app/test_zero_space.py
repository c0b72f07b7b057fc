"""The app as on a ZeroGPU Space: the real `spaces` package, and a device service on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlparse

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.serving import app_process

LEFT_S, WAIT_S = 3, 3600


@pytest.fixture
def service() -> Iterator[tuple[str, list]]:
    """Its address and what it was asked: it takes the start report and has no GPU time left."""
    asked = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            address = urlparse(self.path)
            asked.append((address.path, parse_qs(address.query)))
            is_start = address.path == "/startup-report"
            body = b"{}" if is_start else json.dumps({"left": LEFT_S, "wait": WAIT_S}).encode()
            self.send_response(200 if is_start else 429)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing is printed."""

    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_the_app_starts_reports_and_says_that_there_is_no_gpu_time(service, tmp_path, scene_png):
    device_api, asked = service
    on_a_space = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": device_api}
    command = ("-m", "tests.zero_space")
    with app_process(tmp_path, *command, HF_HUB_OFFLINE="1", **on_a_space) as app:
        assert asked[0][0] == "/startup-report"
        client = Client(app.url, verbose=False)
        job = client.submit(image=handle_file(scene_png), task="caption", api_name="/answer")
        with pytest.raises(AppError, match=r"ZeroGPU quota exceeded: .*Sign in"):
            job.result(timeout=60)
    path, question = asked[-1]
    assert path == "/schedule"
    assert question["gpuSize"] == ["large"]
    assert 5 <= int(question["durationSeconds"][0]) <= 180
    assert "Traceback" not in "".join(app.said)
