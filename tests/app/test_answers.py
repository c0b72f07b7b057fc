"""An answer as the page shows it: words, boxes, masks and figures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.prompts.not_known import is_at_a_loss
from models.schema import (
    Box,
    Detection,
    Request,
    Result,
    StatusEvent,
    Timings,
    TokenEvent,
)
from ui import markup
from ui.answers import finished, partial, waiting
from ui.found_picture import FoundPicture
from ui.pictures import (
    COLOURS,
    LONGEST_SHOWN,
    MASK_EDGE,
    MASK_FILL,
    MOST_DRAWN,
    at_viewing_size,
    distinct_colours,
    distinct_labels,
    mask_layer,
)


def test_a_label_cannot_become_markup():
    detection = Detection("<img src=x>", Box(0, 0, 1, 1), (0, 0, 8, 8))
    table = markup.detection_table([detection], ["<img src=x>${alert(1)}{{x}}"], ["#fff"])
    assert "<img" not in table
    assert "${" not in table
    assert "{{" not in table


def test_labels_that_repeat_are_numbered():
    box = Box(0, 0, 1, 1)
    found = [Detection(name, box, (0, 0, 8, 8)) for name in ("cat", "dog", "cat", "")]
    assert distinct_labels(found) == ["cat 1", "dog", "cat 2", "object"]


def test_a_mask_is_filled_inside_an_opaque_edge_and_clear_elsewhere():
    mask = np.zeros((224, 224), bool)
    mask[56:112, 56:112] = True
    layer = mask_layer((640, 640), mask, COLOURS[0])
    assert (layer.size, layer.mode) == ((640, 640), "RGBA")
    opacity = np.asarray(layer)[..., 3]
    assert opacity[240, 240] == MASK_FILL
    assert opacity[240, 161] == MASK_EDGE
    assert not opacity[:150].any() and not opacity[330:].any()


def test_a_box_has_a_colour_that_its_object_has_not():
    box = Box(0.25, 0.25, 0.75, 0.75)
    for colour in COLOURS:
        image = Image.new("RGB", (64, 64), colour)
        (chosen,) = distinct_colours(image, [Detection("cat", box, (16, 16, 48, 48))])
        assert chosen != colour
    plain = Image.new("RGB", (64, 64), "grey")
    several = [Detection("cat", box, (16, 16, 48, 48))] * 3
    assert len(set(distinct_colours(plain, several))) == 3


def test_a_box_is_placed_in_percent_with_its_label_where_there_is_room():
    boxes = [Box(0.1, 0.2, 0.6, 0.9), Box(0.0, 0.7, 1.0, 1.0)]
    found = [Detection("cat", box, box.to_xyxy_px(64, 48)) for box in boxes]
    data = FoundPicture.saved(Image.new("RGB", (64, 48)), found, ["cat 1", "cat 2"], COLOURS[:2])
    first, last = data.annotations
    assert (first.left, first.top, first.width, first.height) == (20, 10, 70, 50)
    assert (first.label, first.colour, first.image) == ("cat 1", COLOURS[0], None)
    assert (first.anchor, last.anchor) == ("to-right above", "to-left inside")
    assert data.summary == "The picture with cat 1, cat 2 marked"


def test_of_very_many_objects_only_the_first_are_drawn_which_the_answer_says():
    boxes = [Box(0, 0, 0.5, (i + 1) / 64) for i in range(MOST_DRAWN + 3)]
    found = tuple(
        Detection(f"cat {i % 20}", box, box.to_xyxy_px(64, 64)) for i, box in enumerate(boxes)
    )
    timings = Timings(load_s=0, first_token_s=0.1, decode_s=1, tokens=9)
    result = Result("", "detect cat", "nano-224", None, found, 0, timings, "eos")
    request = Request(Image.new("RGB", (64, 64)), "detect cat")
    status, _, annotated, table, _, details = finished(request, result)
    assert f"Only the first {MOST_DRAWN} of {MOST_DRAWN + 3} objects are drawn." in status
    assert len(annotated["value"].annotations) == MOST_DRAWN
    assert table["value"].count('<th scope="row">') == len(found)
    assert len(details["detections"]) == len(found)


def test_boxes_that_repeat_are_shown_once_and_all_in_the_details():
    boxes = [Box(0, 0, 0.5, 0.5), Box(0, 0, 0.5, 0.51), Box(0, 0, 0.5, 0.7)]
    found = tuple(Detection("cat", each, each.to_xyxy_px(64, 64)) for each in boxes)
    timings = Timings(load_s=0, first_token_s=0.1, decode_s=1, tokens=9)
    result = Result("", "detect cat", "nano-224", None, found, 0, timings, "length")
    request = Request(Image.new("RGB", (64, 64)), "detect cat")
    _, _, annotated, table, _, details = finished(request, result)
    assert [each.label for each in annotated["value"].annotations] == ["cat 1", "cat 2"]
    assert table["value"].count('<th scope="row">') == 2
    assert len(details["detections"]) == 3


def test_an_answer_says_what_was_asked_and_that_nothing_was_found():
    timings = Timings(load_s=0, first_token_s=0.1, decode_s=1, tokens=9)
    request = Request(Image.new("RGB", (64, 64)), "detect cat ; dog", adapter="vqa")
    result = Result("", request.prompt, "nano-224", "vqa", (), 0, timings, "eos")
    status, _, _, _, figures, _ = finished(request, result)
    assert "No cat or dog found." in status
    assert "detect cat ; dog" in figures
    assert "nano-224 with adapter vqa" in figures


def test_an_answer_names_the_kinds_that_were_not_asked_for():
    timings = Timings(load_s=0, first_token_s=0.1, decode_s=1, tokens=9)
    request = Request(Image.new("RGB", (64, 64)), "detect cats ; circle")

    def status(*labels: str | None) -> str:
        found = tuple(Detection(label, Box(0, 0, 1, 1), (0, 0, 64, 64), None) for label in labels)
        return finished(request, Result("", request.prompt, "x", None, found, 0, timings, "eos"))[0]

    assert "Done. Not asked for: cactus, dog." in status("cat", "cactus", "dog", "cactus")
    assert "No cats or circle found. Not asked for: cactus." in status("cactus")
    assert "Not asked for" not in status("cat", "Circle", None)
    assert "Done. For “cats” the model wrote “black cat”." in status("black cat")
    assert "No cats or circle found. Not asked for: wildcat." in status("wildcat")


def test_an_unfinished_answer_has_its_prompt_and_the_time_of_its_first_token():
    request = Request(Image.new("RGB", (64, 64)), "caption en")
    details = waiting(request, StatusEvent("Looking …"))[-1]
    assert details["prompt"] == "caption en"
    _, text, _, _, figures, details = partial(request, TokenEvent("a cat", "cat", 5, 1, 0.9), 0.25)
    assert (text, details["text"]) == ("a cat", "a cat")
    assert "0.25 s" in figures
    assert details["timings"] == {"first_token_s": 0.25, "tokens": 2}


def test_a_large_picture_is_shown_smaller():
    shown = at_viewing_size(Image.new("RGB", (4000, 1000)))
    assert shown.size == (LONGEST_SHOWN, 320)


@pytest.mark.parametrize(
    "prompt, text, knows_nothing",
    [
        ("caption en", "nothing that I know", True),
        ("cap de", "nichts, was ich kenne", True),
        ("describe en", "Nothing that I know.", True),
        ("answer en what is this?", "unknown", True),
        ("answer en what is this?", "nothing that I know", False),
        ("caption de", "nothing that I know", False),
        ("caption en", "a cat", False),
        ("ocr", "unknown", False),
        ("detect unknown", "", False),
    ],
)
def test_where_nano_knows_nothing_of_the_picture_the_status_says_why(prompt, text, knows_nothing):
    assert is_at_a_loss(prompt, text) == knows_nothing
    request = Request(Image.new("RGB", (64, 64)), prompt)
    result = Result(text, prompt, "nano-224", None, (), 0, Timings(0, 0.1, 1, 9), "eos")
    status = finished(request, result, is_nano=True)[0]
    assert ("is not of nano’s world" in status) == knows_nothing
    assert "nano’s world" not in finished(request, result, is_nano=False)[0]
