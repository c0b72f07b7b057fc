"""Where many pictures lie: folders, ZIP archives, files."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from data import zip_pictures
from data.pictures import find
from models.schema import UserError


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(data, "PNG")
    return data.getvalue()


def pack(folder: Path, entries: list[tuple[str, bytes]]) -> Path:
    archive = folder / "pictures.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data)
    return archive


@pytest.mark.parametrize(
    "name",
    ["../out.png", "a/../../out.png", "/out.png", "C:/out.png", "..\\out.png", "\\\\host\\a.png"],
)
def test_an_archive_that_wants_to_leave_its_folder_is_refused(tmp_path, name):
    archive = pack(tmp_path, [("good.png", png()), (name, png())])
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(UserError, match="leads out of its folder"):
        find([str(archive)])
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_an_archive_is_read_by_its_names_in_order(tmp_path):
    entries = [("b/2.PNG", png()), ("a\\1.jpg", b"one"), ("notes.txt", b""), (".hidden.png", b"")]
    found = find([str(pack(tmp_path, entries))])
    assert (found.names, found.others) == (("a/1.jpg", "b/2.PNG"), 2)
    assert found.open("a/1.jpg") == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["pictures.zip"], "nothing is unpacked"


def test_a_picture_that_unpacks_to_far_more_than_it_takes_is_refused(tmp_path):
    archive = pack(tmp_path, [("bomb.bmp", bytes(30_000_000)), ("good.png", png())])
    found = find([str(archive)])
    with pytest.raises(UserError, match=r"bomb\.bmp has 30 MB, packed into 0\.0 MB"):
        found.open("bomb.bmp")
    assert found.open("good.png") == png()


def test_a_picture_of_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_pictures, "MAX_PICTURE_BYTES", 1000)
    found = find([str(pack(tmp_path, [("a.png", random.Random(0).randbytes(1001))]))])
    with pytest.raises(UserError, match="A picture may have"):
        found.open("a.png")


def test_an_entry_that_is_longer_than_it_says_is_damaged(tmp_path):
    archive = pack(tmp_path, [("a.png", bytes(5000))])
    data = archive.read_bytes()
    archive.write_bytes(data.replace((5000).to_bytes(4, "little"), (500).to_bytes(4, "little")))
    with pytest.raises(UserError, match="is damaged in the archive"):
        find([str(archive)]).open("a.png")


def test_archives_of_too_many_or_too_large_files_are_refused(tmp_path, monkeypatch):
    archive = pack(tmp_path, [("a.png", png()), ("b.png", png())])
    monkeypatch.setattr(zip_pictures, "MAX_ENTRIES", 1)
    with pytest.raises(UserError, match="has 2 files"):
        find([str(archive)])
    monkeypatch.setattr(zip_pictures, "MAX_ENTRIES", 2)
    monkeypatch.setattr(zip_pictures, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(UserError, match="GB unpacked"):
        find([str(archive)])


def test_damaged_and_encrypted_entries_are_said(tmp_path):
    archive = pack(tmp_path, [("a.png", png())])
    data = bytearray(archive.read_bytes())
    at = data.index(b"a.png") + len("a.png") + 5
    data[at] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png is damaged in the archive"):
        find([str(archive)]).open("a.png")
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png is encrypted"):
        find([str(archive)]).open("a.png")
    archive.write_bytes(b"no archive")
    with pytest.raises(UserError, match="is no ZIP archive"):
        find([str(archive)])


def test_a_folder_is_read_by_its_names_in_order(tmp_path):
    for name in (
        "b/1.jpg",
        "a/2.jpg",
        "a/1.jpg",
        "z.png",
        ".git/x.png",
        "a/notes.txt",
        "run/r.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find([str(tmp_path)], without=tmp_path / "run")
    assert found.names == ("z.png", "a/1.jpg", "a/2.jpg", "b/1.jpg")
    assert found.open("a/1.jpg") == tmp_path / "a" / "1.jpg"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["gone"], "does not exist"),
        (["."], "has no pictures"),
        ([".", "file.txt"], "Give one folder, one ZIP archive, or files"),
    ],
)
def test_what_cannot_be_taken_is_said(tmp_path, monkeypatch, given, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(UserError, match=word):
        find(given)
