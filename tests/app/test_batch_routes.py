"""The routes of the tab Batch: what is taken and refused, and that a run outlives its server."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from data.run_rows import RunRows, Sought
from models.limits import BATCH_KEPT_S, EMPTY_BATCH_KEPT_S, MAX_BATCH_PICTURE_BYTES
from models.schema import Busy, UserError
from tests.nowhere import Nowhere
from tests.runs import make_run, save_pictures
from tests.serving import WatchedBackend
from ui.batch import replies, stored
from ui.batch.room import Room
from ui.batch.routes import create_batch
from ui.batch.runs import BatchRuns
from ui.batch.settings import BatchSettings

PATIENCE_S = 60
CAPTION = {"task": "caption", "language": "en", "checkpoint": "nano-224"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path / stored.FOLDER


class Client:
    """What the page asks of a server with a backend."""

    def __init__(self, backend, pictures=6):
        self.runs = BatchRuns(backend, BatchSettings(pictures))
        self.http = TestClient(create_batch(self.runs), raise_server_exceptions=False)
        self.id = None

    def post(self, path, json=None):
        return self.http.post(path, json=json or {})

    def create(self):
        self.id = self.post("/runs").json()["id"]
        return self.id

    def put(self, name, content):
        return self.http.put(f"/runs/{self.id}/pictures", params={"name": name}, content=content)

    def act(self, what, json=None):
        return self.post(f"/runs/{self.id}/{what}", json)

    def state(self):
        return self.http.get(f"/runs/{self.id}").json()

    def wait(self):
        """The state once nothing is at work any more."""
        live = self.runs._live[self.id]
        live.thread.join(PATIENCE_S)
        return self.state()

    def rows(self, **sought):
        return self.http.get(f"/runs/{self.id}/rows", params=sought).json()


@pytest.fixture
def client() -> Client:
    return Client(Nowhere())


def png(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60 + number, 40), "crimson").save(file, "PNG")
    return file.getvalue()


def archive(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in entries.items():
            zipped.writestr(name, content)
    return file.getvalue()


def refusal(reply, status=422) -> str:
    assert reply.status_code == status, reply.text
    return reply.json()["error"]


@pytest.mark.parametrize(
    "name",
    [
        *("../a.png", "/a.png", "a/../../b.png", "c:/a.png", "..\\a.png", "a\\b.png", "a//b.png"),
        *("./a.png", "a\n.png", "", "x" * 300 + ".png"),
    ],
)
def test_no_name_leads_out_of_the_run(client, folder, name):
    client.create()
    assert "no name for a picture" in refusal(client.put(name, png()))
    assert [each.name for each in (folder / client.id).rglob("*") if each.is_file()] == ["used"]


@pytest.mark.parametrize(
    "name", ["at 10.15\u202fPM.png", "\u200fقطة.png", "👨\u200d👩\u200d👧.png"]
)
def test_a_picture_keeps_whatever_name_a_computer_gave_it(client, folder, name):
    client.create()
    assert client.put(name, png()).status_code == 201
    assert (folder / client.id / "pictures" / name).is_file()


def test_files_that_are_no_pictures_by_their_names_are_refused(client):
    client.create()
    assert "not the name of a picture" in refusal(client.put("a.svg", b"<svg/>"))
    assert "not the name of a picture" in refusal(client.put(".hidden/a.png", png()))


def test_too_many_and_too_large_is_refused_and_nothing_of_it_stays(client, folder):
    client.create()
    for number in range(6):
        assert client.put(f"{number}.png", png()).status_code == 201
    assert "more than 6 pictures" in refusal(client.put("7.png", png()))
    client.create()
    assert "too large" in refusal(client.put("a.png", b"x" * (MAX_BATCH_PICTURE_BYTES + 1)))
    assert not list((folder / client.id / "pictures").iterdir())
    assert not list((folder / client.id).glob("*.new"))


@pytest.mark.parametrize(
    "content, said",
    [
        (archive(**{"../a.png": png()}), "leads out of its folder"),
        (archive(**{f"{n}.png": png() for n in range(7)}), "7 pictures. Use at most 6"),
        (archive(**{"a.txt": b"x"}), "has no pictures"),
        (b"PK no archive", "is no ZIP archive"),
    ],
)
def test_an_archive_is_refused_as_a_whole_without_naming_the_servers_folders(
    folder, backend, content, said
):
    client = Client(backend)
    client.create()
    assert client.http.put(f"/runs/{client.id}/archive", content=content).status_code == 201
    error = refusal(client.act("start", CAPTION))
    assert said in error and str(folder) not in error
    assert client.state()["state"] == "new"


@pytest.mark.parametrize("id", ["x" * 22, "..", "a", "%2e%2e%2f", "A" * 21 + "."])
def test_nobody_finds_a_run_whose_id_he_does_not_know(client, id):
    client.create()
    for reply in (
        client.http.get(f"/runs/{id}"),
        client.http.get(f"/runs/{id}/rows"),
        client.post(f"/runs/{id}/resume"),
        client.http.delete(f"/runs/{id}"),
    ):
        assert reply.status_code == 404
    assert client.http.get("/runs").status_code == 405  # there is no list
    assert client.state()["state"] == "new"


def test_only_the_pages_files_are_handed_out(client):
    assert client.http.get("/files/main.js").status_code == 200
    for name in ("..%2Froutes.py", "routes.py", "main", "nothing.js"):
        assert client.http.get(f"/files/{name}").status_code == 404


def test_a_form_of_another_origin_is_no_request(client):
    reply = client.http.post("/runs", content=b"{}", headers={"content-type": "text/plain"})
    assert "no JSON object" in refusal(reply)


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"task": "free", "text": " \n "}, "There is no prompt yet"),
        ({"task": "free", "text": "\n".join(f"ask {n}" for n in range(9))}, "There are 9 prompts"),
        ({"task": "detect", "objects": ""}, "no object to look for"),
        ({"task": "caption box"}, "There is no box"),
        ({"task": "dance"}, "no task 'dance'"),
        ({**CAPTION, "checkpoint": "none"}, "none"),
        ({**CAPTION, "adapter": "none"}, "no adapter 'none'"),
        ({**CAPTION, "precision": "int1"}, "int1"),
    ],
)
def test_what_cannot_be_asked_is_said_and_the_run_can_still_begin(backend, asked, said):
    client = Client(backend)
    client.create()
    client.put("a.png", png())
    assert said in refusal(client.act("start", {"checkpoint": "nano-224"} | asked))
    assert client.state()["state"] == "new"


def test_a_run_is_stopped_and_goes_on_on_another_server_with_none_twice_and_none_lost(backend):
    watched = WatchedBackend(backend)
    client = Client(watched)
    client.create()
    names = [f"{folder}/{number}.png" for number in range(2) for folder in "ab"]
    for number, name in enumerate(names):
        client.put(name, png(number))
    client.put("broken.png", b"no picture")
    client.put("c.png", png(9)[:60])
    watched.hold(after_tokens=1)
    asked = {"task": "free", "text": "caption en\nDETECT Cat, dog", "checkpoint": "nano-224"}
    begun = client.act("start", asked).json()
    assert begun["prompts"] == ["caption en", "detect cat, dog"]
    assert watched.wait_for_active(4)
    stopped = client.act("stop").json()
    assert stopped["state"] == "stopped"
    watched.release()
    assert watched.wait_for_active(0)

    other = Client(backend)  # as after a restart
    other.id = client.id
    assert other.state()["state"] == "stopped"
    assert other.act("resume").json()["state"] in ("waiting", "running", "done")
    done = other.wait()
    assert (done["state"], done["rows"], done["failed"]) == ("done", 12, 4)
    assert done["line"] == "Done: 6 of 6 pictures, 2 failed."
    rows = other.rows()
    keys = [(each["image"], each["prompt"]) for each in rows["rows"]]
    assert len(set(keys)) == len(keys) == 12
    assert {name for name, _ in keys} == {*names, "broken.png", "c.png"}
    failed = other.rows(kind="failed")["rows"]
    assert {each["image"] for each in failed} == {"broken.png", "c.png"}
    assert all(each["error"] for each in failed)
    number = keys.index(("a/0.png", "caption en"))
    picture = other.http.get(f"/runs/{other.id}/rows/{number}/picture")
    assert Image.open(io.BytesIO(picture.content)).size == (60, 40)


def test_an_export_that_is_taken_away_brings_what_it_names(backend):
    client = Client(backend)
    client.create()
    client.put("a/1.png", png())
    client.act("start", CAPTION)
    assert client.wait()["state"] == "done"
    fixed = client.post(f"/runs/{client.id}/rows/0", {"text": "by hand"}).json()["row"]
    assert fixed["isCorrected"] and fixed["text"] == "by hand"
    assert client.post(f"/runs/{client.id}/exports/finetune").status_code == 201
    reply = client.http.get(f"/runs/{client.id}/exports/finetune")
    with zipfile.ZipFile(io.BytesIO(reply.content)) as zipped:
        line = json.loads(zipped.read("train.jsonl"))
        assert line["suffix"] == "by hand"
        assert Image.open(zipped.open(line["image"])).size == (60, 40)
    assert "no format" in refusal(client.post(f"/runs/{client.id}/exports/word"))
    assert client.http.get(f"/runs/{client.id}/exports/coco").status_code == 404


def test_what_nobody_looked_at_for_a_day_is_swept_and_deleting_leaves_nothing(client, folder):
    kept, old = client.create(), client.create()
    long_ago = time.time() - BATCH_KEPT_S - 60
    os.utime(folder / old / "used", (long_ago, long_ago))
    (folder / "notes").mkdir()  # not a run's
    assert client.runs.sweep() == 1
    assert sorted(each.name for each in folder.iterdir()) == sorted([kept, "notes"])
    assert client.http.delete(f"/runs/{kept}").status_code == 200
    assert not (folder / kept).exists()


def test_what_is_received_at_once_shares_the_room_of_the_run_and_of_the_server(client):
    client.runs._room = Room(of_a_run=1000, of_all=1500)
    first, second = client.create(), client.create()
    runs = [stored.look_up(first), stored.look_up(second)]
    with ExitStack() as both:
        one = both.enter_context(client.runs.receive(runs[0], "a.png"))
        other = both.enter_context(client.runs.receive(runs[0], "b.png"))
        one.write(b"x" * 600)
        with pytest.raises(UserError, match="batch is larger"):
            other.write(b"x" * 600)
        third = both.enter_context(client.runs.receive(runs[1], "a.png"))
        third.write(b"x" * 600)
        with pytest.raises(Busy, match="no room for more pictures"):
            third.write(b"x" * 400)
        other.write(b"x" * 300)
    refused = client.put("c.png", b"x")
    assert refusal(refused, 503).startswith("The server has no room for more pictures.")
    client.http.delete(f"/runs/{first}")
    assert client.put("c.png", b"x" * 300).status_code == 201


def test_batches_that_nothing_was_asked_give_their_places_up_after_a_while(
    client, folder, monkeypatch
):
    monkeypatch.setattr(stored, "MAX_BATCHES", 2)
    old, young = client.create(), client.create()
    assert "no room for another batch" in refusal(client.post("/runs"), 503)
    long_ago = time.time() - EMPTY_BATCH_KEPT_S - 60
    os.utime(folder / old / "used", (long_ago, long_ago))
    assert client.post("/runs").status_code == 201
    assert not (folder / old).exists() and (folder / young).exists()


def test_no_row_is_passed_over_where_those_before_it_were_put_right(tmp_path, monkeypatch):
    save_pictures(tmp_path / "images")
    rows = RunRows(make_run(tmp_path / "run", tmp_path / "images"))
    monkeypatch.setattr(replies, "ROWS_A_PAGE", 3)
    sought = Sought(kind="untouched")
    all_of_them = rows.find(sought)

    def numbers(page):
        return [each["number"] for each in page["rows"]]

    shown = numbers(replies.page_of(rows, sought))
    assert shown == all_of_them[:3]
    for number in shown[:2]:
        rows.correct(number, text="by hand")
    after = replies.page_of(rows, sought, first=shown[-1] + 1)
    assert numbers(after) == all_of_them[3:6] and after["page"] == 1
    before = replies.page_of(rows, sought, before=all_of_them[3])
    assert numbers(before)[0] == all_of_them[2] and before["page"] == 0
    last = replies.page_of(rows, sought, first=10_000)
    assert numbers(last)[-1] == all_of_them[-1] and last["page"] + 1 == last["pages"]


def test_a_batch_that_was_not_begun_is_not_gone_on_with(client):
    client.create()
    assert refusal(client.act("resume")).startswith("This batch was not begun.")


def test_a_deployment_bounds_the_pictures_or_has_no_batches():
    assert BatchSettings.from_environment({"PALIGEMMA_BATCH_PICTURES": "50"}).pictures == 50
    assert BatchSettings.from_environment({}).pictures > 0
    with pytest.raises(UserError, match="PALIGEMMA_BATCH_PICTURES is 'many'"):
        BatchSettings.from_environment({"PALIGEMMA_BATCH_PICTURES": "many"})
    closed = Client(Nowhere(), pictures=0)
    assert "has no batches" in refusal(closed.post("/runs"))
