"""Pictures of all askers together are bounded: those that are decoded at once, and those held."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.images import PictureRoom, open_image, room
from models.schema import Busy, UserError
from tests.picture_files import encoded, plain


def test_no_more_is_held_than_there_is_room_for_and_what_is_forgotten_makes_room():
    file = encoded(plain(size=(10, 10)))
    place = PictureRoom(held=250, wait_s=0)
    first, second = place.open(file), place.open(file)
    assert place.held == 200
    with pytest.raises(Busy, match="no room for more pictures"):
        place.open(file)
    del first
    third = place.open(file)
    assert place.held == 200 and second.image.size == third.image.size


def test_what_cannot_be_opened_takes_no_room():
    place = PictureRoom(held=150, decoded=100, wait_s=0)
    good = encoded(plain(size=(10, 10)))
    for _ in range(3):
        with pytest.raises(UserError, match="damaged"):
            place.open(good[:45])
    assert place.held == 0
    assert place.open(good).image.size == (10, 10)


def test_pictures_wait_until_others_are_decoded(monkeypatch):
    at_work, most = [], []
    lock, meet = threading.Lock(), threading.Barrier(2)

    def slow(source):
        with lock:
            at_work.append(source)
            most.append(len(at_work))
        meet.wait(timeout=10)  # two are let in together, and never a third
        with lock:
            at_work.remove(source)
        return open_image(source)

    monkeypatch.setattr(room, "open_image", slow)
    place = PictureRoom(decoded=200)
    file = encoded(plain(size=(10, 10)))
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(place.open, [file] * 6))
    assert len(opened) == 6 and max(most) == 2
