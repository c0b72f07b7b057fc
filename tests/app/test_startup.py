"""`python app.py` as a stranger starts it."""

from __future__ import annotations

import socket
import subprocess
import sys

import httpx
import pytest
from gradio_client import Client, handle_file

from app import server_address
from models.schema import UserError
from tests.serving import ROOT, app_process, save_scene


@pytest.mark.slow
def test_the_app_says_where_it_serves_the_page_and_does(tmp_path):
    with app_process(tmp_path, HF_HUB_OFFLINE="1") as app:
        said = next(line for line in app.said if "running on" in line.lower())
        assert app.url in said
        reply = httpx.get(app.url, timeout=60)
    assert reply.status_code == 200
    assert "PaliGemma 2" in reply.text


def refused_start(monkeypatch, **variables) -> str:
    """What `python app.py` says before it ends with an error."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "app.py"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.mark.parametrize("port", ["http", "70000", "0", "-1", "7860.0", "²"])
def test_a_port_that_is_none_is_refused(monkeypatch, port):
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    with pytest.raises(UserError, match="GRADIO_SERVER_PORT is"):
        server_address()


def test_an_address_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "300.300.300.300")
    with pytest.raises(UserError, match="GRADIO_SERVER_NAME is"):
        server_address()


def test_what_is_no_port_is_one_sentence(monkeypatch):
    """Gradio reads the variable too, while it is imported."""
    said = refused_start(monkeypatch, GRADIO_SERVER_PORT="http")
    assert said == "GRADIO_SERVER_PORT is 'http'. Set it to a number, such as 7860.\n"


@pytest.mark.slow
def test_a_taken_port_is_one_sentence_before_anything_is_loaded(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused_start(monkeypatch, GRADIO_SERVER_PORT=str(port))
    assert said.startswith(f"The page cannot be served at port {port} of 127.0.0.1: ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_a_bad_entry_of_the_environment_is_one_sentence(monkeypatch):
    said = refused_start(monkeypatch, PALIGEMMA_DEFAULT="nano-1000")
    assert said.startswith("PALIGEMMA_DEFAULT has a bad entry, 'nano-1000': ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_libraries_say_nothing_of_themselves(tmp_path):
    with app_process(tmp_path) as app:
        assert httpx.get(app.url, timeout=60).status_code == 200
        client = Client(app.url, verbose=False)
        client.predict(image=handle_file(save_scene(tmp_path, 5)), api_name="/answer")
        said = [line for line in app.said if not line.startswith("*") and line.strip()]
    assert said == []
