"""The page with a keyboard, with assistive technology, and with a reader's own colours."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.visitor import (
    SOMETHING,
    example_of,
    expect_answered,
    pick,
    run,
    tab_to,
    upload,
)

# All of WCAG 2.2 A and AA and what axe holds to be good practice, at every impact.
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
MOST_SHIFT = 0.1  # of the layout while the page is loaded: "good" in Core Web Vitals
TASKS = (
    ("Caption", {}, "caption en"),
    ("Ask", {"Question": "what is on the left?"}, "answer en what is on the left?"),
    ("Detect", {"Objects to find (comma-separated)": "cat, dog"}, "detect cat ; dog"),
    ("Segment", {"Objects to find (comma-separated)": "cat"}, "segment cat"),
    ("Read text", {}, "ocr"),
    ("Describe", {}, "describe en"),
    ("Alt text", {}, "cap en"),
    ("Caption a box", {"Left %": "10"}, "caption <loc0256><loc0102><loc0767><loc0767>"),
    ("Make a question", {"Answer to write a question for": "two"}, "question en two"),
    ("Free prompt", {"Your prompt": "caption de"}, "caption de"),
)


def violations(page: Page) -> list[tuple[str, ...]]:
    """Each rule that is broken, with what breaks it, once no colour is on its way."""
    page.evaluate(
        """() => Promise.allSettled(document.getAnimations()
             .filter((each) => each instanceof CSSTransition).map((each) => each.finished))"""
    )
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        (rule["id"], node["html"][:99], node["failureSummary"])
        for rule in found
        for node in rule["nodes"]
    ]


def open_everything(page: Page) -> None:
    for name in (
        "What nano knows",
        "Precision",
        "Decoding",
        "Explain: ",
        "Save and copy",
        "Details",
        "History",
    ):
        page.get_by_role("button", name=re.compile(f"^{name}")).click()
    expect(page.get_by_label("Temperature").first).to_be_visible()
    expect(page.locator("#size")).to_be_visible()
    expect(page.locator("#details .key").first).to_be_visible()
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#explanation .unit").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
class TestAxe:
    @pytest.fixture
    def colour_scheme(self, scheme) -> str:
        return scheme

    def test_no_rule_is_broken_on_any_view(self, page):
        assert violations(page) == []
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("#status .notice-error")).to_be_visible()
        expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
        assert violations(page) == []
        index, _ = example_of("segment")
        page.locator(f"#example-{index}").click()
        expect_answered(page)
        open_everything(page)
        assert violations(page) == []
        pick(page, "Ask")
        expect(page.locator("#answer-panel")).to_have_class(re.compile("stale"))
        assert violations(page) == []
        page.get_by_role("button", name="Full screen", exact=True).click()
        assert violations(page) == []


class TestAxeOnAPhone:
    @pytest.fixture
    def viewport(self) -> dict[str, int]:
        return {"width": 390, "height": 844}

    def test_no_rule_is_broken(self, page):
        index, _ = example_of("segment")
        page.locator(f"#example-{index}").click()
        expect_answered(page)
        open_everything(page)
        assert violations(page) == []


def test_nothing_moves_while_the_page_is_loaded(page):
    assert page.evaluate("layoutShift") < MOST_SHIFT


@pytest.mark.parametrize(
    "task, fields, prompt",
    # The way to the last leads by all others; a field of each kind is among these.
    [
        each
        if each[0] in ("Ask", "Caption a box", "Free prompt")
        else pytest.param(*each, marks=pytest.mark.slow)
        for each in TASKS
    ],
)
def test_each_task_is_done_by_keyboard_alone(page, scene_png, page_backend, task, fields, prompt):
    upload(page, scene_png)  # a file dialog is the system's
    tab_to(page, page.get_by_role("radio", name="Caption", exact=True))
    labels = [each[0] for each in TASKS]
    for label in labels[1 : labels.index(task) + 1]:
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("radio", name=label, exact=True)).to_be_checked()
    for label, text in fields.items():
        field = page.get_by_label(label, exact=True)
        tab_to(page, field)
        assert field.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
        page.keyboard.press("Control+a")
        page.keyboard.type(text)
    expect(page.get_by_label("Prompt to be sent")).to_have_value(prompt)
    tab_to(page, page.locator("#run"))
    asked = len(page_backend.requests)
    page.keyboard.press("Enter")
    expect(page.locator("#figures code")).to_have_text(prompt)
    expect(page.locator("#status")).to_contain_text(re.compile("Done|token limit|found"))
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    assert [each.prompt for each in page_backend.requests[asked:]] == [prompt]


def test_a_group_of_choices_is_one_tab_stop_with_arrows_inside(page):
    tab_to(page, page.get_by_role("radio", name="nano", exact=True))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="3B", exact=True)).to_be_checked()
    expect(page.locator("#settings")).to_contain_text("3b-")
    page.keyboard.press("Tab")
    expect(page.get_by_role("radio", name="224 px", exact=True)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="448 px", exact=True)).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.get_by_role("radio", name="mix", exact=True)).to_be_focused()


def test_a_choice_that_is_drawn_again_is_in_its_group_before_the_next_key(page):
    name = page.evaluate(
        """async () => {
          const radio = document.querySelector("#task input:checked");
          radio.name = "radio-99";  // as Gradio names it whenever it draws it
          await null;  // no key, click or frame can come in between
          return radio.name;
        }"""
    )
    assert name == page.locator("#task input").last.get_attribute("name")


class TestReducedMotion:
    @pytest.fixture
    def motion(self) -> str:
        return "reduce"

    def test_nothing_moves_by_itself(self, page):
        durations = page.evaluate(
            """() => [...document.querySelectorAll("#run, #task label, #examples button")]
               .map((node) => getComputedStyle(node).transitionDuration)"""
        )
        assert set(durations) == {"0s"}


def test_the_answer_can_be_focused_and_selected_but_not_written_in(page, scene_png):
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    answer = page.get_by_label("Answer", exact=True)
    text = answer.input_value()
    tab_to(page, answer)
    page.keyboard.press("Control+a")
    assert answer.evaluate("node => node.selectionEnd - node.selectionStart") == len(text)
    page.keyboard.type("x")
    expect(answer).to_have_value(text)


def test_the_answer_is_announced_once_when_it_is_whole(page, page_backend, scene_png):
    page.evaluate(
        """() => {
          window.announced = [];
          const speaker = document.querySelector(".only-read[role=status]");
          new MutationObserver(() => announced.push(speaker.textContent))
            .observe(speaker, { childList: true, characterData: true, subtree: true });
        }"""
    )
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    text = page.get_by_label("Answer", exact=True).input_value()
    assert SOMETHING.search(text)
    expect(page.locator(".only-read[role=status]")).to_have_text(f"Done. {text}")
    assert [each for each in page.evaluate("announced") if text[:8] in each] == [f"Done. {text}"]


def test_an_error_is_said_in_one_place_and_goes_with_the_next_answer(page, scene_png):
    run(page)
    sentence = "There is no picture yet."
    expect(page.locator("#status .notice-error")).to_contain_text(sentence)
    expect(page.locator(".toast-body")).to_have_count(0)
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    expect(page.get_by_text(sentence)).to_have_count(0)


class TestForcedColours:
    @pytest.fixture
    def forced_colours(self) -> str:
        return "active"

    def test_what_is_chosen_has_a_line_around_it(self, page):
        outlines = page.evaluate(
            """() => [...document.querySelectorAll("#task label")].map((label) =>
              [label.querySelector("input").checked, getComputedStyle(label).outlineStyle])"""
        )
        assert [style == "solid" for _, style in outlines] == [chosen for chosen, _ in outlines]
        assert sum(chosen for chosen, _ in outlines) == 1
