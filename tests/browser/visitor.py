"""What a visitor does on the page, each step done once the page shows that it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from models.prompts.tokens import parse_detections
from ui.examples import FOLDER

SOMETHING = re.compile(r"\S")


def upload(page: Page, picture: Path) -> None:
    """Give the page a picture."""
    page.locator("#picture input[type=file]").set_input_files(picture)
    expect(page.locator("#picture img")).to_be_visible()


def run(page: Page) -> None:
    """Press Run."""
    page.get_by_role("button", name="Run", exact=True).click()


def expect_answered(page: Page) -> None:
    """Wait for the whole answer."""
    expect(page.locator("#status")).to_contain_text(re.compile("Done|token limit"))
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def pick(page: Page, label: str) -> None:
    """Choose one of a group. Not by `check`, which looks for the change once, at once."""
    choice = page.get_by_role("radio", name=label, exact=True)
    choice.click()
    expect(choice).to_be_checked()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    expect(target).to_be_visible()
    for _ in range(40):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {target}")


def example_of(task: str) -> tuple[int, list]:
    """The place of the first example of a task that names objects, and the objects."""
    entries = json.loads((FOLDER / "examples.json").read_text("utf-8"))
    index, entry = next((i, each) for i, each in enumerate(entries) if each["task"] == task)
    return index, list(parse_detections(entry["answer"]).objects)
