"""Numbers that a field does not take: said where they are used, and in nobody's way elsewhere."""

from __future__ import annotations

import gradio as gr
import pytest
from PIL import Image

from models.images import OpenedImage
from models.schema import UserError
from tests.nowhere import Nowhere
from ui import choices, links
from ui.compare_handlers import CompareHandlers
from ui.components import Number, Slider, usable
from ui.handlers import Handlers, build_prompt
from ui.part import cut_out
from ui.runs import Runs
from ui.sides import GREEDY

SENTENCE = "Right % is 150. Use a number from 0 to 100."


@pytest.fixture
def right() -> object:
    """What the field "Right %" hands on where 150 was typed."""
    return Number(75, label="Right %", minimum=0, maximum=100).preprocess(150)


def test_a_field_hands_the_reason_on(right):
    assert isinstance(right, UserError) and str(right) == SENTENCE
    heat = Slider(0, 2, 0, step=0.05, label="Temperature")
    assert heat.preprocess(0.5) == 0.5
    for payload in (99, -1, None, "hot"):
        with pytest.raises(UserError, match=r"Temperature is .* Use a number from 0 to 2."):
            usable(heat.preprocess(payload))
    seed = Number(0, label="Seed", precision=0)
    assert (seed.preprocess(7.0), seed.preprocess(None)) == (7, None)
    with pytest.raises(UserError, match=r"Seed is 1\.5\. Use a whole number."):
        usable(seed.preprocess(1.5))


def test_only_the_task_that_uses_a_box_minds_it(handlers, right):
    edges = (25, 25, right, 75)
    assert build_prompt("caption", "en", "", "", "", edges, "") == "caption en"
    with pytest.raises(UserError, match="Right % is 150"):
        build_prompt("caption box", "en", "", "", "", edges, "")
    shown = handlers.preview("caption box", "en", "", "", "", *edges, "")
    assert (shown["value"], shown["placeholder"]) == ("", SENTENCE)
    picture = OpenedImage(Image.new("RGB", (8, 8)), (8, 8), ())
    assert SENTENCE in cut_out(picture, *edges)[1]


@pytest.mark.parametrize("place", range(6))
def test_a_number_of_decoding_is_named_in_the_status(handlers, place):
    decoding = list(choices.DEFAULT_DECODING)
    decoding[place] = UserError("This field is 99.", "Use another.")
    picture = OpenedImage(Image.new("RGB", (8, 8)), (8, 8), ())
    prompt = ("caption", "en", "", "", "", 25, 25, 75, 75, "")
    start = ("nano", "mix", "224", "auto", "")
    updates = handlers.answer(picture, *prompt, *start, *decoding, gr.Request(session_hash="a"))
    assert "This field is 99. Use another." in next(updates)[0]
    with pytest.raises(gr.Error, match=r"This field is 99\. Use another."):
        next(updates)
    line, button = handlers.model.settings(*start, *decoding)
    assert f"unusable {choices.DECODING_NAMES[place]}" in line and button["visible"]
    own = CompareHandlers(Nowhere(), (), Runs())
    *_, taken, note = own.as_asked(*start, *decoding)
    assert taken["value"] == GREEDY and "This field is 99." in note


def test_an_answer_that_never_arrived_is_told(handlers: Handlers):
    session = gr.Request(session_hash="a")
    handlers.begin_own(session)
    run, _, said = handlers.fail(session)
    assert run["interactive"] and "did not take what was asked" in said
    handlers.begin_own(session)
    handlers.runs.arrive("a")  # which says itself what is wrong
    *_, said = handlers.fail(session)
    assert said == gr.skip()


def test_links_know_the_range_of_every_number(handlers):
    about = links.about(handlers.model)
    for name, default, limits in zip(
        about["names"], about["defaults"], about["ranges"], strict=True
    ):
        assert (limits is not None) == isinstance(default, int), name
        assert limits is None or limits["low"] <= default <= limits["high"]
