"""The handlers of the tab Compare, called as the page calls them."""

from __future__ import annotations

import json
import re
import threading
from html import unescape

import gradio as gr
import pytest
from PIL import Image

from models.images import OpenedImage, open_image
from models.schema import UserError
from models.serving.backend import Backend
from tests.nowhere import Nowhere
from tests.serving import WatchedBackend
from ui import answers, compare_markup
from ui.compare_handlers import CompareHandlers
from ui.examples import FOLDER, read_examples
from ui.preset_examples import PresetExamples
from ui.runs import Runs
from ui.side_by_side import answer_side_by_side
from ui.sides import (
    GREEDY,
    SAMPLED,
    Presets,
    Side,
    decoding_choices,
    decoding_name,
    decoding_value,
    describe,
    request_of,
    starting_sides,
)

VISITOR = gr.Request(session_hash="visitor")
MUSHROOMS = OpenedImage(Image.open(FOLDER / "cap.png").convert("RGB"), ())
NANO = Side("nano-224")


@pytest.fixture
def watched(backend: Backend) -> WatchedBackend:
    return WatchedBackend(backend)


@pytest.fixture
def handlers(watched) -> CompareHandlers:
    return CompareHandlers(watched, (), Runs())


def compared(handlers: CompareHandlers, prompt: str, *sides: Side) -> list[tuple]:
    fields = [value for side in (*sides, *[NANO] * (4 - len(sides))) for value in side.values]
    return list(handlers.compare(VISITOR, MUSHROOMS, prompt, str(len(sides)), *fields))


def text_of(card: str) -> str:
    return unescape(re.sub("<[^>]+>", "", card.partition('class="side-text"')[2].partition(">")[2]))


def record_of(votes: str) -> dict:
    return json.loads(unescape(re.search('data-comparison="([^"]*)"', votes)[1]))


def test_sides_of_one_model_are_written_side_by_side(handlers, watched):
    watched.hold(after_tokens=1)
    sides = (NANO, Side("nano-224", decoding=SAMPLED))
    fields = [value for side in (*sides, NANO, NANO) for value in side.values]
    updates = handlers.compare(VISITOR, MUSHROOMS, "caption en", "2", *fields)
    next(updates)  # that it begins
    next(updates)
    assert watched.wait_for_active(2)
    watched.release()
    status, first, second, *_ = list(updates)[-1]
    assert "Done." in first and "Done." in second
    assert "same" in status or "marked" in status


def test_what_was_asked_stands_on_each_card_and_in_the_record(handlers):
    side = Side("nano-224", "easy-vqa", "fp32", SAMPLED)
    _, first, second, *_, votes = compared(handlers, "caption en", NANO, side)[-1]
    assert "nano-224" in first and "easy-vqa" not in first
    assert "adapter easy-vqa" in second and "Sampled, temperature 1" in second
    record = record_of(votes)
    assert record["prompt"] == "caption en"
    assert record["picture"]["width"] == MUSHROOMS.image.width
    kept = record["answers"]["B"]
    assert (kept["adapter"], kept["precision"]) == ("easy-vqa", "fp32")
    assert kept["decoding"]["temperature"] == 1 and kept["timings"]["tokens"] > 0
    assert text_of(first).startswith(record["answers"]["A"]["text"])


def test_equal_sides_have_no_mark_and_say_so(handlers):
    status, first, second, *_ = compared(handlers, "caption en", NANO, NANO)[-1]
    assert "The answers are the same." in status
    assert "<mark>" not in first + second
    assert text_of(first).partition("First token")[0] == text_of(second).partition("First token")[0]


def test_a_side_that_fails_says_why_and_the_others_go_on(handlers):
    sides = (NANO, Side("3b-mix-224"), Side("nano-224", "no-such"), NANO)
    _status, first, missing, unknown, last, *_pictures, votes = compared(
        handlers, "caption en", *sides
    )[-1]
    assert "Done." in first and "Done." in last
    assert "notice-error" in missing and "3b-mix-224" in missing
    assert "no adapter &#x27;no-such&#x27;" in unknown
    assert list(record_of(votes)["answers"]) == ["A", "D"]
    assert 'id="vote-AD"' in votes and votes.count("<fieldset") == 1


def test_a_side_at_the_token_limit_names_no_control_that_is_not_here(handlers):
    one_token = Side("nano-224", decoding="1,0,0,1,1,0")
    _, _first, second, *_ = compared(handlers, "describe en", NANO, one_token)[-1]
    assert "Stopped at the token limit." in second and "on the tab Ask" in second
    assert compare_markup.ENDED.keys() == answers.ENDED.keys()
    assert "fewer tokens" not in compare_markup.ENDED["deadline"]


class TestWhatPresetsBring:
    @pytest.fixture
    def presets(self, backend) -> PresetExamples:
        return PresetExamples(read_examples(backend.catalog))

    def test_the_picture_of_a_preset_gives_way_and_a_typed_prompt_stays(self, presets):
        crowd = open_image(FOLDER / "crowd.png")
        path, prompt = presets.bring("adapter", crowd, "caption en")
        assert path.name == "easy-vqa.png" and "circle" in prompt
        assert presets.bring("resolution", open_image(path), prompt) == (
            FOLDER / "crowd.png", "caption en",
        )  # fmt: skip
        path, prompt = presets.bring("adapter", crowd, "describe en")
        assert path.name == "easy-vqa.png" and prompt is None

    def test_somebodys_own_picture_stays_with_its_prompt(self, presets):
        assert presets.bring("adapter", MUSHROOMS, "caption en") == (None, None)
        refused = UserError("This is not a picture.", "Upload one.")
        assert presets.bring("adapter", refused, "caption en") == (None, None)


def test_boxes_without_a_partner_stand_out_and_say_where_they_are_missing(handlers):
    prompt = "detect mushroom"
    updates = compared(handlers, prompt, NANO, NANO)
    empty = updates[0][5]["value"]
    assert empty.annotations == [] and updates[0][5]["visible"]
    first, second = (updates[-1][at]["value"] for at in (5, 6))
    assert len(first.annotations) > 0
    assert {each.kind for each in first.annotations + second.annotations} == {""}
    assert "All boxes match" in updates[-1][0]
    plain = Side("nano-224")
    other = Side("nano-224", decoding="1,0,0,1,1,0")  # one token is no box
    status, *_, a, b, _c, _d, _votes = compared(handlers, prompt, plain, other)[-1]
    kinds = [each.kind for each in a["value"].annotations]
    assert kinds == ["alone"] * len(kinds)
    assert all(each.label.endswith("(not in B)") for each in a["value"].annotations)
    assert b["value"].annotations == []
    assert "no partner" in status


def test_stop_stops_all_sides_and_keeps_what_they_wrote(handlers, watched):
    watched.hold(after_tokens=2)
    fields = NANO.values * 4
    updates = handlers.compare(VISITOR, MUSHROOMS, "caption en", "2", *fields)
    cards = ["", ""]
    while "Writing" not in cards[0] or "Writing" not in cards[1]:
        _, *shown = next(updates)
        cards = [
            new if isinstance(new, str) else old for old, new in zip(cards, shown[:2], strict=True)
        ]
    handlers.stop(VISITOR)
    status, first, second, *_, votes = list(updates)[-1]
    assert watched.wait_for_active(0)
    assert "Stopped." in status and "Stopped." in first and "Stopped." in second
    assert text_of(first).strip() and votes == ""


def test_what_is_stopped_on_its_way_does_not_begin(handlers, watched):
    handlers.begin(VISITOR)
    handlers.stop(VISITOR)
    updates = list(handlers.compare(VISITOR, MUSHROOMS, "caption en", "2", *NANO.values * 4))
    assert len(updates) == 1 and "Stopped." in updates[0][0]
    assert watched.requests == []
    assert handlers.end(VISITOR)[0]["interactive"]


def test_leaving_stops_the_work(handlers, watched):
    watched.hold(after_tokens=1)
    updates = handlers.compare(VISITOR, MUSHROOMS, "caption en", "2", *NANO.values * 4)
    next(updates)  # that it begins
    next(updates)
    assert watched.wait_for_active(2)
    handlers.leave(VISITOR)
    assert "Stopped." in list(updates)[-1][0]
    assert watched.wait_for_active(0)


@pytest.mark.parametrize(
    "image, prompt, said",
    [
        (None, "caption en", "no picture yet"),
        (UserError("This is not a picture.", "Upload one."), "caption en", "not a picture"),
        (MUSHROOMS, " ", "prompt is empty"),
        (MUSHROOMS, "detect", "no object"),
    ],
)
def test_what_cannot_be_asked_is_said_once_above_the_sides(handlers, image, prompt, said):
    updates = list(handlers.compare(VISITOR, image, prompt, "2", *NANO.values * 4))
    assert len(updates) == 1
    assert said in updates[0][0] and "notice-error" in updates[0][0]


def test_an_answer_that_fails_for_no_reason_of_its_own_ends_alone(watched):
    class Broken:
        def answer(self, request):
            if request.prompt == "ocr":
                raise RuntimeError("broken")
            return watched.answer(request)

    requests = {
        index: request_of(MUSHROOMS.image, prompt, NANO, watched)
        for index, prompt in enumerate(["caption en", "ocr"])
    }
    last = dict(answer_side_by_side(Broken(), requests, threading.Event()))
    assert last[0].result is not None
    assert "error of its own" in str(last[1].error)


class TestSides:
    def test_a_way_of_decoding_is_one_value(self):
        assert decoding_value((0, 0, 0, 1, 1, 0)) == GREEDY
        assert decoding_value((None, 0.35, 10, 1, 1, 7)) == "0,0.35,10,1,1,7"
        assert decoding_name(GREEDY) == "Greedy"
        assert decoding_name("0,0.35,10,1,1,7") == "Temperature 0.35, top-k 10, seed 7"
        assert decoding_choices("0,0.35,10,1,1,7")[-1][1] == "0,0.35,10,1,1,7"
        assert len(decoding_choices()) + 1 == len(decoding_choices("0,0.35,10,1,1,7"))

    @pytest.mark.parametrize("value", ["", "greedy", "0,0,0,1,1", "0,nan,0,1,1,0", "0,0,0.5,1,1,0"])
    def test_another_value_is_refused(self, value):
        with pytest.raises(UserError, match="no way of decoding"):
            decoding_name(value)

    def test_no_two_sides_begin_alike(self):
        sides = starting_sides(Presets(Nowhere()), "nano-224")
        assert [side.checkpoint for side in sides[:2]] == ["nano-224", "nano-448"]
        assert len(set(sides)) == 4
        assert len(set(starting_sides(Presets(Nowhere()), "3b-ft-docci-448"))) == 4

    def test_presets_that_cannot_be_here_are_not_offered(self, backend):
        names = [value for _, value in Presets(Nowhere()).offered()]
        assert names == ["resolution", "adapter", "decoding"]  # Nowhere has bf16 alone
        offered = [value for _, value in Presets(backend).offered()]
        assert ("precision" in offered) == ({"bf16", "nf4"} <= set(backend.precisions()))

    def test_presets_differ_in_one_thing(self):
        presets = Presets(Nowhere())
        small, large = presets.pair("resolution", "3b-pt-896")
        assert (small.checkpoint, large.checkpoint) == ("3b-pt-224", "3b-pt-448")
        assert [describe(side) for side in presets.pair("adapter", "nano-224")] == [
            ("nano-224",), ("nano-224", "adapter vqa"),
        ]  # fmt: skip
        assert [side.precision for side in presets.pair("precision", "nano-224")] == ["bf16", "nf4"]
        greedy, sampled = presets.pair("decoding", "nano-224")
        assert (greedy.decoding, sampled.decoding) == (GREEDY, SAMPLED)

    @pytest.mark.parametrize(
        "preset, checkpoint, said",
        [
            ("resolution", "3b-ft-docci-448", "no 224 px"),
            ("adapter", "nano-448", "nano-448 has no adapter here. Choose as A one of: nano-224."),
            ("all", "nano-224", "no preset"),
        ],
    )
    def test_a_preset_that_the_checkpoint_cannot_make_is_explained(self, preset, checkpoint, said):
        with pytest.raises(UserError, match=said):
            Presets(Nowhere()).pair(preset, checkpoint)


def test_an_adapter_of_another_checkpoint_is_taken_off_and_said():
    handlers = CompareHandlers(Nowhere(), (), Runs())
    update, note = handlers.choose("nano-224", "vqa", "auto")
    assert "value" not in update and note == ""
    update, note = handlers.choose("nano-448", "vqa", "auto")
    assert update["value"] == "" and "taken off" in note
    assert "no weights here" in note
