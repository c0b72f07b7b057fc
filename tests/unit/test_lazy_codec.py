"""The mask codec is found at its first use; without one, boxes and text still come."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.catalog.checkpoints import NANO
from models.masks import lazy_codec
from models.masks.detections import detect_or_note
from models.masks.lazy_codec import LazyCodec
from models.masks.repeats import distinct
from models.prompts.tokens import encode_codes
from models.schema import UserError

BOX = "<loc0100><loc0100><loc0900><loc0900>"


def unreachable() -> Path:
    raise UserError("The mask decoder could not be reached.", "Check the network.")


def test_it_is_found_once_and_at_the_first_mask_only():
    asked = []

    def find() -> Path:
        asked.append(1)
        return NANO.codec

    codec = LazyCodec(find)
    assert detect_or_note("a cat", codec.get, 40, 20) == ((), 0, ())
    found, _, notes = detect_or_note(f"{BOX} cat", codec.get, 40, 20)
    assert not asked and found[0].mask is None and notes == ()
    for _ in range(2):
        (cat,), _, notes = detect_or_note(f"{BOX}{encode_codes(range(16))} cat", codec.get, 40, 20)
        assert cat.mask.shape == (20, 40) and notes == ()
    assert len(asked) == 1


def test_without_a_codec_boxes_come_and_a_note_says_what_is_missing():
    codec = LazyCodec(unreachable)
    (cat,), invalid, notes = detect_or_note(
        f"{BOX}{encode_codes(range(16))} cat", codec.get, 40, 20
    )
    assert (cat.label, cat.mask, invalid) == ("cat", None, 0)
    assert cat.box_xyxy_px == pytest.approx((3.9, 1.95, 35.2, 17.6), abs=0.1)
    assert notes == (
        "Masks are missing: The mask decoder could not be reached. Check the network.",
    )


def test_boxes_that_repeat_are_all_given_with_a_note():
    near = "<loc0100><loc0105><loc0900><loc0900>"
    codec = LazyCodec(unreachable)
    text = f"{BOX} cat ; {near} cat ; {BOX} dog"
    found, invalid, notes = detect_or_note(text, codec.get, 40, 20)
    assert ([each.label for each in found], invalid) == (["cat", "cat", "dog"], 0)
    assert [each.label for each in distinct(found)] == ["cat", "dog"]
    assert notes == ("1 box repeats another of its label and is shown once with it.",)
    _, _, notes = detect_or_note(" ; ".join([f"{BOX} cat"] * 9), codec.get, 40, 20)
    assert notes == ("8 boxes repeat others of their label and are shown once.",)


def test_a_failure_is_tried_again_only_after_a_while():
    now, tries = [0.0], []

    def find() -> Path:
        tries.append(now[0])
        return unreachable() if len(tries) == 1 else NANO.codec

    codec = LazyCodec(find, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, lazy_codec.RETRY_AFTER_S - 1):
        with pytest.raises(UserError, match="could not be reached"):
            codec.get()
    now[0] = lazy_codec.RETRY_AFTER_S + 1
    assert codec.get() is codec.get()
    assert tries == [0.0, now[0]]


@pytest.mark.parametrize("name", ["codec.safetensors", "codec.npz", "codec.bin"])
def test_a_damaged_file_is_said(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\0\0\0\0\0\0\0notjson!")
    with pytest.raises(UserError, match=f"{name} is damaged"):
        LazyCodec(lambda: tmp_path / name).get()
