"""What happens on the page when somebody chooses a model, a precision or an adapter."""

from __future__ import annotations

import dataclasses
import itertools

import gradio as gr
import pytest

from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.schema import Readiness, UserError
from tests.nowhere import CATALOG, Nowhere
from training.nano.scenes import scene, sprites
from training.nano.tasks import questions
from ui import choices, nano
from ui.handlers import Handlers


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
    size, variant, resolution, adapter, notice, needs, knows = handlers.model.show(
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


def test_a_page_that_is_loaded_afresh_takes_no_first_choice_back(handlers):
    fresh = handlers.model.restore("nano", "mix", "224", "auto", "")
    assert all(each == gr.skip() for each in fresh)
    restored = handlers.model.restore("10B", "pt", "896", "auto", "")
    assert restored[2]["choices"][-1] == ("896 px", "896")


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
    assert "nano-224" in line and "ready, for drawn scenes only" in line
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


@pytest.mark.parametrize(
    "found, words",
    [
        (Readiness("loads", seconds=12.3), "loads in about 12 s, all tasks"),
        (Readiness("loads", seconds=0.2), "loads in about 1 s"),
        (Readiness("downloads", bytes=6_100_000_000), "downloads 6.1 GB first"),
        (Readiness("needs", bytes=19_300_000_000), "needs 19.3 GB, more than this machine has"),
        (Readiness("gated"), "gated: licence not accepted here"),
        (Readiness("missing"), "not on this machine"),
    ],
)
def test_the_line_says_how_ready_the_choice_is(handlers, monkeypatch, found, words):
    monkeypatch.setattr(Nowhere, "readiness", lambda *_: found)
    line, _ = handlers.model.settings("3B", "mix", "224", "auto", "", *choices.DEFAULT_DECODING)
    assert "3b-mix-224" in line and words in line and f"state-{found.state}" in line


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


def test_nano_of_any_name_has_its_note(monkeypatch):
    own = dataclasses.replace(NANO, name="mine", variant="mine")
    handlers = Handlers(Nowhere(Catalog(checkpoints=(own,))), ())
    monkeypatch.setattr(Nowhere, "missing", lambda *_: None)
    monkeypatch.setattr(Nowhere, "notice", lambda self, checkpoint: None)
    assert "for drawn scenes only" in handlers.model.state(own)
