"""The tab Batch as somebody who labels pictures uses it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_accessibility import violations
from tests.browser.test_layout_shift import shift_of
from ui.examples import FOLDER

MOST_SHIFT = 0.05
OBJECTS = "taco, cookie, lady beetle, mushroom, cat"
SCENES = (
    *("ask", "cap", "caption-de", "caption", "count", "crowd"),
    *("describe", "detect", "read-small", "region", "segment", "where"),
)


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of a dozen scenes, two broken files, and one that is no picture."""
    folder = tmp_path / "photos"
    for number, name in enumerate(SCENES):
        place = folder / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(FOLDER / f"{name}.png", place)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "b" / "cut.jpg").write_bytes((FOLDER / "cap.png").read_bytes()[:400])
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def batch(page: Page) -> Page:
    """The page with the tab open."""
    open_tab(page)
    return page


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Batch").click()
    expect(page.locator("#batch .batch-run-row")).to_be_visible()


def begin(page: Page, pictures: Path, task: str, **fields: str) -> None:
    page.locator("#batch input[webkitdirectory]").set_input_files(pictures)
    page.locator("#batch").get_by_label("Task", exact=True).select_option(label=task)
    for label, text in fields.items():
        page.locator("#batch").get_by_label(label).fill(text)
    page.get_by_role("tabpanel", name="Batch").get_by_role("button", name="Run", exact=True).click()


def expect_done(page: Page, words: str = "Done:") -> None:
    expect(page.locator("#batch-line")).to_contain_text(words)
    expect(page.locator("#batch-new")).to_be_visible()


def rows(page: Page) -> Locator:
    return page.locator(".batch-table tbody tr")


def row(page: Page, name: str) -> Locator:
    return rows(page).filter(has=page.locator(".batch-name", has_text=name))


def exported(page: Page, title: str) -> zipfile.ZipFile:
    with page.expect_download() as downloading:
        page.get_by_role("button", name=title, exact=True).click()
    return zipfile.ZipFile(downloading.value.path())


def saved(page: Page) -> Locator:
    return page.get_by_role("dialog").get_by_text("Saved.", exact=True)


def edges(page: Page, number: int) -> list[float]:
    dialog = page.get_by_role("dialog")
    names = ("Left", "Top", "Right", "Bottom")
    return [
        float(dialog.get_by_label(f"{name} of box {number}, pixels").input_value())
        for name in names
    ]


def test_keys_undo_step_by_step_and_a_batch_that_was_left_is_found_again(batch, tmp_path):
    page = batch
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(FOLDER / "detect.png", folder / "at 10.15\u202fPM.png")
    begin(page, folder, "Detect", **{"Objects to find (comma-separated)": OBJECTS})
    expect_done(page)
    rows(page).get_by_role("button", name="Edit boxes").click()
    boxes = page.get_by_role("dialog").locator(".stage-box")
    expect(boxes).not_to_have_count(0)
    count = boxes.count()
    for _ in range(2):
        page.get_by_role("dialog").get_by_role("button", name="Add a box").click()
    expect(boxes).to_have_count(count + 2)
    page.keyboard.press("Delete")
    expect(boxes).to_have_count(count + 1)
    for left in (count + 2, count + 1, count):
        page.keyboard.press("Control+z")
        expect(boxes).to_have_count(left)
    page.keyboard.press("Control+y")
    expect(boxes).to_have_count(count + 1)
    expect(saved(page)).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(rows(page).locator(".batch-mark")).to_have_text("corrected")

    page.get_by_role("button", name="New batch").click()
    expect(page.locator("#batch-line")).to_have_text("")
    earlier = page.get_by_role("region", name="Earlier batches").get_by_role("button")
    expect(earlier).to_have_count(1)
    assert violations(page) == []
    page.reload()
    open_tab(page)
    earlier.click()
    expect(rows(page).locator(".batch-mark")).to_have_text("corrected")
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Delete this one").click()
    expect(page.get_by_role("button", name="Run", exact=True).last).to_be_visible()
    expect(page.get_by_role("region", name="Earlier batches")).to_have_count(0)


def test_a_folder_is_stopped_reloaded_resumed_put_right_and_exported(batch, pictures, page_backend):
    page = batch
    page_backend.hold(after_tokens=1)
    begin(page, pictures, "Detect", **{"Objects to find (comma-separated)": OBJECTS})
    expect(page.locator(".batch-summary")).to_contain_text("14 pictures, nano-224")
    assert page_backend.wait_for_active(12)  # side by side, and a few rows stay free for others
    page.get_by_role("tabpanel", name="Batch").get_by_role("button", name="Stop").click()
    expect(page.locator("#batch-line")).to_contain_text("Stopped.")
    page_backend.release()
    page.reload()
    open_tab(page)
    page.get_by_role("button", name="Resume").click()
    expect_done(page, "Done: 14 of 14 pictures, 2 failed.")
    expect(rows(page)).to_have_count(14)
    numbers = rows(page).evaluate_all("nodes => nodes.map((node) => node.dataset.row)")
    assert numbers == [str(number) for number in range(14)]

    # Filters.
    page.get_by_label("Show", exact=True).select_option("Failed")
    expect(rows(page)).to_have_count(2)
    expect(row(page, "broken.png")).to_contain_text("is not a picture that can be read")
    page.get_by_label("Show", exact=True).select_option("All rows")
    page.locator("#batch").get_by_label("Label", exact=True).select_option("lady beetle")
    expect(row(page, "broken.png")).to_have_count(0)
    found = rows(page).count()
    assert 0 < found < 12
    page.get_by_label("Confidence from, %").fill("100")
    page.get_by_label("Confidence from, %").press("Enter")
    expect(page.locator(".batch-count")).to_have_text("No row is like this.")
    page.get_by_label("Confidence from, %").fill("0")
    page.get_by_label("Confidence from, %").press("Enter")
    expect(rows(page)).to_have_count(found)
    page.locator("#batch").get_by_label("Label", exact=True).select_option("Any label")
    expect(rows(page)).to_have_count(14)

    # In the row: relabelled, deleted.
    scene = row(page, "b/cap.png")
    labels = scene.get_by_role("combobox")
    count = labels.count()
    assert count >= 2
    labels.first.fill("toadstool")
    labels.first.press("Enter")
    expect(scene.locator(".batch-mark")).to_have_text("corrected")
    scene.get_by_role("button", name="Delete box 2").click()
    expect(labels).to_have_count(count - 1)
    expect(labels.first).to_have_value("toadstool")

    # In the editor: moved with the mouse, resized with keys, set by numbers, undone, drawn.
    scene.get_by_role("button", name="Edit boxes").click()
    dialog = page.get_by_role("dialog", name="b/cap.png")
    expect(dialog.locator(".stage-frame img")).to_have_js_property("complete", True)
    box = dialog.locator(".stage-box").first
    before = edges(page, 1)
    place = box.bounding_box()
    middle = (place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 30, middle[1] + 20, steps=4)
    page.mouse.up()
    expect(saved(page)).to_be_visible()
    moved = edges(page, 1)
    assert moved[0] > before[0] and moved[1] > before[1]
    assert moved[2] - moved[0] == pytest.approx(before[2] - before[0], abs=0.02)
    page.keyboard.press("Shift+ArrowLeft")
    expect(dialog.get_by_label("Right of box 1, pixels")).not_to_have_value(f"{moved[2]:g}")
    assert edges(page, 1)[0] == moved[0]
    dialog.get_by_label("Left of box 1, pixels").fill("3")
    dialog.get_by_label("Left of box 1, pixels").press("Enter")
    page.get_by_role("button", name="Undo", exact=True).click()
    assert edges(page, 1)[0] == moved[0]
    dialog.get_by_label("Left of box 1, pixels").fill("900000")
    dialog.get_by_label("Left of box 1, pixels").press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("left is less than right")
    dialog.get_by_label("Left of box 1, pixels").fill("7")
    dialog.get_by_label("Left of box 1, pixels").press("Enter")
    dialog.get_by_label("Label of new boxes").fill("corner")
    page.get_by_role("button", name="Add a box").click()
    expect(dialog.locator(".stage-box")).to_have_count(count)
    page.keyboard.press("ArrowLeft")
    last = edges(page, count)
    page.get_by_role("button", name="Done").click()
    expect(dialog).to_be_hidden()
    expect(labels.first).to_have_value("toadstool")

    # All of it is in the export, and stays.
    content = json.loads(exported(page, "COCO").read("annotations.json"))
    image = next(each["id"] for each in content["images"] if each["file_name"] == "b/cap.png")
    names = {each["id"]: each["name"] for each in content["categories"]}
    kept = {
        names[each["category_id"]]: each["bbox"]
        for each in content["annotations"]
        if each["image_id"] == image
    }
    assert len(content["images"]) == 12
    assert kept["toadstool"][0] == 7
    left, top, right, bottom = last
    assert kept["corner"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
    page.reload()
    open_tab(page)
    page.get_by_label("Show", exact=True).select_option("Corrected")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Edit the boxes of b/cap.png").click()
    page.get_by_role("button", name="As answered").click()
    expect(page.get_by_role("dialog").get_by_text("As it was answered.")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_label("Label of box 1")).not_to_have_value("toadstool")


def test_texts_are_put_right_in_place_and_the_keyboard_leads_through_them(batch, pictures):
    page = batch
    shutil.rmtree(pictures / "a")
    prompts = "caption en\nocr"
    begin(page, pictures, "Free prompt", **{"Prompts, one a line": prompts})
    expect_done(page, "Done: 8 of 8 pictures, 2 failed.")
    expect(rows(page)).to_have_count(16)
    first = page.get_by_label("Answer about b/cap.png to caption en")
    first.fill("two toadstools")
    first.press("Control+Enter")
    expect(page.get_by_label("Answer about b/cap.png to ocr")).to_be_focused()
    expect(page.locator("#batch-said")).to_have_text("Saved.")
    assert page.evaluate("document.querySelectorAll('.batch-mark').length") == 1
    with exported(page, "JSONL for fine-tuning") as home:
        lines = [json.loads(line) for line in home.read("train.jsonl").decode().splitlines()]
        assert all(line["image"] in home.namelist() for line in lines)
    learned = {(Path(line["image"]).stem, line["prefix"]): line["suffix"] for line in lines}
    assert "two toadstools" in learned.values()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete this one").click()
    expect(page.get_by_role("form", name="Batch")).to_be_visible()


def test_what_cannot_be_asked_is_said_and_nothing_is_lost(batch, tmp_path):
    page = batch
    run = page.get_by_role("tabpanel", name="Batch").get_by_role("button", name="Run", exact=True)
    run.click()
    expect(page.get_by_role("alert")).to_contain_text("There are no pictures yet")
    (tmp_path / "a.zip").write_bytes(b"PK no archive")
    chooser = page.locator("#batch input[type=file]").first
    chooser.set_input_files([tmp_path / "a.zip", FOLDER / "cap.png"])
    expect(page.get_by_role("alert")).to_contain_text("Give one archive, or pictures")
    chooser.set_input_files(tmp_path / "a.zip")
    page.locator("#batch").get_by_label("Task", exact=True).select_option(label="Detect")
    expect(page.locator(".batch-sent")).to_contain_text("no object to look for")
    run.click()
    expect(page.locator("#batch-problem")).to_contain_text("no object to look for")
    page.locator("#batch").get_by_label("Objects to find").fill("Cat, dog")
    expect(page.locator(".batch-sent")).to_have_text("detect cat ; dog")
    run.click()
    expect(page.locator("#batch-problem")).to_contain_text("pictures.zip is no ZIP archive")
    expect(page.locator("#batch").get_by_label("Objects to find")).to_have_value("Cat, dog")
    expect(page.locator(".batch-found")).to_contain_text("a.zip")
    page.evaluate("localStorage.setItem('paligemma-batch', 'x'.repeat(22))")
    page.reload()
    open_tab(page)
    expect(page.locator("#batch-problem")).to_contain_text("not on the server, or no longer")


class TestLooks:
    @pytest.fixture(params=["light", "dark", "phone"])
    def look(self, request) -> str:
        return request.param

    @pytest.fixture
    def viewport(self, look) -> dict[str, int]:
        return {"width": 390, "height": 844} if look == "phone" else {"width": 1280, "height": 900}

    @pytest.fixture
    def colour_scheme(self, look) -> str:
        return "dark" if look == "dark" else "light"

    def test_no_rule_is_broken_and_nothing_moves(self, batch, pictures, look):
        page = batch
        shutil.rmtree(pictures / "a")
        assert violations(page) == []
        before = shift_of(page)
        begin(page, pictures, "Detect", **{"Objects to find (comma-separated)": OBJECTS})
        expect_done(page)
        expect(rows(page)).to_have_count(8)
        assert shift_of(page) - before < MOST_SHIFT
        assert violations(page) == []
        page.get_by_role("button", name="Edit boxes of b/cap.png").click()
        page.locator(".stage-box").first.focus()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
