"""Explaining an answer as a visitor does."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.visitor import expect_answered, pick, run, upload


def explain(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Explain: ")).click()
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#explanation .unit").first).to_be_visible()


def chosen(page: Page) -> list[str]:
    """The numbers of the words, maps and tables that show."""
    shown = page.locator("#explanation .chosen")
    return [each.get_attribute("data-unit") or "" for each in shown.all()]


def test_a_word_shows_its_map_and_what_else_could_stand_there(page, scene_png):
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    explain(page)
    assert chosen(page) == ["0"] * 3
    answer = page.locator("#answer textarea").input_value()
    words = page.locator("#explanation .unit")
    assert words.count() == len(answer.split())
    words.nth(1).click()
    expect(words.nth(1)).to_have_attribute("aria-pressed", "true")
    assert chosen(page) == ["1"] * 3
    expect(page.locator("#explanation .heat.chosen")).to_be_visible()
    table = page.locator("#explanation table.chosen")
    expect(table).to_contain_text(answer.split()[1].strip(","))
    page.keyboard.press("Tab")  # words can be gone through by keyboard
    assert chosen(page) == ["2"] * 3


def test_an_explanation_belongs_to_its_answer(page, scene_png):
    explain_button = page.get_by_role("button", name="Explain this answer")
    page.get_by_role("button", name=re.compile("^Explain: ")).click()
    expect(explain_button).to_be_disabled()
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    expect(explain_button).to_be_enabled()
    explain_button.click()
    expect(page.locator("#explanation .unit").first).to_be_visible()
    pick(page, "Read text")
    expect(explain_button).to_be_disabled()
    run(page)
    expect(page.locator("#explanation .unit")).to_have_count(0)
    expect_answered(page)
    expect(explain_button).to_be_enabled()
