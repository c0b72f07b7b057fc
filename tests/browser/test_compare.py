"""The tab Compare as a visitor uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_accessibility import violations
from tests.browser.test_layout_shift import MOST_SHIFT, shift_of
from tests.browser.visitor import pick, tab_to, upload
from ui.examples import FOLDER

MUSHROOMS = FOLDER / "cap.png"
STALE = re.compile(r"\bstale\b")


@pytest.fixture
def compare(page: Page) -> Page:
    """The page with the tab open."""
    open_tab(page)
    return page


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_visible()


def give_picture(page: Page, picture: Path = MUSHROOMS) -> None:
    page.locator("#compare-picture input[type=file]").set_input_files(picture)
    expect(page.locator("#compare-picture img")).to_be_visible()


def press_compare(page: Page) -> None:
    page.get_by_role("button", name="Compare", exact=True).click()


def expect_compared(page: Page) -> None:
    expect(page.locator(".votes[data-comparison]")).to_be_visible()
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_enabled()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def answer(page: Page, letter: str) -> Locator:
    return page.get_by_role("article", name=f"Answer {letter}")


def test_a_preset_is_compared_voted_on_and_the_vote_downloaded_and_cleared(compare):
    page = compare
    page.get_by_role("button", name="224 against 448 px").click()
    expect(page.locator("#compare-picture img")).to_be_visible()  # an example's, with its prompt
    press_compare(page)
    expect_compared(page)
    expect(answer(page, "A")).to_contain_text("nano-224")
    expect(answer(page, "B")).to_contain_text("nano-448")
    for letter in "AB":
        expect(answer(page, letter)).to_contain_text("Done.")
        figures = answer(page, letter).locator(".figures")
        expect(figures).to_contain_text(re.compile(r"Whole answer\s*\d+\.\d\d s\s*Tokens\s*\d+"))
    page.get_by_label("A is better").check()
    page.get_by_label("Neither is").check()
    expect(page.get_by_label("A is better")).not_to_be_checked()
    expect(page.locator(".votes-count")).to_contain_text("1 vote is kept in this browser")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download votes as JSON").click()
    (vote,) = json.loads(Path(downloading.value.path()).read_text("utf-8"))
    assert vote["vote"] == "neither" and vote["pair"] == "AB"
    assert vote["left"]["checkpoint"] == "nano-224"
    assert vote["right"]["checkpoint"] == "nano-448"
    assert vote["prompt"] == page.locator("#compare-prompt textarea").input_value()
    page.get_by_role("button", name="Clear votes").click()
    expect(page.locator(".votes-kept")).to_be_hidden()
    expect(page.get_by_label("Neither is")).not_to_be_checked()
    assert page.evaluate("localStorage.getItem('paligemma-votes')") == "[]"


def test_votes_stay_in_this_browser_alone(compare, page_backend):
    page = compare
    give_picture(page)
    press_compare(page)
    expect_compared(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_label("Both are good").check()
    expect(page.locator(".votes-count")).to_contain_text("1 vote is")
    assert [url for url in sent if "heartbeat" not in url] == []
    page.reload()
    open_tab(page)
    expect(page.locator(".votes-count")).to_contain_text("1 vote is")


def test_sides_stream_at_once_and_stop_ends_them_all(compare, page_backend):
    page = compare
    give_picture(page)
    choose(page, "Model B", "nano-224")
    page_backend.hold(after_tokens=2)
    page.locator("#compare-run").focus()
    page.keyboard.press("Enter")
    for letter in "AB":
        expect(answer(page, letter)).to_contain_text("Writing")
        expect(answer(page, letter).locator(".side-text")).to_have_text(re.compile(r"\w"))
    assert page_backend.wait_for_active(2)
    expect(page.locator("#compare-stop")).to_be_focused()
    page.keyboard.press("Enter")
    assert page_backend.wait_for_active(0)
    for letter in "AB":
        expect(answer(page, letter)).to_contain_text("Stopped.")
        expect(answer(page, letter).locator(".side-text")).to_have_text(re.compile(r"\w"))
    expect(page.locator("#compare-run")).to_be_focused()
    expect(page.locator(".votes[data-comparison]")).to_have_count(0)


def test_closing_the_page_stops_all_sides(compare, page_backend):
    give_picture(compare)
    page_backend.hold(after_tokens=1)
    press_compare(compare)
    assert page_backend.wait_for_active(2)
    compare.close()
    assert page_backend.wait_for_active(0)


def test_words_that_differ_are_marked_and_boxes_without_a_partner_dashed(compare):
    page = compare
    give_picture(page)
    page.get_by_label("Prompt for all sides").fill("detect mushroom")
    pick(page, "3")
    choose(page, "Model B", "nano-224")
    choose(page, "Decoding C", "Sampled, temperature 1")
    press_compare(page)
    expect_compared(page)
    stages = page.locator("#compare-answers .stage")
    expect(stages).to_have_count(3)
    expect(stages.first.locator(".box")).not_to_have_count(0)
    colours = stages.locator(".box:not(.alone)").evaluate_all(
        "boxes => boxes.map((box) => box.style.getPropertyValue('--mark'))"
    )
    assert len(set(colours)) < len(colours)  # what is the same on two sides has one colour
    page.get_by_label("Prompt for all sides").fill("describe en")
    page.keyboard.press("Enter")
    expect(page.locator("#compare-status")).to_contain_text("Answering")
    expect_compared(page)
    expect(stages).to_have_count(0)
    expect(page.locator("#vote-AB, #vote-AC, #vote-BC")).to_have_count(3)


def test_a_side_that_cannot_answer_says_why_beside_one_that_does(compare):
    page = compare
    give_picture(page)
    choose(page, "Model B", "3b-mix-224")
    expect(page.locator("#sides-row")).to_contain_text("is not on this machine")
    press_compare(page)
    expect(answer(page, "A")).to_contain_text("Done.")
    expect(answer(page, "B").locator(".notice-error")).to_contain_text("is not on this machine")
    expect(page.locator("#compare-status")).to_contain_text("no two whole answers")


def test_what_is_asked_on_the_other_tab_comes_along_with_its_model(page, scene_png):
    upload(page, scene_png)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    page.get_by_role("button", name=re.compile("^Decoding")).click()
    page.get_by_label(re.compile("number input for Temperature")).first.fill("0.35")
    expect(page.get_by_label("Prompt to be sent")).to_have_value("answer en what is on the left?")
    page.get_by_role("button", name="Compare with another model").click()
    prompt = page.get_by_label("Prompt for all sides")
    expect(prompt).to_have_value("answer en what is on the left?")
    expect(page.locator("#compare-picture img")).to_be_visible()
    expect(page.get_by_label("Decoding A", exact=True)).to_have_value("Temperature 0.35")
    prompt.fill("caption de")
    page.get_by_role("tab", name="Ask", exact=True).click()
    open_tab(page)
    expect(prompt).to_have_value("caption de")  # what was typed is not lost


def test_answers_to_what_was_asked_before_are_dimmed(compare):
    page = compare
    give_picture(page)
    press_compare(page)
    expect_compared(page)
    tab = page.locator("#compare-tab")
    expect(tab).not_to_have_class(STALE)
    page.get_by_label("Prompt for all sides").fill("caption de")
    expect(tab).to_have_class(STALE)
    page.get_by_label("Prompt for all sides").fill("caption en")
    expect(tab).not_to_have_class(STALE)


def test_settings_are_kept_for_a_page_that_is_loaded_again(compare):
    page = compare
    page.get_by_label("Prompt for all sides").fill("caption de")
    pick(page, "3")
    choose(page, "Decoding B", "4 beams")
    page.reload()
    open_tab(page)
    expect(page.get_by_label("Prompt for all sides")).to_have_value("caption de")
    expect(page.get_by_label("Model C", exact=True)).to_be_visible()
    expect(page.get_by_label("Decoding B", exact=True)).to_have_value("4 beams")


def test_the_picture_is_kept_for_a_page_that_is_loaded_again(compare):
    page = compare
    give_picture(page)
    page.get_by_label("Prompt for all sides").fill("detect mushroom")
    expect_picture_kept(page)
    page.reload()
    open_tab(page)
    expect(page.locator("#compare-picture img")).to_have_attribute("src", re.compile(r"/cap\.png$"))
    expect(page.get_by_label("Prompt for all sides")).to_have_value("detect mushroom")
    press_compare(page)
    expect_compared(page)


def test_what_was_kept_does_not_take_the_place_of_what_comes_along(compare, scene_png):
    page = compare
    give_picture(page)
    page.get_by_label("Prompt for all sides").fill("caption de")
    expect_picture_kept(page)
    page.reload()
    upload(page, scene_png)
    page.get_by_role("button", name="Compare with another model").click()
    shown = page.locator("#compare-picture img")
    expect(shown).to_have_attribute("src", re.compile(re.escape(scene_png.name)))
    expect(page.get_by_label("Prompt for all sides")).to_have_value("caption en")


def expect_picture_kept(page: Page) -> None:
    """Wait until the browser's database has a picture."""
    page.wait_for_function(
        """() => new Promise((resolve) => {
          const opening = indexedDB.open("paligemma", 1);
          opening.onsuccess = () => {
            const base = opening.result;
            const asking = base.transaction("pictures").objectStore("pictures").count();
            asking.onsuccess = () => { base.close(); resolve(asking.result > 0); };
          };
        })"""
    )


@pytest.mark.parametrize("order", [("resolution", "adapter"), ("adapter", "resolution")])
def test_a_preset_replaces_what_another_preset_brought(compare, order):
    page = compare
    examples = {
        "resolution": ("crowd.png", "caption en"),
        "adapter": ("easy-vqa.png", "answer en is there not a circle in the image?"),
    }
    for preset in order:
        picture, prompt = examples[preset]
        page.locator(f"#preset-{preset}").click()
        shown = page.locator("#compare-picture img")
        expect(shown).to_have_attribute("src", re.compile(re.escape(f"/{picture}")))
        expect(page.get_by_label("Prompt for all sides")).to_have_value(prompt)


@pytest.mark.parametrize("votes", ["{bad", "null", '{"a":1}', '[1,null,{},"x"]'])
def test_votes_go_on_over_stored_ones_that_cannot_be_read(compare, votes):
    page = compare
    page.evaluate("votes => localStorage.setItem('paligemma-votes', votes)", votes)
    page.evaluate("sessionStorage.setItem('paligemma-compare', '{bad')")
    page.reload()
    open_tab(page)
    give_picture(page)
    press_compare(page)
    expect_compared(page)
    page.get_by_label("B is better").check()
    expect(page.locator(".votes-count")).to_contain_text("1 vote is kept")


def test_a_vote_that_finds_no_room_is_taken_back_and_said(compare):
    page = compare
    give_picture(page)
    press_compare(page)
    expect_compared(page)
    refused = page.locator(".votes-refused")
    expect(refused).to_be_hidden()
    page.evaluate(
        """() => {
          for (let size = 2 ** 22, at = 0; size >= 1; at += 1) {
            try { localStorage.setItem(`filler-${at}`, "x".repeat(size)); } catch { size /= 2; }
          }
        }"""
    )
    page.get_by_label("A is better").click()
    expect(refused).to_contain_text("The vote was not kept")
    expect(page.get_by_label("A is better")).not_to_be_checked()
    assert violations(page) == []
    page.evaluate("localStorage.clear()")
    page.get_by_label("A is better").check()
    expect(refused).to_be_hidden()
    expect(page.locator(".votes-count")).to_contain_text("1 vote is kept")


def test_nothing_speaks_of_sides_that_are_hidden(compare):
    page = compare
    give_picture(page)
    pick(page, "3")
    press_compare(page)
    expect_compared(page)
    summary = page.locator("#compare-status .status")
    expect(page.locator(".vote:visible")).to_have_count(3)
    pick(page, "2")
    expect(summary).to_be_hidden()
    expect(page.locator(".vote:visible")).to_have_count(1)
    expect(page.locator("#vote-AB")).to_be_visible()
    pick(page, "3")
    expect(summary).to_be_visible()
    expect(page.locator(".vote:visible")).to_have_count(3)


def test_without_a_picture_it_says_what_to_do(compare):
    press_compare(compare)
    expect(compare.locator("#compare-status .notice-error")).to_contain_text("no picture yet")
    expect(compare.get_by_role("button", name="Compare", exact=True)).to_be_enabled()


def test_a_comparison_by_keyboard_alone(compare):
    page = compare
    give_picture(page)  # a file dialog is the system's
    tab_to(page, page.get_by_label("Prompt for all sides"))
    page.keyboard.press("Control+a")
    page.keyboard.type("cap en")
    page.keyboard.press("Enter")
    expect_compared(page)
    tab_to(page, page.get_by_label("A is better"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("B is better")).to_be_checked()
    expect(page.locator(".votes-count")).to_contain_text("1 vote is")
    said = page.locator("#compare-status").inner_text().strip()
    expect(page.locator("#compared[aria-live]")).to_have_text(said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
class TestAxe:
    @pytest.fixture
    def colour_scheme(self, scheme) -> str:
        return scheme

    def test_no_rule_is_broken_before_and_after(self, compare):
        page = compare
        assert violations(page) == []
        give_picture(page)
        page.get_by_label("Prompt for all sides").fill("detect mushroom")
        choose(page, "Decoding B", "Sampled, temperature 1")
        press_compare(page)
        expect_compared(page)
        page.get_by_label("A is better").check()
        assert violations(page) == []
        expect(answer(page, "A").locator(".letter")).to_have_text("A")
        page.get_by_label("Prompt for all sides").fill("describe en")
        expect(page.locator("#compare-tab")).to_have_class(STALE)
        assert violations(page) == []


@pytest.mark.parametrize("width, height", [(1280, 900), (390, 844)])
class TestLayout:
    @pytest.fixture
    def viewport(self, width, height) -> dict[str, int]:
        return {"width": width, "height": height}

    def test_nothing_sticks_out_and_nothing_moves(self, compare):
        page = compare
        give_picture(page)
        page.get_by_label("Prompt for all sides").fill("detect mushroom")
        before = shift_of(page)
        press_compare(page)
        expect_compared(page)
        assert shift_of(page) - before < MOST_SHIFT
        width = page.viewport_size["width"]
        assert page.evaluate("document.documentElement.scrollWidth") == width
