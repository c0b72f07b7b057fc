"""Pasting a picture anywhere, an answer that becomes the question, and what this is."""

from __future__ import annotations

import base64
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.visitor import expect_answered, pick, run, upload
from ui.examples import FOLDER

COPY = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
  const picture = new Blob([bytes], { type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
}"""
MOST_WORDS = 200


def copy(page: Page, picture: Path) -> None:
    """Put a picture into the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, base64.b64encode(picture.read_bytes()).decode())


def test_a_picture_is_pasted_wherever_the_focus_is(page, page_backend, scene_png):
    copy(page, FOLDER / "region.png")
    page.locator("#run").focus()
    page.keyboard.press("Control+v")
    expect(page.locator("#picture .image-frame img")).to_be_visible()
    run(page)
    expect_answered(page)
    assert page_backend.requests[-1].image.size == (224, 224)
    pick(page, "Ask")
    copy(page, scene_png)
    before = page.locator("#picture .image-frame img").get_attribute("src")
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.press("Control+v")
    expect(page.locator("#picture .image-frame img")).not_to_have_attribute("src", before)
    expect(page.locator("#picture .image-frame img")).to_be_visible()


def test_text_is_pasted_where_it_is_wanted(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    pick(page, "Ask")
    page.evaluate("navigator.clipboard.writeText('where is the cat?')")
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.press("Control+v")
    expect(page.get_by_label("Prompt to be sent")).to_have_value("answer en where is the cat?")


def test_a_question_that_was_made_is_asked(page, page_backend, scene_png):
    use = page.get_by_role("button", name="Use as question")
    upload(page, scene_png)
    pick(page, "Make a question")
    page.get_by_label("Answer to write a question for", exact=True).fill("two")
    expect(page.get_by_label("Prompt to be sent")).to_have_value("question en two")
    expect(use).to_be_hidden()
    page_backend.hold(after_tokens=1)
    run(page)
    expect(use).to_be_disabled()
    page_backend.release()
    expect_answered(page)
    made = page.get_by_label("Answer", exact=True).input_value()
    use.click()
    expect(page.get_by_role("radio", name="Ask", exact=True)).to_be_checked()
    expect(page.get_by_label("Question", exact=True)).to_have_value(made)
    expect(page.get_by_label("Prompt to be sent")).to_have_value(f"answer en {made}")
    run(page)
    expect(page.locator("#figures code")).to_have_text(f"answer en {made}")
    expect(use).to_be_hidden()


def test_what_this_is_takes_few_words_and_leads_on(page):
    about = page.locator(".masthead details")
    expect(about.locator("p").first).to_be_hidden()
    page.get_by_text("What is this?").click()
    expect(about.locator("p").first).to_be_visible()
    assert len(about.inner_text().split()) <= MOST_WORDS
    links = about.get_by_role("link")
    expect(links).to_have_text(["Model card", "Licence", "Report", "Reference code"])
    for link in links.all():
        assert link.get_attribute("href").startswith("https://")
