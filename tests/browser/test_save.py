"""Taking an answer away: files, and its request as a program."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from gradio.utils import get_upload_folder
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.visitor import example_of, expect_answered, pick, run, upload


def open_saving(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Save and copy")).click()


def saved(page: Page, name: str) -> tuple[str, bytes]:
    """Press a button; the name and the bytes of the file that the browser gets."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_everything_of_an_answer_with_masks_is_saved(page):
    index, found = example_of("segment")
    open_saving(page)
    expect(page.get_by_role("button", name="JSON", exact=True)).to_be_disabled()
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    name, content = saved(page, "Picture with boxes")
    assert name == "annotated.png"
    assert Image.open(io.BytesIO(content)).size == (640, 640)
    expect(page.locator("#saved a")).to_have_text("annotated.png")
    name, content = saved(page, "Cut-outs")
    cut = Image.open(io.BytesIO(content))
    assert name.startswith("cut-out-1-") and cut.mode == "RGBA"
    name, content = saved(page, "JSON")
    result = json.loads(content)
    assert name == "result.json" and len(result["detections"]) == len(found)
    assert result["detections"][0]["mask"]["counts"]
    files = {each.name for each in Path(get_upload_folder()).rglob("*")}
    assert {"annotated.png", "result.json"} <= files, "where all uploads are, and deleted with them"


def test_several_boxes_are_a_zip_and_a_text_alone_is_json(page, scene_png):
    index, found = example_of("detect")
    open_saving(page)
    page.locator(f"#example-{index}").click()
    expect_answered(page)
    expect(page.get_by_role("button", name="Masks", exact=True)).to_be_disabled()
    name, content = saved(page, "Cut-outs")
    assert name == "cut-outs.zip"
    assert len(zipfile.ZipFile(io.BytesIO(content)).namelist()) == len(found) > 1
    pick(page, "Caption")
    expect(page.get_by_role("button", name="JSON", exact=True)).to_be_disabled()  # of another task
    upload_again = page.locator("#picture").get_by_role("button", name="Remove Image")
    upload_again.click()
    upload(page, scene_png)
    run(page)
    expect_answered(page)
    expect(page.get_by_role("button", name="Picture with boxes")).to_be_disabled()
    _, content = saved(page, "JSON")
    assert json.loads(content)["prompt"] == "caption en"


@pytest.mark.parametrize("language", ["Python", "curl"])
def test_a_program_is_copied_with_the_settings_in_force(page, language):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_saving(page)
    pick(page, "Ask")
    page.get_by_label("Question", exact=True).fill("what's on the left?")
    expect(page.get_by_label("Prompt to be sent")).to_have_value(re.compile("left"))
    page.get_by_role("button", name=f"Copy as {language}", exact=True).click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    program = page.get_by_label("Program", exact=True)
    text = program.input_value()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert "on the left?" in text and page.url.rstrip("/") in text
    expect(page.get_by_role("button", name="Copy the program")).to_be_visible()
