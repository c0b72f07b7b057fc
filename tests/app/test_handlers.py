"""The handlers behind the page, called as the page calls them."""

from __future__ import annotations

import gradio as gr
import pytest
from PIL import Image

from app import WAITING_AT_MOST, create_app
from models.images import OpenedImage
from models.schema import (
    Box,
    UserError,
)
from tests.nowhere import Nowhere
from ui import choices
from ui.handlers import Handlers, build_prompt, whole
from ui.part import cut_out, percent_box
from ui.runs import PENDING_AT_MOST
from ui.wiring import ANSWERS_LET_IN


def visible_fields(handlers: Handlers, task: str) -> list[str]:
    names = ("language", "question", "answer", "objects", "box", "text")
    updates = handlers.show_inputs(task)
    return [name for name, update in zip(names, updates, strict=True) if update["visible"] is True]


def test_each_task_shows_its_own_fields(handlers):
    assert visible_fields(handlers, "caption") == ["language"]
    assert visible_fields(handlers, "answer") == ["language", "question"]
    assert visible_fields(handlers, "question") == ["language", "answer"]
    assert visible_fields(handlers, "segment") == ["objects"]
    assert visible_fields(handlers, "caption box") == ["box"]
    assert visible_fields(handlers, "ocr") == []
    assert visible_fields(handlers, "free") == ["text"]


def test_changing_the_task_touches_no_value(handlers):
    assert all("value" not in update for update in handlers.show_inputs("detect"))


def preview(handlers: Handlers, **given: object) -> dict:
    fields = {
        "task": "caption",
        "language": "en",
        "question": "",
        "answer": "",
        "objects": "",
        "box_left": 0,
        "box_top": 0,
        "box_right": 100,
        "box_bottom": 50,
        "text": "",
    }
    return handlers.preview(**{**fields, **given})


def test_the_prompt_is_shown_before_it_is_sent(handlers):
    assert preview(handlers, language="de")["value"] == "caption de"
    assert preview(handlers, task="detect", objects="cat, dog")["value"] == "detect cat ; dog"
    boxed = "caption <loc0000><loc0000><loc0512><loc1023>"
    assert preview(handlers, task="caption box")["value"] == boxed


def test_an_unfinished_prompt_says_what_is_missing(handlers):
    update = preview(handlers, task="answer")
    assert update["value"] == ""
    assert "question" in update["placeholder"]


def test_a_box_needs_an_area():
    assert percent_box(10, 20, 30, 40) == Box(y_min=0.2, x_min=0.1, y_max=0.4, x_max=0.3)
    for edges in [(50, 0, 50, 10), (0, 40, 10, 30), (-5, 0, 10, 10), (0, 0, 10, 101)]:
        with pytest.raises(UserError):
            percent_box(*edges)


def test_a_refused_picture_leaves_the_field_and_its_reason_stays(handlers):
    picture, note = handlers.inspect(UserError("This is not a picture.", "Upload one."))
    assert picture is None and "This is not a picture." in note
    assert handlers.refuse_picture()[0] is None
    kept, note = handlers.inspect(None)
    assert kept is not None and note == ""


def test_what_is_missing_is_said_once_on_the_page_and_in_full_to_programs(handlers):
    missing = "10b-pt-896 has no weights here."
    assert missing in handlers.model.notice("10b-pt-896")
    picture = OpenedImage(Image.new("RGB", (8, 8)), ())
    prompt = ("caption", "en", "", "", "", 25, 25, 75, 75, "")
    settings = ("10B", "pt", "896", "auto", None, *choices.DEFAULT_DECODING)
    updates = handlers.answer(picture, *prompt, *settings, gr.Request(session_hash="a"))
    status = next(updates)[0]
    assert "10b-pt-896 cannot run here" in status and missing not in status
    with pytest.raises(gr.Error, match=missing):
        next(updates)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(UserError, match=r"seed is (nan|inf)"):
        whole("seed", value)


def test_an_unknown_task_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match=r"no task None. Choose one of .*caption"):
        build_prompt(None, "en", "", "", "", (0, 0, 1, 1), "")


def test_controls_skip_the_queue_and_answers_do_not():
    page = create_app(Nowhere())
    direct = {fn.name for fn in page.fns.values() if fn.queue is False}
    assert direct >= {"begin", "end", "stop", "say_stopped", "preview", "show_inputs", "choose"}
    assert not direct & {"answer", "inspect"}
    limits = {fn.concurrency_limit for fn in page.fns.values() if fn.name == "answer"}
    assert limits == {ANSWERS_LET_IN}
    assert PENDING_AT_MOST < ANSWERS_LET_IN < WAITING_AT_MOST


def test_a_part_is_cut_to_the_pixels_that_its_box_touches(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    image = Image.new("RGB", (200, 100), "red")
    image.paste("blue", (50, 20, 150, 80))
    path, note, is_marked = cut_out(OpenedImage(image, image.size, ()), 25, 20, 75, 80)
    cut = Image.open(path)
    assert cut.size == (100, 60) and set(cut.getdata()) == {(0, 0, 255)}
    assert path.startswith(str(tmp_path)) and (note, is_marked) == ("", False)
    assert "no picture yet" in cut_out(None, 25, 20, 75, 80)[1]
    assert "no area" in cut_out(OpenedImage(image, image.size, ()), 25, 20, 25, 80)[1]
