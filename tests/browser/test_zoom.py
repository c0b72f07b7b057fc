"""A closer look at what was found, by every hand that a visitor has."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor import example_of, expect_answered, upload

# Of a view: its zoom, where it is scrolled to, the first box's place and line on the screen.
STATE = """(view) => {
  const box = view.querySelector(".box"), { left, top, width } = box.getBoundingClientRect();
  const zoom = Number(view.style.getPropertyValue("--zoom")) || 1;
  const line = getComputedStyle(box).borderLeftWidth, label = box.querySelector(".box-label");
  return { zoom, x: view.scrollLeft, y: view.scrollTop, left, top, width, line,
    label: label.getBoundingClientRect().height };
}"""


@pytest.fixture
def view(page: Page):
    """The view of an answer with one box."""
    index, found = example_of("segment")
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    expect(page.locator("#annotated .box")).to_have_count(len(found))
    shown = page.locator("#annotated .view")
    shown.scroll_into_view_if_needed()
    return shown


def test_wheel_drag_keys_buttons_and_double_click(page, view):
    before = view.evaluate(STATE)
    place = view.bounding_box()
    middle = (place["x"] + place["width"] / 2, place["y"] + 40)
    page.mouse.move(*middle)
    scrolled = page.evaluate("scrollY")
    page.mouse.wheel(0, 60)
    page.wait_for_function("(before) => scrollY > before", arg=scrolled)
    assert view.evaluate(STATE)["zoom"] == 1, "the wheel alone scrolls the page"
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    reset = page.locator("#annotated [data-zoom=reset]")
    expect(reset).not_to_have_text("100 %")
    near = view.evaluate(STATE)
    assert near["width"] == pytest.approx(before["width"] * near["zoom"], rel=0.02)
    assert (near["line"], near["label"]) == (before["line"], before["label"]), "lines stay thin"

    place = view.bounding_box()
    page.mouse.move(place["x"] + 200, place["y"] + 200)
    page.mouse.down()
    page.mouse.move(place["x"] + 170, place["y"] + 180)
    page.mouse.up()
    dragged = view.evaluate(STATE)
    assert (dragged["x"], dragged["y"]) == pytest.approx((near["x"] + 30, near["y"] + 20), abs=1)

    page.locator("#boxes tbody tr").first.hover()
    expect(view.locator(".box.lit")).to_have_count(1)
    page.locator("#boxes tbody tr").first.click()
    box, shown = view.locator(".box").bounding_box(), view.bounding_box()
    assert shown["x"] <= box["x"] + box["width"] / 2 <= shown["x"] + shown["width"]
    assert shown["y"] <= box["y"] + box["height"] / 2 <= shown["y"] + shown["height"]

    view.focus()
    page.keyboard.press("0")
    expect(reset).to_have_text("100 %")
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(reset).to_have_text("225 %")
    at = view.evaluate("node => node.scrollLeft")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(at) => document.querySelector('#annotated .view').scrollLeft > at", arg=at
    )
    page.keyboard.press("-")
    expect(reset).to_have_text("150 %")
    view.dblclick(position={"x": 60, "y": 60})
    expect(reset).to_have_text("100 %")
    page.get_by_role("button", name="Zoom in").click()
    expect(reset).to_have_text("150 %")
    page.get_by_role("button", name="Zoom out").click()
    expect(reset).to_have_text("100 %")
    after = view.evaluate(STATE)
    assert (after["x"], after["y"], after["width"]) == (0, 0, before["width"])


def test_on_the_whole_screen_the_wheel_alone_zooms(page, view):
    page.get_by_role("button", name="Full screen", exact=True).click()
    dialog = page.get_by_role("dialog")
    page.mouse.move(640, 450)
    page.mouse.wheel(0, -300)
    expect(dialog.locator("[data-zoom=reset]")).not_to_have_text("100 %")
    dialog.locator("[data-zoom=reset]").click()
    expect(dialog.locator("[data-zoom=reset]")).to_have_text("100 %")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.locator("#annotated [data-zoom=reset]")).to_have_text("100 %")


def test_the_given_picture_is_seen_closer_on_the_whole_screen(page, scene_png):
    upload(page, scene_png)
    page.locator("#picture").get_by_role("button", name="Fullscreen").click()
    dialog = page.get_by_role("dialog")
    width = dialog.locator("img").bounding_box()["width"]
    page.keyboard.press("+")
    expect(dialog.locator("[data-zoom=reset]")).to_have_text("150 %")
    assert dialog.locator("img").bounding_box()["width"] == pytest.approx(1.5 * width, rel=0.01)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


class TestFinger:
    @pytest.fixture
    def viewport(self) -> dict[str, int]:
        return {"width": 390, "height": 844}

    def test_two_fingers_zoom_and_one_moves(self, page, view):
        view.evaluate("node => node.scrollIntoView({ block: 'center' })")
        place = view.bounding_box()
        touch = page.context.new_cdp_session(page)

        def point(kind: str, *at: tuple[float, float]) -> None:
            points = [
                {
                    "x": place["x"] + x * place["width"],
                    "y": place["y"] + y * place["height"],
                    "id": n,
                }
                for n, (x, y) in enumerate(at)
            ]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        point("touchStart", (0.4, 0.5), (0.6, 0.5))
        point("touchMove", (0.3, 0.5), (0.7, 0.5))
        point("touchMove", (0.2, 0.5), (0.8, 0.5))
        point("touchEnd")
        expect(page.locator("#annotated [data-zoom=reset]")).to_have_text("300 %")
        assert page.evaluate("visualViewport.scale") == 1, "the page itself stays as it is"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        at = view.evaluate("node => node.scrollLeft")
        point("touchStart", (0.8, 0.5))
        for x in (0.7, 0.6, 0.5, 0.4):
            point("touchMove", (x, 0.5))
        point("touchEnd")
        page.wait_for_function(
            "(at) => document.querySelector('#annotated .view').scrollLeft > at + 20", arg=at
        )
