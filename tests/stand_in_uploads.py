"""What the stand-in Hub takes: a repository is created, files are sent, a commit names them.

The calls of `huggingface_hub`'s `whoami`, `create_repo` and `upload_folder`: small files stand in
the commit, large ones are sent before it and named there by their SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler

OWNER = "me"
_COMMIT = re.compile(r"/api/models/([^/]+/[^/]+)/commit/main")
_PREUPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/preupload/main")
_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")


class Uploads(BaseHTTPRequestHandler):
    """Handles POST and PUT; `taken` gets the files of each repository, `private` who may look."""

    taken: dict[str, dict[str, bytes]]
    private: dict[str, bool]
    sent: dict[str, bytes]
    writer: str  # the token that may write

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {self.writer}":
            self.reply({"error": "You may not write here"}, 403)
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or OWNER}/{wanted['name']}"
            self.private[name] = wanted.get("visibility") == "private"
            self.reply({"url": f"http://{self.headers['Host']}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif _PREUPLOAD.fullmatch(self.path):
            files = json.loads(body)["files"]
            self.reply({"files": [each | _mode(each["path"]) for each in files]})
        elif _BATCH.fullmatch(self.path):
            host = f"http://{self.headers['Host']}"
            objects = [
                {**each, "actions": {"upload": {"href": f"{host}/large/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.reply({"objects": objects, "transfer": "basic"})
        elif named := _COMMIT.fullmatch(self.path):
            for line in map(json.loads, body.decode().splitlines()):
                self.take(named[1], line["key"], line["value"])
            where = f"http://{self.headers['Host']}/{named[1]}/commit/{'0' * 40}"
            self.reply({"commitUrl": where, "commitOid": "0" * 40})
        else:
            self.reply({"error": f"no such call {self.path}"}, 404)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.sent[hashlib.sha256(body).hexdigest()] = body
        self.reply({})

    def take(self, repository: str, kind: str, value: dict) -> None:
        """One line of a commit."""
        files = self.taken.setdefault(repository, {})
        if kind == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif kind == "lfsFile":
            files[value["path"]] = self.sent[value["oid"]]

    def reply(self, content: object, code: int = 200) -> None:
        """JSON."""
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _mode(path: str) -> dict[str, object]:
    is_large = path.endswith(".safetensors")
    return {"uploadMode": "lfs" if is_large else "regular", "shouldIgnore": False}
