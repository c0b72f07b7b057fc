"""What is shown belongs to what is asked: results, settings, and a page that is loaded again."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.visitor import expect_answered, pick, run, upload

STALE = re.compile(r"\bstale\b")


def test_an_answer_is_dimmed_once_something_else_is_asked(page, scene_png):
    panel = page.locator("#answer-panel")
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    expect(page.locator("#figures")).to_contain_text("caption en")
    expect(page.locator("#figures")).to_contain_text("nano-224")
    expect(panel).not_to_have_class(STALE)
    pick(page, "Ask")
    expect(panel).to_have_class(STALE)
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    pick(page, "Caption")
    expect(panel).not_to_have_class(STALE)  # the question is no part of it
    pick(page, "448 px")
    expect(panel).to_have_class(STALE)
    pick(page, "224 px")
    expect(panel).not_to_have_class(STALE)
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    expect(panel).to_have_class(STALE)
    page.locator("#example-0").click()
    expect_answered(page)
    expect(panel).not_to_have_class(STALE)


def test_what_an_example_set_is_shown_and_taken_back_with_one_click(page):
    settings, defaults = page.locator("#settings"), page.locator("#defaults")
    expect(settings).to_contain_text("nano-224")
    expect(defaults).to_have_count(0)
    page.get_by_role("button", name="With an adapter: easy-VQA").click()
    expect_answered(page)
    expect(settings).to_contain_text("adapter easy-vqa")
    defaults.click()
    expect(settings).not_to_contain_text("easy-vqa")
    expect(defaults).to_have_count(0)
    expect(page.locator("#answer-panel")).to_have_class(STALE)


def test_the_answer_comes_into_view_from_below(page):
    last = page.locator("#examples button").last
    last.scroll_into_view_if_needed()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last.click()
    expect_answered(page)
    expect(page.get_by_label("Answer", exact=True)).to_be_in_viewport()


def test_a_page_that_is_loaded_again_keeps_picture_task_text_and_settings(page, scene_png):
    upload(page, scene_png)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    pick(page, "448 px")
    expect(page.locator("#settings")).to_contain_text("nano-448")
    page.wait_for_function("() => indexedDB.databases().then((all) => all.length > 0)")
    page.wait_for_function(
        """() => new Promise((resolve) => {
          const opening = indexedDB.open("paligemma");
          opening.onsuccess = () => {
            const all = opening.result.transaction("pictures").objectStore("pictures").count();
            all.onsuccess = () => { opening.result.close(); resolve(all.result === 1); };
          };
        })"""
    )
    page.reload()
    expect(page.get_by_label("Question", exact=True)).to_have_value("what is on the left?")
    expect(page.get_by_role("radio", name="Ask", exact=True)).to_be_checked()
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#settings")).to_contain_text("nano-448")
    expect(page.get_by_role("radio", name="448 px", exact=True)).to_be_checked()
    run(page)
    expect_answered(page)
    expect(page.locator("#figures code")).to_have_text("answer en what is on the left?")
    expect(page.locator("#figures")).to_contain_text("nano-448")


def test_a_lost_connection_is_said_and_loses_nothing(chromium, served, scene_png):
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(served.url)
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    expect(page.get_by_label("Prompt to be sent")).to_have_value("answer en what is on the left?")
    context.set_offline(True)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#status")).to_contain_text("Not connected")
    expect(page.locator("#status")).not_to_contain_text("Done")
    context.set_offline(False)
    expect(page.locator("#status")).to_contain_text("Connected again")
    expect(page.get_by_label("Question", exact=True)).to_have_value("what is on the left?")
    expect(page.locator("#picture img")).to_be_visible()
    run(page)
    expect_answered(page)
    expect(page.locator("#figures code")).to_have_text("answer en what is on the left?")
    context.close()
