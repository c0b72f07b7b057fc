"""What a visitor reads when a download or an adapter fails: the app in a process of its own, with a
Hub on loopback that plays every failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.visitor import pick, run, upload
from tests.serving import app_process
from tests.stand_in_hub import STRANGER, Repository, stand_in_hub

FILES = {"config.json": b"{}", "model.safetensors": b"x"}
MOODS = {
    "gated": Repository(FILES, gated=True),
    "busy": Repository(FILES, mood="busy"),
    "broken": Repository(FILES, mood="broken"),
    "tagged": Repository(FILES),
    "slow": Repository({"config.json": b"{}", "model.safetensors": bytes(30_000_000)}, mood="slow"),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """The app with checkpoints of every mood, one name that is not there, and a pickled adapter."""
    folder = tmp_path_factory.mktemp("failures")
    pickled = folder / "pickled"
    pickled.mkdir()
    (pickled / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (pickled / "adapter_model.bin").write_bytes(b"\x80\x04.")
    names = ("gated", "busy", "broken", "tagged@v9", "slow", "absent")
    with stand_in_hub({f"me/{name}": each for name, each in MOODS.items()}) as hub:
        variables = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "hf"),
            "HF_TOKEN": STRANGER,
            "PALIGEMMA_CHECKPOINTS": ",".join(f"me/{name}=nano-224" for name in names),
            "PALIGEMMA_ADAPTERS": f"{pickled}=nano-224",
            "GRADIO_ANALYTICS_ENABLED": "False",
        }
        with app_process(folder, **variables) as app:
            yield app.url
            MOODS["slow"].go_on.set()
        assert STRANGER not in "".join(app.said), "the token was logged"


@pytest.fixture
def failing_page(chromium: Browser, address: str) -> Iterator[Page]:
    """The page with the model settings open."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_label(label, exact=True)).to_have_value(option)


def ask(page: Page, picture: Path) -> None:
    upload(page, picture)
    run(page)


@pytest.mark.parametrize(
    "variant, problem, remedy",
    [
        ("gated", "The licence of me/gated has not been accepted", "Accept it at"),
        ("busy", "got too many requests", "Wait a few minutes"),
        ("broken", "The download of me/broken was interrupted", "Try again"),
        ("tagged", "has no such revision", "Check what follows the @"),
        ("absent", "me/absent", "token"),
    ],
)
def test_a_failed_download_is_read_on_the_page(failing_page, scene_png, variant, problem, remedy):
    pick(failing_page, variant)
    expect(failing_page.locator("#settings")).to_contain_text(variant)
    ask(failing_page, scene_png)
    status = failing_page.locator("#status")
    expect(status).to_contain_text(problem)
    expect(status).to_contain_text(remedy)
    expect(failing_page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(failing_page.locator("#picture img")).to_be_visible()


def test_a_download_shows_a_bar_in_bytes_and_can_be_stopped(failing_page, scene_png):
    pick(failing_page, "slow")
    expect(failing_page.locator("#settings")).to_contain_text("slow")
    ask(failing_page, scene_png)
    expect(failing_page.locator("#status")).to_contain_text(re.compile(r"0\.01 of 0\.03 GB"))
    bar = failing_page.locator("#status progress")
    expect(bar).to_be_visible()
    assert 0 < float(bar.get_attribute("value")) < 1
    failing_page.get_by_role("button", name="Stop").click()
    expect(failing_page.locator("#status")).to_contain_text("Stopped")
    expect(failing_page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_pickled_adapter_is_refused_on_the_page(failing_page, scene_png):
    choose(failing_page, "Adapter", "pickled")
    ask(failing_page, scene_png)
    expect(failing_page.locator("#status")).to_contain_text("can run code and are not loaded")
    choose(failing_page, "Adapter", "No adapter")
    ask(failing_page, scene_png)
    expect(failing_page.get_by_label("Answer", exact=True)).to_have_value(re.compile(r"\S"))
