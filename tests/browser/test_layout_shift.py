"""Nothing moves under a reader's eyes from Run to the whole answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import example_of, expect_answered, pick, run, upload
from ui.examples import FOLDER

MOST_SHIFT = 0.1  # "good" in Core Web Vitals
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LADY_BEETLE = FOLDER / "segment.png"


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def viewport(request) -> dict[str, int]:
    return request.param


def ask_for(page: Page, task: str, objects: str) -> None:
    pick(page, task)
    page.get_by_label("Objects to find (comma-separated)").fill(objects)
    expect(page.get_by_label("Prompt to be sent")).to_have_value(f"{task.lower()} {objects}")


def shift_of(page: Page) -> float:
    """How far things moved so far, once what has just changed has been painted."""
    page.evaluate("() => new Promise((soon) => requestAnimationFrame(() => setTimeout(soon)))")
    return page.evaluate("layoutShift")


def test_an_answer_moves_nothing(page, scene_png):
    upload(page, scene_png)
    before = shift_of(page)
    run(page)
    expect_answered(page)
    assert shift_of(page) - before < MOST_SHIFT


@pytest.mark.parametrize("task", ["Detect", "Segment"])
def test_boxes_and_their_table_move_nothing_also_after_older_ones(page, task):
    upload(page, LADY_BEETLE)
    ask_for(page, task, "lady beetle")
    for _ in range(2):
        before = shift_of(page)
        run(page)
        expect_answered(page)
        expect(page.locator("#annotated .box")).to_have_count(1)
        expect(page.locator("#boxes tbody tr")).to_have_count(1)
        assert shift_of(page) - before < MOST_SHIFT


def test_where_nothing_is_found_the_picture_stays_in_its_place(page):
    upload(page, LADY_BEETLE)
    ask_for(page, "Detect", "toaster")
    before = shift_of(page)
    run(page)
    expect(page.locator("#status")).to_contain_text("No toaster found.")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#room img")).to_be_visible()
    assert shift_of(page) - before < MOST_SHIFT


def test_an_example_with_boxes_moves_nothing(page):
    index, found = example_of("segment")
    before = shift_of(page)
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    expect(page.locator("#annotated .box")).to_have_count(len(found))
    assert shift_of(page) - before < MOST_SHIFT


def test_the_place_for_boxes_goes_where_none_are_asked_for(page, page_backend):
    upload(page, LADY_BEETLE)
    ask_for(page, "Detect", "lady beetle")
    page_backend.hold(after_tokens=1)
    run(page)
    room = page.locator("#room img")
    expect(room).to_be_visible()
    place = room.bounding_box()
    page_backend.release()
    expect_answered(page)
    expect(room).to_be_hidden()
    drawn = page.locator("#annotated .base-image").bounding_box()
    assert (drawn["width"], drawn["height"]) == (place["width"], place["height"])
    pick(page, "Caption")
    run(page)
    expect_answered(page)
    expect(room).to_be_hidden()
    expect(page.locator("#annotated figure")).to_have_count(0)
