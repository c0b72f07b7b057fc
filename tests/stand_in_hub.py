"""A Hugging Face Hub on loopback, for the real huggingface_hub: small repositories, all its moods.

It speaks the four calls of a download: what a revision is, its list of files, and HEAD and GET of
one; what it takes is in `stand_in_uploads`. Point HF_ENDPOINT at `url` before huggingface_hub is
imported.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.stand_in_uploads import OWNER, Uploads

COMMIT = "c0ffee" + "0" * 34
TOKEN, STRANGER = "hf_" + "a" * 34, "hf_" + "b" * 34  # who accepted the licences, and who did not

_API = re.compile(r"/api/(model|space)s/([^/]+/[^/]+)/(revision|tree)/([^/?]+)")
_FILE = re.compile(r"/(spaces/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)")


@dataclass
class Repository:
    """Files by name; who may read them, and what goes wrong.

    `mood` is "", "busy" (429), "broken" (500), "cut" (a file ends half-way, once) or "slow" (a file
    waits half-way until `go_on` is set) or "damaged" (a byte of each large file differs).
    """

    files: dict[str, bytes]
    gated: bool = False
    mood: str = ""
    revisions: tuple[str, ...] = ("main", COMMIT)
    cut: set[str] = field(default_factory=set)
    go_on: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, folder: Path, **options: object) -> Repository:
        """The files of a folder that a real checkpoint has too."""
        extra = ("mask_codec.safetensors", "README.md")
        found = [each for each in folder.iterdir() if each.is_file() and each.name not in extra]
        return cls({each.name: each.read_bytes() for each in found}, **options)


class _Handler(Uploads):
    protocol_version = "HTTP/1.1"
    repositories: dict[str, Repository]
    asked: list[tuple[str, str, str | None]]

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        if self.path != "/api/whoami-v2":
            self._answer(send_body=True)
        elif self.headers.get("Authorization") == f"Bearer {self.writer}":
            self.reply({"name": OWNER, "type": "user", "orgs": [], "auth": {}})
        else:
            self.reply({"error": "Invalid username or password."}, 401)

    def log_message(self, *arguments: object) -> None:
        """Nothing is printed."""

    def _answer(self, send_body: bool) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Authorization")))
        api, file = _API.match(self.path), _FILE.match(self.path)
        name, revision = (api[2], api[4]) if api else (file[2], file[3]) if file else ("", "")
        repository = self.repositories.get(name)
        problem = self._problem(repository, revision, file[4] if file else None)
        if problem:
            self._fail(*problem)
        elif api:
            self._send(json.dumps(self._listing(repository, api[3])).encode(), send_body)
        else:
            self._send_file(repository, file[4], repository.files[file[4]], send_body)

    def _problem(
        self, repository: Repository | None, revision: str, file: str | None
    ) -> tuple[int, str, str] | None:
        """Status, X-Error-Code and message where the Hub would refuse."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository is None:
            return 401, "RepoNotFound", "Repository not found"
        if repository.mood == "busy":
            return 429, "", "too many requests"
        if repository.mood == "broken":
            return 500, "", "internal error"
        if token not in ("", TOKEN, STRANGER):
            return 401, "", "Invalid credentials in Authorization header"
        if revision not in repository.revisions:
            return 404, "RevisionNotFound", "Invalid rev id"
        if file is not None and repository.gated and token != TOKEN:
            return 403 if token else 401, "GatedRepo", "Access is restricted"
        if file is not None and file not in repository.files:
            return 404, "EntryNotFound", "Entry not found"
        return None

    def _listing(self, repository: Repository, call: str) -> object:
        if call == "revision":
            return {"id": "stand/in", "sha": COMMIT, "siblings": [], "tags": [], "private": False}
        return [
            {"type": "file", "path": name, "size": len(body), "oid": _digest(body)}
            for name, body in repository.files.items()
        ]

    def _send_file(self, repository: Repository, name: str, body: bytes, send_body: bool) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[len("bytes=") :].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        # As on the Hub: large files are known by their SHA-256.
        is_large = name.endswith((".safetensors", ".npz"))
        etag = hashlib.sha256(body).hexdigest() if is_large else _digest(body)
        if is_large and repository.mood == "damaged":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if not send_body:
            return
        if repository.mood == "cut" and name not in repository.cut:
            repository.cut.add(name)
            self.wfile.write(body[start : start + len(body) // 2])
            self.close_connection = True
            return
        if repository.mood == "slow":
            middle = (start + len(body)) // 2
            self.wfile.write(body[start:middle])
            self.wfile.flush()
            repository.go_on.wait()
            start = middle
        self.wfile.write(body[start:])

    def _send(self, body: bytes, send_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if send_body:
            self.wfile.write(body)

    def _fail(self, code: int, kind: str, message: str) -> None:
        self.send_response(code)
        if kind:
            self.send_header("X-Error-Code", kind)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _digest(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Hub:
    """Where it listens, and every call so far: method, path and the Authorization header.

    `taken` are the files that were uploaded, by repository, and `private` whether it is.
    """

    url: str
    asked: list[tuple[str, str, str | None]]
    taken: dict[str, dict[str, bytes]]
    private: dict[str, bool]


@contextmanager
def stand_in_hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    """Serves repositories by id, such as "google/paligemma2-3b-mix-224", until the block ends."""
    asked: list[tuple[str, str, str | None]] = []
    own = {"repositories": repositories, "asked": asked, "writer": TOKEN, "sent": {}}
    handler = type("Handler", (_Handler,), own | {"taken": {}, "private": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, name="stand-in-hub", daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield Hub(url, asked, handler.taken, handler.private)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
