"""Pictures on other servers: only from named hosts at public addresses, without redirects."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from api import remote_pictures
from api.errors import ApiError
from api.remote_pictures import RemotePictures, is_public
from tests.coroutines import finish

HOST = "images.example.org"


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers by path, and remembers the Host that it was asked by."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.hosts.append(self.headers["Host"])
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://169.254.169.254/")
                self.end_headers()
            elif self.path == "/slow":
                self.server.patience.wait(10)
            elif self.path == "/missing":
                self.send_error(404)
            else:
                content = b"a" * (21_000_000 if self.path == "/large" else 3)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(OSError):  # nobody may read on
                    self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.hosts, found.patience = [], threading.Event()
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.patience.set()
    found.shutdown()
    found.server_close()
    thread.join()


def fetch(url: str, address: str = "127.0.0.1", is_allowed=lambda each: True) -> bytes:
    """What is fetched where every name is at `address`."""
    remote = RemotePictures({HOST}, lambda host, port: [address], is_allowed)
    return finish(remote.fetch, url)


def test_a_named_host_is_asked_by_its_name_at_the_address_that_was_checked(server):
    port = server.server_port
    assert fetch(f"http://{HOST}:{port}/a.png") == b"aaa"
    assert server.hosts == [f"{HOST}:{port}"]


@pytest.mark.parametrize(
    "path, words",
    [
        ("/elsewhere", "not followed"),
        ("/missing", "answers 404"),
        ("/large", "larger than 20 MB"),
    ],
)
def test_what_is_no_picture_is_refused(server, path, words):
    with pytest.raises(ApiError, match=words):
        fetch(f"http://{HOST}:{server.server_port}{path}")


def test_a_slow_server_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(remote_pictures, "WITHIN_S", 0.2)
    with pytest.raises(ApiError, match="took longer"):
        fetch(f"http://{HOST}:{server.server_port}/slow")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1",
    ],
)  # fmt: skip
def test_a_name_that_is_at_a_private_address_leads_nowhere(server, address):
    assert not is_public(address)
    with pytest.raises(ApiError, match="not fetched from"):
        fetch(f"http://{HOST}:{server.server_port}/a.png", address, is_public)
    assert server.hosts == []


def test_public_addresses_are_public():
    assert is_public("93.184.216.34") and is_public("2606:2800:220:1:248:1893:25c8:1946")


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example.org/a.png", "http://images.example.org.evil.net/a.png",
        "http://localhost/", "http://2130706433/", "http://user@images.example.org/a.png",
        "file:///etc/passwd", "//images.example.org/a.png", "http://[::1", "gopher://x/", "",
    ],
)  # fmt: skip
def test_other_addresses_are_not_asked(server, url):
    with pytest.raises(ApiError):
        fetch(url)
    assert server.hosts == []


def test_a_name_that_is_not_found_is_said():
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(ApiError, match="not to be found"):
        finish(RemotePictures({HOST}, nowhere).fetch, f"https://{HOST}/a.png")
