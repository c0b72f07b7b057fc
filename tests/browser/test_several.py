"""A second to fourth picture for one prompt: added, taken out, sent in order, kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_shortcuts import copy
from tests.browser.visitor import example_of, expect_answered, pick, run, tab_to, upload
from ui.examples import FOLDER

FIRST, SECOND, THIRD = (FOLDER / f"{name}.png" for name in ("detect", "region", "caption"))


def thumbnails(page: Page) -> Locator:
    return page.locator("#several-list li")


def add(page: Page, *pictures: Path) -> None:
    """Choose files after "Add a picture"."""
    before = thumbnails(page).count()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add a picture").click()
    chooser.value.set_files(pictures)
    expect(thumbnails(page)).to_have_count(before + len(pictures))


def same(image: Image.Image, path: Path) -> bool:
    return ImageChops.difference(image, Image.open(path).convert("RGB")).getbbox() is None


def prompt(page: Page) -> Locator:
    return page.get_by_label("Prompt to be sent")


def test_they_are_sent_in_their_order_and_boxes_are_on_the_first(page, page_backend):
    button = page.get_by_role("button", name="Add a picture")
    expect(button).to_be_hidden()
    upload(page, FIRST)
    expect(prompt(page)).to_have_value("caption en")
    add(page, THIRD, SECOND)
    pick(page, "Detect")
    page.get_by_label("Objects to find (comma-separated)").fill("taco, cookie")
    expect(prompt(page)).to_have_value("<image><image><image>detect taco ; cookie")
    page.get_by_role("button", name="Remove picture 2").click()
    expect(page.get_by_role("button", name="Remove picture 2")).to_be_focused()
    expect(prompt(page)).to_have_value("<image><image>detect taco ; cookie")
    add(page, THIRD)
    run(page)
    expect(page.locator("#figures code")).to_have_text("<image><image><image>detect taco ; cookie")
    request = page_backend.requests[-1]
    assert request.prompt == "detect taco ; cookie"
    assert [same(*each) for each in zip(request.images, (FIRST, SECOND, THIRD), strict=True)] == [
        True
    ] * 3
    page.get_by_role("button", name="Remove picture 3").click()
    expect(page.locator("#answer-panel")).to_have_class(re.compile("stale"))


def test_they_are_kept_by_the_page_and_by_the_history_and_no_example_has_them(page, page_backend):
    upload(page, FIRST)
    add(page, SECOND)
    run(page)
    expect_answered(page)
    page.get_by_role("button", name=re.compile("^History")).click()
    expect(page.locator("#history-list button")).to_contain_text("2 pictures")
    page.wait_for_function(
        """async () => {
          const done = (request) =>
            new Promise((then) => (request.onsuccess = () => then(request.result)));
          const base = await done(indexedDB.open("paligemma", 1));
          const all = await done(base.transaction("pictures").objectStore("pictures").getAll());
          base.close();
          return all.some(({ more }) => more?.length === 1);
        }"""
    )
    page.reload(wait_until="domcontentloaded")
    expect(thumbnails(page)).to_have_count(1)
    expect(prompt(page)).to_have_value("<image><image>caption en")
    index, _ = example_of("detect")
    page.locator(f"#example-{index}").click()
    expect(thumbnails(page)).to_have_count(0)
    expect_answered(page)
    assert len(page_backend.requests[-1].images) == 1
    page.get_by_role("button", name=re.compile("^History")).click()
    page.locator("#history-list button").last.click()
    expect(thumbnails(page)).to_have_count(1)
    expect(page.locator("#figures code")).to_have_text("<image><image>caption en")
    expect(page.locator("#answer-panel")).not_to_have_class(re.compile("stale"))
    page.get_by_role("button", name=re.compile("^Explain:")).click()
    page.get_by_role("button", name="Explain this answer").click()
    expect(page.locator("#explanation .looked-at")).to_have_count(2)


def test_they_are_pasted_and_dropped_and_four_are_the_most(page):
    upload(page, FIRST)
    copy(page, SECOND)
    button = page.get_by_role("button", name="Add a picture")
    tab_to(page, button)
    page.keyboard.press("Control+v")
    expect(thumbnails(page)).to_have_count(1)
    page.evaluate(
        """async () => {
          const files = new DataTransfer();
          const blob = await (await fetch(document.querySelector("#examples img").src)).blob();
          for (const name of ["a", "b", "c"])
            files.items.add(new File([blob], `${name}.png`, { type: "image/png" }));
          const how = { dataTransfer: files, bubbles: true, cancelable: true };
          document.querySelector("#several-list").dispatchEvent(new DragEvent("drop", how));
        }"""
    )
    expect(thumbnails(page)).to_have_count(3)
    expect(button).to_be_disabled()
    expect(page.locator("#several-said")).to_contain_text("One was not added")


def test_one_that_is_no_picture_goes_and_is_named(page, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    upload(page, FIRST)
    add(page, SECOND, broken)
    expect(page.locator("#several-note")).to_contain_text("Picture 3")
    expect(thumbnails(page)).to_have_count(1)
    run(page)
    expect_answered(page)


def test_a_checkpoint_with_room_for_one_says_so_and_loses_none(page):
    upload(page, FIRST)
    add(page, SECOND)
    pick(page, "3B")
    pick(page, "pt")
    pick(page, "896 px")
    said = "There are 2 pictures; 3b-pt-896 has room for one picture in a prompt."
    expect(page.locator("#several-said")).to_have_text(said)
    expect(thumbnails(page)).to_have_count(1)
    page.get_by_role("button", name="Remove picture 2").click()
    expect(page.get_by_role("button", name="Add a picture")).to_be_hidden()
    pick(page, "nano")
    expect(page.get_by_role("button", name="Add a picture")).to_be_visible()


class TestPhone:
    @pytest.fixture
    def viewport(self) -> dict[str, int]:
        return {"width": 390, "height": 844}

    def test_four_fit_and_are_taken_out(self, page):
        upload(page, FIRST)
        add(page, SECOND, THIRD, SECOND)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for left in (2, 1, 0):
            page.get_by_role("button", name="Remove picture 2").click()
            expect(thumbnails(page)).to_have_count(left)
        expect(prompt(page)).to_have_value("caption en")
