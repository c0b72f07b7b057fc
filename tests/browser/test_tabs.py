"""The page's tabs."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.visitor import tab_to


def test_arrows_go_from_tab_to_tab_and_what_was_typed_stays(page):
    page.get_by_label("Language").click()
    page.get_by_role("option", name="German (de)").click()
    expect(page.get_by_label("Prompt to be sent")).to_have_value("caption de")
    names = ("Ask", "Compare", "Batch")
    ask, compare, batch = (page.get_by_role("tab", name=name) for name in names)
    tab_to(page, ask)
    page.keyboard.press("ArrowRight")
    expect(compare).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Compare")).to_be_visible()
    expect(page.locator("#ask-panel")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    expect(batch).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Batch")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(ask).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Ask")).to_be_visible()
    expect(page.get_by_label("Prompt to be sent")).to_have_value("caption de")
