"""Location and mask tokens."""

from __future__ import annotations

import pytest

from models.prompts.tokens import encode_box, encode_codes, parse_detections, readable
from models.schema import Box

LOCS = "<loc0100><loc0200><loc0300><loc0400>"
CODES = tuple(range(16))
SEGS = encode_codes(CODES)
BOX = Box(100 / 1023, 200 / 1023, 300 / 1023, 400 / 1023)


def test_boxes_survive_encoding():
    assert encode_box(BOX) == LOCS
    assert encode_box(Box(0, 0, 1, 1)) == "<loc0000><loc0000><loc1023><loc1023>"
    assert parse_detections(LOCS).objects[0].box == BOX


def test_one_box():
    parsed = parse_detections(f"{LOCS} cat")
    assert [(each.label, each.box, each.codes) for each in parsed.objects] == [("cat", BOX, None)]
    assert (parsed.invalid, parsed.rest) == (0, "")


def test_several_objects_with_and_without_masks():
    parsed = parse_detections(f"{LOCS} cat ; {LOCS}{SEGS} red car ; {LOCS}")
    assert [each.label for each in parsed.objects] == ["cat", "red car", ""]
    assert [each.codes for each in parsed.objects] == [None, CODES, None]


@pytest.mark.parametrize("gap", ["", " ", " ; "])
def test_boxes_in_a_row_are_several_objects(gap):
    assert len(parse_detections(f"{LOCS}{gap}{LOCS} cat").objects) == 2


@pytest.mark.parametrize(
    "broken",
    [
        "<loc0100><loc0200><loc0300> cat",
        "<loc0100><loc0200><loc0300><loc0400><loc0500> cat",
        "<loc0300><loc0200><loc0100><loc0400> cat",
        "<loc0100><loc0400><loc0300><loc0400> cat",
        "<loc0100><loc0200><loc0300><loc1024> cat",
        f"{LOCS}{SEGS[:-8]} cat",
        f"{LOCS}{SEGS}<seg001> cat",
        f"{LOCS}{SEGS[:-8]}<seg128> cat",
        f"{SEGS} cat",
    ],
)
def test_nonsense_is_counted_and_its_neighbours_kept(broken):
    parsed = parse_detections(f"{LOCS} dog ; {broken} ; {LOCS} bird")
    assert [each.label for each in parsed.objects] == ["dog", "bird"]
    assert parsed.invalid == 1


def test_plain_text_is_the_rest():
    parsed = parse_detections("none")
    assert (parsed.objects, parsed.invalid, parsed.rest) == ((), 0, "none")


def test_every_beginning_of_an_answer_parses():
    """A growing text never takes back an object, and counts nothing that may still become whole."""
    text = f"{LOCS}{SEGS} cat ; {LOCS}{SEGS} dog"
    ends = [index + 1 for index, character in enumerate(text) if character in "> "]
    counts = []
    for end in ends:
        parsed = parse_detections(text[:end], finished=False)
        assert parsed.invalid == 0
        counts.append(len([each for each in parsed.objects if each.label]))
    assert counts == sorted(counts)
    assert len(parse_detections(text, finished=False).objects) == 2


def test_an_answer_cut_short_counts_its_last_object():
    assert parse_detections(f"{LOCS} cat ; <loc0100><loc0200>").invalid == 1


def test_readable_text_has_no_tokens():
    assert readable(f"{LOCS}{SEGS} cat ; {LOCS} dog") == "cat ; dog"
    assert readable("a cat ; and a dog ") == "a cat ; and a dog"
    assert readable(LOCS) == ""
    assert readable(f"{LOCS} cat ; <loc01") == "cat"
