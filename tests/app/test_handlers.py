"""The handlers behind the page, called as the page calls them."""

from __future__ import annotations

import dataclasses
import itertools

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app import WAITING_AT_MOST, create_app
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.images import OpenedImage
from models.schema import (
    Box,
    Detection,
    Need,
    Request,
    Result,
    StatusEvent,
    Timings,
    TokenEvent,
    UserError,
)
from training.nano.scenes import scene, sprites
from training.nano.tasks import questions
from ui import choices, markup, nano
from ui.answers import finished, partial, waiting
from ui.found_picture import FoundPicture
from ui.handlers import Handlers, build_prompt, percent_box, whole
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
from ui.runs import PENDING_AT_MOST, Runs
from ui.wiring import ANSWERS_LET_IN

CATALOG = Catalog()


class Nowhere:
    """A backend whose real sizes are all missing; it is never asked for an answer."""

    def __init__(self, catalog: Catalog = CATALOG):
        self.catalog = catalog

    def missing(self, checkpoint: str, precision: str = "auto") -> str | None:
        if precision == "fp32":
            return f"{checkpoint} in fp32 needs 58 GB."
        return None if checkpoint == "nano-224" else f"{checkpoint} has no weights here."

    def notice(self, checkpoint: str) -> str | None:
        return None if checkpoint == "nano-224" else "The first use downloads 6.1 GB."

    def adapters(self, checkpoint: str) -> tuple[str, ...]:
        return ("vqa",) if checkpoint == "nano-224" else ()

    def needs(self, checkpoint: str) -> tuple[Need, ...]:
        return (Need("bf16", 10**9, checkpoint == "nano-224"),)

    def precisions(self) -> tuple[str, ...]:
        return ("bf16",)


@pytest.fixture
def handlers() -> Handlers:
    return Handlers(Nowhere(), ())


def visible_fields(handlers: Handlers, task: str) -> list[str]:
    names = ("language", "question", "answer", "objects", "box", "text")
    updates = handlers.show_inputs(task)
    return [name for name, update in zip(names, updates, strict=True) if update["visible"]]


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


def test_every_checkpoint_can_be_chosen_and_nothing_else():
    for checkpoint in CATALOG.checkpoints:
        triple = (checkpoint.size, checkpoint.variant, checkpoint.resolution)
        assert choices.find_checkpoint(CATALOG, *triple) is checkpoint
        assert choices.settle(CATALOG, *triple).checkpoint is checkpoint
    with pytest.raises(UserError, match="mix at 448 px"):
        choices.find_checkpoint(CATALOG, "3B", "mix", "896")


def test_a_wish_settles_on_the_nearest_checkpoint_that_exists():
    assert choices.settle(CATALOG, "28B", "ft-docci", "448").checkpoint.name == "28b-mix-448"
    assert choices.settle(CATALOG, "3B", "ft-docci", "224").checkpoint.name == "3b-ft-docci-448"
    assert choices.settle(CATALOG, "nano", "pt", "896").checkpoint.name == "nano-448"


def test_choosing_a_size_offers_what_exists_and_says_what_is_missing(handlers):
    size, variant, resolution, adapter, notice, needs, panel, knows = handlers.model.show(
        "10B", "pt", "896", "auto", "vqa"
    )
    assert size == "10B"
    assert [value for _, value in variant["choices"]] == ["mix", "pt", "ft-docci"]
    assert [value for _, value in resolution["choices"]] == ["224", "448", "896"]
    assert (variant["value"], resolution["value"]) == ("pt", "896")
    assert adapter["value"] == ""
    assert "The adapter vqa is not for 10b-pt-896 and was taken off." in notice
    assert "10b-pt-896 has no weights here." in notice
    assert "9.7 B parameters, 19.3 GB to download" in needs
    assert '<tr class="lacks"><td>bfloat16</td><td>1.0 GB</td><td>no</td></tr>' in needs
    assert panel["label"] == "Model: 10B · pt · 896 px"
    assert not knows["visible"]


def test_an_unknown_adapter_stays_and_is_named(handlers):
    chosen = ("nano", "mix", "224", "auto")
    _, _, _, adapter, notice, *_ = handlers.model.choose_adapter(*chosen, "vqq")
    assert "value" not in adapter
    assert "nano-224 has no adapter &#x27;vqq&#x27;. Choose one of: None, vqa." in notice
    _, _, _, adapter, notice, *_ = handlers.model.choose_adapter(*chosen, "vqa")
    assert "value" not in adapter
    assert "vqa" not in notice


def test_what_was_chosen_is_not_sent_back_and_what_cannot_stand_is_changed(handlers):
    """A visitor may have chosen the next by then."""
    size, variant, resolution, adapter, *_ = handlers.model.choose("10B", "pt", "896", "auto", "")
    assert "value" not in size
    assert not any("value" in each for each in (variant, resolution, adapter))
    size, variant, resolution, adapter, *_ = handlers.model.choose(
        "10B", "ft-docci", "224", "auto", "vqa"
    )
    assert "value" not in size and "value" not in variant
    assert (resolution["value"], adapter["value"]) == ("448", "")


def test_advice_on_memory_follows_the_precision(handlers):
    notices = [
        handlers.model.choose("nano", "mix", "224", precision, "")[4]
        for precision in ("fp32", "auto")
    ]
    assert "nano-224 in fp32 needs 58 GB." in notices[0]
    assert "needs" not in notices[1]


def test_what_differs_from_the_defaults_is_shown_and_can_be_taken_back(handlers):
    chosen = ("nano", "mix", "224")
    line, button = handlers.model.settings(*chosen, "auto", "", *choices.DEFAULT_DECODING)
    assert "nano · mix · 224 px" in line
    assert not button["visible"]
    line, button = handlers.model.settings(*chosen, "nf4", "vqa", 0, 1.5, 0, 1, 1, 0)
    for words in ("adapter vqa", "4-bit (nf4)", "temperature 1.5"):
        assert words in line
    assert button["visible"]
    _, button = handlers.model.settings("3B", "mix", "224", "auto", "", *choices.DEFAULT_DECODING)
    assert button["visible"]
    precision, *decoding = handlers.model.reset()[:7]
    assert (precision, tuple(decoding)) == ("auto", choices.DEFAULT_DECODING)
    assert handlers.model.reset()[7] == "nano"


def test_what_does_not_exist_is_never_asked_for_nor_offered(handlers):
    exist = {(each.size, each.variant, each.resolution) for each in CATALOG.checkpoints}
    variants = ("mix", "pt", "ft-docci")
    every = set(itertools.product(CATALOG.sizes(), variants, (224, 448, 896)))
    for size, variant, resolution in every - exist:
        with pytest.raises(UserError, match="does not exist"):
            choices.find_checkpoint(CATALOG, size, variant, resolution)
        settled = choices.settle(CATALOG, size, variant, resolution).checkpoint
        assert (settled.size, settled.variant, settled.resolution) in exist
    for size, variant, _ in exist:
        offered = choices.settle(CATALOG, size, variant, 224)
        assert {(size, value) for _, value in offered.variants} == {
            (s, v) for s, v, _ in exist if s == size
        }
        assert {int(value) for _, value in offered.resolutions} == {
            r for s, v, r in exist if (s, v) == (size, variant)
        }


def test_a_checkpoint_that_lacks_nothing_says_what_its_first_use_brings(handlers, monkeypatch):
    monkeypatch.setattr(Nowhere, "missing", lambda *_: None)
    assert "The first use downloads 6.1 GB." in handlers.model.notice("3b-mix-224")


def test_nano_says_what_it_cannot_do(handlers):
    assert "For photographs, choose 3B or larger" in handlers.model.notice("nano-224")


def test_what_nano_knows_is_what_it_was_taught():
    assert tuple(noun.name for noun in sprites.nouns()) == nano.OBJECTS
    assert tuple(scene.BACKGROUNDS) == nano.BACKGROUNDS
    assert questions.LANGUAGES == choices.NANO_LANGUAGES


def test_nano_says_which_languages_it_lacks(handlers):
    def limits(size: str, task: str, language: str) -> str:
        return handlers.model.limits(size, "mix", "", task, language, "")

    assert "captions in Māori" in limits("nano", "caption", "mi")
    assert "only in English" in limits("nano", "answer", "de")
    assert limits("nano", "caption", "de") == ""
    assert limits("nano", "detect", "sv") == ""
    assert limits("3B", "answer", "sv") == ""


def test_objects_that_nano_has_no_word_for_are_named_before_running(handlers):
    def limits(objects: str, size: str = "nano", variant: str = "mix", task: str = "detect") -> str:
        return handlers.model.limits(size, variant, None, task, "en", objects)

    assert "nano knows no circle and no Square." in limits("cat, circle ; Square")
    assert "nano knows no circle." in limits("circle", task="segment")
    assert limits("cats, Red Apple, apple; buses, ") == ""
    assert limits("circle", size="3B") == ""
    assert limits("circle", variant="my-own") == ""
    assert limits("circle", task="caption") == ""


def test_a_refused_picture_leaves_the_field_and_its_reason_stays(handlers):
    picture, note = handlers.inspect(UserError("This is not a picture.", "Upload one."))
    assert picture is None and "This is not a picture." in note
    assert handlers.refuse_picture()[0] is None
    kept, note = handlers.inspect(None)
    assert kept is not None and note == ""


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
    box = Box(0, 0, 0.5, 0.5)
    found = tuple(Detection("cat", box, (0, 0, 32, 32)) for _ in range(MOST_DRAWN + 3))
    timings = Timings(load_s=0, first_token_s=0.1, decode_s=1, tokens=9)
    result = Result("", "detect cat", "nano-224", None, found, 0, timings, "eos")
    request = Request(Image.new("RGB", (64, 64)), "detect cat")
    status, _, annotated, table, _, details = finished(request, result)
    assert f"Only the first {MOST_DRAWN} of {MOST_DRAWN + 3} objects are drawn." in status
    assert len(annotated["value"].annotations) == MOST_DRAWN
    assert table["value"].count('<th scope="row">') == len(found)
    assert len(details["detections"]) == len(found)


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


def test_stopping_reaches_all_answers_of_one_visitor_only():
    runs = Runs()
    with runs.open("a") as first, runs.open("a") as second, runs.open("b") as other:
        assert runs.stop("a") == 2
        assert first.is_set()
        assert second.is_set()
        assert not other.is_set()
        assert not runs.is_running("a")
        assert runs.is_running("b")
    assert runs.stop("a") == 0


def test_on_a_page_the_last_answer_that_was_begun_wins():
    runs = Runs()
    runs.begin("page")
    runs.begin("page")  # a second click before the first answer has arrived
    runs.arrive("page")
    with runs.open("page") as first:
        runs.arrive("page")
        with runs.open("page") as second:
            assert first.is_set() and not second.is_set()
            assert runs.is_running("page")
        assert not runs.is_running("page")


def test_a_page_runs_from_the_click_until_its_answer_ends_or_is_refused():
    runs = Runs()
    runs.begin("page")
    assert runs.is_running("page")
    runs.forget("page")
    assert not runs.is_running("page")
    runs.arrive("page")
    assert not runs.is_running("page")
    runs.forget("page", is_gone=True)
    with runs.open("page") as first, runs.open("page") as second:
        assert not first.is_set() and not second.is_set(), "a program may ask for many at once"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(UserError, match=r"seed is (nan|inf)"):
        whole("seed", value)


def test_an_unknown_task_is_answered_with_the_valid_ones():
    with pytest.raises(UserError, match=r"no task None. Choose one of .*caption"):
        build_prompt(None, "en", "", "", "", (0, 0, 1, 1), "")


def test_an_answer_too_many_is_refused_until_one_ends():
    runs = Runs(at_most=2)
    with runs.open("a"):
        with runs.open("b"), pytest.raises(UserError, match="in a minute"), runs.open("c"):
            pass
        with runs.open("c"):
            assert runs.is_running("c")


def test_controls_skip_the_queue_and_answers_do_not():
    page = create_app(Nowhere())
    direct = {fn.name for fn in page.fns.values() if fn.queue is False}
    assert direct >= {"begin", "end", "stop", "say_stopped", "preview", "show_inputs", "choose"}
    assert not direct & {"answer", "inspect"}
    limits = {fn.concurrency_limit for fn in page.fns.values() if fn.name == "answer"}
    assert limits == {ANSWERS_LET_IN}
    assert PENDING_AT_MOST < ANSWERS_LET_IN < WAITING_AT_MOST


def test_nano_of_any_name_has_its_note(monkeypatch):
    own = dataclasses.replace(NANO, name="mine", variant="mine")
    handlers = Handlers(Nowhere(Catalog(checkpoints=(own,))), ())
    monkeypatch.setattr(Nowhere, "missing", lambda *_: None)
    monkeypatch.setattr(Nowhere, "notice", lambda self, checkpoint: None)
    assert "drawn scenes" in handlers.model.notice("mine")
