"""The answers of a browser: kept there and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.visitor import SOMETHING, example_of, expect_answered, pick, run, upload

COUNT = """() => new Promise((resolve) => {
  const opening = indexedDB.open("paligemma-history", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("answers", { keyPath: "id" });
  opening.onsuccess = () => {
    const all = opening.result.transaction("answers").objectStore("answers").count();
    all.onsuccess = () => { opening.result.close(); resolve(all.result); };
  };
})"""

SPOIL = """() => new Promise((resolve) => {
  const opening = indexedDB.open("paligemma-history", 1);
  opening.onsuccess = () => {
    const writing = opening.result.transaction("answers", "readwrite");
    const answers = writing.objectStore("answers");
    const blob = new Blob(["picture"]);
    answers.add({ blob, thumbnail: "", name: "picture", fields: [] });
    answers.add({ blob, fields: [], details: { prompt: "", detections: 5 } });
    writing.oncomplete = () => { opening.result.close(); resolve(); };
  };
})"""


def open_history(page: Page) -> Locator:
    """The kept answers, the newest first."""
    page.get_by_role("button", name=re.compile("^History")).click()
    expect(page.get_by_role("button", name="Clear history")).to_be_visible()
    return page.locator("#history-list button")


@pytest.fixture
def stranger(chromium: Browser, served) -> Iterator[Page]:
    """Another visitor's page."""
    context = chromium.new_context()
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(served.url, wait_until="domcontentloaded")
    expect(page.locator("#run")).to_be_enabled()
    yield page
    context.close()


def test_an_answer_is_restored_with_its_picture_fields_and_boxes(page, page_backend, scene_png):
    kept = open_history(page)
    expect(page.get_by_text("Nothing yet.")).to_be_visible()
    index, found = example_of("segment")
    page.locator(f"#example-{index}").click()
    expect(kept).to_have_count(1)
    prompt = page.locator("#prompt textarea").input_value()
    page.locator("#picture").get_by_role("button", name="Remove Image").click()
    upload(page, scene_png)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill("what is on the left?")
    pick(page, "448 px")
    run(page)
    expect(kept).to_have_count(2)
    expect(kept.first).to_contain_text("what is on the left?")
    expect(kept.first).to_contain_text("nano-448")
    expect(kept.first.locator("img")).to_have_attribute("src", re.compile("^data:image/"))
    asked = len(page_backend.requests)
    kept.last.click()
    expect(page.locator("#annotated .box")).to_have_count(len(found))
    expect(page.locator("#prompt textarea")).to_have_value(prompt)
    expect(page.locator("#figures code")).to_have_text(prompt)
    expect(page.get_by_role("radio", name="224 px", exact=True)).to_be_checked()
    expect(page.locator("#answer-panel")).not_to_have_class(re.compile("stale"))
    kept.first.click()
    expect(page.locator("#figures code")).to_have_text("answer en what is on the left?")
    expect(page.locator("#settings")).to_contain_text("nano-448")
    assert len(page_backend.requests) == asked, "nothing was asked again"
    expect(kept).to_have_count(2)


def test_it_is_there_after_the_page_is_loaded_again_and_gone_when_it_is_cleared(page):
    page.locator("#example-0").click()
    expect_answered(page)
    page.reload()
    kept = open_history(page)
    expect(kept).to_have_count(1)
    page.get_by_role("button", name="Clear history").click()
    expect(kept).to_have_count(0)
    expect(page.get_by_text("Nothing yet.")).to_be_visible()
    assert page.evaluate(COUNT) == 0


def test_only_the_newest_are_kept(page):
    page.locator("#example-0").click()
    expect_answered(page)
    kept = open_history(page)
    expect(kept).to_have_count(1)
    details = {"prompt": "", "text": "", "detections": [], "checkpoint": "", "finish_reason": "eos"}
    for number in range(25):
        page.evaluate(
            "([details, text]) => window.paligemma.remember([{ ...details, text }])",
            [details, f"answer {number}"],
        )
        expect(kept.first).to_contain_text(f"answer {number}")
    expect(kept).to_have_count(24)
    expect(kept.last).to_contain_text("answer 1 ")


def test_nothing_of_it_is_on_the_server_or_in_anothers_page(page, stranger):
    secret = "zanzibar"
    page.locator("#example-0").click()
    expect_answered(page)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill(f"is there a {secret}?")
    run(page)
    kept = open_history(page)
    expect(kept.first).to_contain_text(secret)
    kept.last.click()
    expect(page.locator("#figures code")).to_have_text("caption en")
    kept.first.click()
    expect(page.locator("#figures code")).to_contain_text(secret)
    expect(page.get_by_label("Answer", exact=True)).to_have_value(SOMETHING)
    stranger.reload()
    expect(open_history(stranger)).to_have_count(0)
    assert stranger.evaluate(COUNT) == 0
    assert secret not in stranger.content()
    files = [each for each in Path(get_upload_folder()).rglob("*") if each.is_file()]
    assert files
    for file in files:
        assert secret.encode() not in file.read_bytes()


def test_the_answer_on_the_screen_stays_whole_when_it_is_shown_again(page):
    kept = open_history(page)
    index, found = example_of("segment")
    page.locator(f"#example-{index}").click()
    expect(kept).to_have_count(1)
    panel = page.locator("#answer-panel")
    page.evaluate(
        """() => {
          const panel = document.querySelector("#answer-panel");
          window.renewals = 0;
          new MutationObserver((changes) => {
            for (const { oldValue } of changes)
              if (oldValue.includes("renewed") && !panel.classList.contains("renewed")) renewals++;
          }).observe(panel, { attributeFilter: ["class"], attributeOldValue: true });
        }"""
    )
    for times in (1, 2):
        kept.first.click()
        page.wait_for_function("(times) => window.renewals >= times", arg=times)
        expect(panel).not_to_have_class(re.compile("renewed"))
        expect(page.locator("#annotated .box:visible")).to_have_count(len(found))
        expect(page.locator("#boxes tbody tr:visible")).to_have_count(len(found))


def test_of_entries_pressed_quickly_the_last_one_is_shown(page):
    kept = open_history(page)
    index, found = example_of("segment")
    for example, count in ((0, 1), (index, 2)):
        page.locator(f"#example-{example}").click()
        expect(kept).to_have_count(count)
    prompt = kept.first.locator("code").inner_text()
    page.evaluate(
        """() => {
          const [objects, caption] = document.querySelectorAll("#history-list button");
          const isOnItsWay = () => {
            caption.click();
            objects.click();
          };
          document.querySelector("#recall").addEventListener("click", isOnItsWay, { once: true });
          const figures = () => document.querySelector("#figures code")?.textContent;
          window.asked = [figures()];
          new MutationObserver(() => {
            const asked = figures();
            if (asked && asked !== window.asked.at(-1)) window.asked.push(asked);
          }).observe(document.querySelector("#figures"), { subtree: true, childList: true });
          caption.click();
        }"""
    )
    page.wait_for_function("() => window.asked.length === 3")
    assert page.evaluate("() => window.asked") == [prompt, "caption en", prompt]
    expect(page.locator("#figures code")).to_have_text(prompt)
    expect(page.locator("#prompt textarea")).to_have_value(prompt)
    expect(page.locator("#answer-panel")).not_to_have_class(re.compile("renewed"))
    expect(page.locator("#annotated .box:visible")).to_have_count(len(found))


def test_an_entry_that_cannot_be_read_is_dropped(page):
    kept = open_history(page)
    page.locator("#example-0").click()
    expect(kept).to_have_count(1)
    page.evaluate(SPOIL)
    page.reload()
    expect(open_history(page)).to_have_count(1)
    page.wait_for_function(f"async () => (await ({COUNT})()) === 1")


def test_an_answer_that_is_given_again_stands_there_once(page):
    kept = open_history(page)
    for index, prompt in ((0, "caption en"), (1, "cap en"), (0, "caption en")):
        page.locator(f"#example-{index}").click()
        expect(kept.first.locator("code")).to_have_text(prompt)
    expect(kept).to_have_count(2)


def test_what_one_tab_clears_is_gone_in_another(page, served):
    page.locator("#example-0").click()
    kept = open_history(page)
    expect(kept).to_have_count(1)
    other = page.context.new_page()
    other.goto(served.url, wait_until="domcontentloaded")
    theirs = open_history(other)
    expect(theirs).to_have_count(1)
    page.get_by_role("button", name="Clear history").click()
    expect(theirs).to_have_count(0)
    expect(other.get_by_text("Nothing yet.")).to_be_visible()


def test_a_press_on_an_answer_that_is_gone_says_so(page):
    page.locator("#example-0").click()
    kept = open_history(page)
    expect(kept).to_have_count(1)
    expect_answered(page)
    page.evaluate(
        """() => new Promise((resolve) => {
          const opening = indexedDB.open("paligemma-history", 1);
          opening.onsuccess = () => {
            const writing = opening.result.transaction("answers", "readwrite");
            writing.objectStore("answers").clear();
            writing.oncomplete = () => { opening.result.close(); resolve(); };
          };
        })"""
    )
    kept.first.click()
    expect(page.locator("#history-note")).to_contain_text("not kept any more")
    expect(kept).to_have_count(0)
