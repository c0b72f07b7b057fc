"""A link to what is asked, copied on one page and opened on another."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

from playwright.sync_api import Page, expect

from tests.browser.visitor import example_of, expect_answered, pick


def copied(page: Page) -> str:
    """The link that the page writes to the clipboard."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    return page.evaluate("navigator.clipboard.readText()")


def test_it_fills_another_page_and_runs_nothing(page, page_backend):
    index, _ = example_of("detect")
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    pick(page, "448 px")
    expect(page.locator("#settings")).to_contain_text("448")
    prompt = page.locator("#prompt textarea").input_value()
    link = copied(page)
    carried = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert carried["task"] == "detect" and carried["model"] == "nano-448"
    assert set(carried) == {"task", "model", "objects", "example"}
    asked = len(page_backend.requests)
    with page.context.browser.new_context() as fresh:
        other = fresh.new_page()
        other.goto(link, wait_until="domcontentloaded")
        expect(other.locator("#prompt textarea")).to_have_value(prompt)
        expect(other.locator("#settings")).to_contain_text("448")
        expect(other.locator("#picture img")).to_be_visible()
        expect(other.locator("#answer textarea")).to_have_value("")
        assert urlsplit(other.url).query == ""  # what is typed next is not undone by loading again
    assert len(page_backend.requests) == asked


def test_settings_are_carried(page):
    link = urlsplit(page.url)._replace(
        query=urlencode({"task": "answer", "question": "how many?", "seed": 7, "temperature": 0.5})
    )
    page.goto(link.geturl(), wait_until="domcontentloaded")
    expect(page.locator("#prompt textarea")).to_have_value("answer en how many?")
    expect(page.locator("#settings")).to_contain_text("temperature 0.5")
    expect(page.locator("#settings")).to_contain_text("seed 7")
    carried = parse_qs(urlsplit(copied(page)).query)
    assert carried["question"] == ["how many?"] and carried["seed"] == ["7"]


def test_what_a_link_cannot_mean_is_as_at_the_start(page):
    nonsense = {
        "task": "<script>alert(1)</script>", "model": "no-model", "language": "xx", "beams": "many",
        "precision": "fp7", "example": "99", "adapter": "none/such", "left": "1e999",
    }  # fmt: skip
    page.goto(
        urlsplit(page.url)._replace(query=urlencode(nonsense)).geturl(),
        wait_until="domcontentloaded",
    )
    expect(page.locator("#prompt textarea")).to_have_value("caption en")
    expect(page.locator("#settings")).to_contain_text("nano")
    expect(page.locator("#model-notice")).to_contain_text("none/such is not for nano-224")
