"""A box drawn on the picture, and asking about the cut-out alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.visitor import expect_answered, pick, run, upload
from ui.examples import FOLDER

PICTURE = FOLDER / "region.png"  # 224 × 224 px
EDGES = ("Left %", "Top %", "Right %", "Bottom %")

# Whether the browser keeps a part of a picture, and what it was cut from.
KEPT = """async () => {
  const done = (request) => new Promise((then) => (request.onsuccess = () => then(request.result)));
  const base = await done(indexedDB.open("paligemma", 1));
  const all = await done(base.transaction("pictures").objectStore("pictures").getAll());
  base.close();
  return all.some(({ whole }) => whole);
}"""


def layer(page: Page) -> Locator:
    """Where boxes are drawn, once it lies on the picture."""
    found = page.locator(".draw-layer")
    expect(found).to_be_visible()
    return found


def draw(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse from one point to another, in fractions of the picture."""
    place = layer(page).bounding_box()
    (x0, y0), (x1, y1) = (
        (place["x"] + x * place["width"], place["y"] + y * place["height"]) for x, y in (start, end)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()


def edges(page: Page) -> list[float]:
    return [float(page.get_by_label(name, exact=True).input_value()) for name in EDGES]


def test_a_box_is_drawn_with_the_mouse_and_moved_by_keyboard(page, page_backend):
    upload(page, PICTURE)
    expect(page.locator(".draw-layer")).to_have_count(0)
    pick(page, "Caption a box")
    draw(page, (0.6, 0.9), (0.1, 0.3))  # in any direction
    prompt = page.get_by_label("Prompt to be sent")
    expect(prompt).to_have_value(re.compile(r"^caption <loc03..><loc01..><loc09..><loc06..>$"))
    assert edges(page) == pytest.approx([10, 30, 60, 90], abs=1)
    drawn, picture = page.locator(".drawn"), page.locator("#picture .image-frame img")
    page.get_by_label("Left %", exact=True).fill("50")
    expect(prompt).to_have_value(re.compile("<loc0512>"))
    box, whole = drawn.bounding_box(), picture.bounding_box()
    assert box["x"] == pytest.approx(whole["x"] + whole["width"] / 2, abs=2)
    asked = prompt.input_value()
    run(page)
    expect_answered(page)
    assert page_backend.requests[-1].prompt == asked
    pick(page, "Caption")
    expect(page.locator(".draw-layer")).to_be_hidden()


def test_a_click_draws_nothing_and_a_box_stays_inside(page):
    upload(page, PICTURE)
    pick(page, "Caption a box")
    layer(page).click()
    assert edges(page) == [25, 25, 75, 75]
    draw(page, (0.5, 0.5), (3, 3))
    expect(page.get_by_label("Bottom %", exact=True)).to_have_value("100")
    assert edges(page) == pytest.approx([50, 50, 100, 100], abs=1)


def test_the_cut_out_is_asked_about_and_there_is_a_way_back(page, page_backend):
    upload(page, PICTURE)
    cut = page.get_by_role("button", name="Ask about this part only")
    back = page.get_by_role("button", name="Back to the whole picture")
    expect(cut).to_be_hidden()
    page.get_by_label("Mark a part").check()
    draw(page, (0.25, 0.5), (0.75, 0.75))
    expect(page.get_by_label("Prompt to be sent")).to_have_value("caption en")
    cut.click()
    expect(back).to_be_visible()
    expect(page.get_by_label("Mark a part")).not_to_be_checked()
    expect(cut).to_be_hidden()
    run(page)
    expect_answered(page)
    width, height = page_backend.requests[-1].image.size
    assert (width, height) == pytest.approx((112, 56), abs=3)
    back.click()
    expect(back).to_be_hidden()
    expect(page.locator("#answer-panel")).to_have_class(re.compile("stale"))
    page.wait_for_function("document.querySelector('#picture img').naturalWidth === 224")


def test_the_way_back_is_there_after_the_page_is_loaded_again(page):
    upload(page, PICTURE)
    page.get_by_label("Mark a part").check()
    draw(page, (0.25, 0.5), (0.75, 0.75))
    page.get_by_role("button", name="Ask about this part only").click()
    back = page.get_by_role("button", name="Back to the whole picture")
    expect(back).to_be_visible()
    page.wait_for_function(KEPT)
    page.reload()
    expect(back).to_be_visible()
    page.wait_for_function("document.querySelector('#picture img')?.naturalWidth < 120")
    back.click()
    expect(back).to_be_hidden()
    page.wait_for_function("document.querySelector('#picture img')?.naturalWidth === 224")


def test_there_is_no_way_back_from_another_picture(page, scene_png):
    upload(page, PICTURE)
    page.get_by_label("Mark a part").check()
    layer(page)
    page.get_by_role("button", name="Ask about this part only").click()
    back = page.get_by_role("button", name="Back to the whole picture")
    expect(back).to_be_visible()
    page.locator("#example-0").click()
    expect(back).to_be_hidden()


def test_a_box_of_no_area_is_refused_in_words(page):
    upload(page, PICTURE)
    page.get_by_label("Mark a part").check()
    page.get_by_label("Right %", exact=True).fill("10")
    page.get_by_role("button", name="Ask about this part only").click()
    expect(page.locator("#picture-note")).to_contain_text("The box has no area")
    expect(page.get_by_role("button", name="Back to the whole picture")).to_be_hidden()


class TestFinger:
    @pytest.fixture
    def viewport(self) -> dict[str, int]:
        return {"width": 390, "height": 844}

    def test_a_box_is_drawn_with_a_finger(self, page):
        upload(page, PICTURE)
        pick(page, "Caption a box")
        layer(page).scroll_into_view_if_needed()
        place = layer(page).bounding_box()
        touch = page.context.new_cdp_session(page)

        def point(kind: str, *at: tuple[float, float]) -> None:
            points = [
                {"x": place["x"] + x * place["width"], "y": place["y"] + y * place["height"]}
                for x, y in at
            ]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        before = page.evaluate("scrollY")
        point("touchStart", (0.2, 0.2))
        point("touchMove", (0.5, 0.5))
        point("touchMove", (0.8, 0.9))
        point("touchEnd")
        expect(page.get_by_label("Bottom %", exact=True)).not_to_have_value("75")
        assert edges(page) == pytest.approx([20, 20, 80, 90], abs=1)
        assert page.evaluate("scrollY") == before, "the page is not scrolled by it"
