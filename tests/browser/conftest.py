"""A Chromium and a fresh page a test. What the page may not do in any test is checked here too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=60_000)

# How far things moved under the reader's eyes, without what followed a key or a click at once:
# within half a second, or with the next frame, which comes later where the machine is busy.
WATCH_SHIFTS = """
window.layoutShift = 0;
let pressed = -1, painted = 0;
for (const type of ["click", "keydown"])
  addEventListener(type, () => {
    pressed = performance.now();
    painted = Infinity;
    const now = () => (painted = performance.now());
    requestAnimationFrame(() => requestAnimationFrame(now));
  }, true);
new PerformanceObserver((list) => {
  for (const { hadRecentInput, startTime, value } of list.getEntries())
    if (!hadRecentInput && !(startTime >= pressed && startTime <= painted)) layoutShift += value;
}).observe({ type: "layout-shift", buffered: true });
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a browser."""
    for item in items:
        if "/browser/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine, headless."""
    path = shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def viewport() -> dict[str, int]:
    """The window's size; a test module may ask for another."""
    return {"width": 1280, "height": 900}


@pytest.fixture
def colour_scheme() -> str:
    """What the visitor's system prefers."""
    return "light"


@pytest.fixture
def forced_colours() -> str:
    """Whether the visitor's system sets all colours: "active"."""
    return "none"


@pytest.fixture
def motion() -> str:
    """Whether the visitor's system asks for less motion: "reduce"."""
    return "no-preference"


@pytest.fixture
def page(
    chromium: Browser,
    served: object,
    page_backend: object,
    viewport: dict,
    colour_scheme: str,
    forced_colours: str,
    motion: str,
) -> Iterator[Page]:
    """The loaded page. Fails where a script failed or anything outside the server was asked for."""
    context = chromium.new_context(
        viewport=viewport,
        color_scheme=colour_scheme,
        forced_colors=forced_colours,
        reduced_motion=motion,
    )
    context.set_default_timeout(60_000)
    context.add_init_script(WATCH_SHIFTS)
    page = context.new_page()
    failures: list[str] = []
    strangers: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((served.url, "data:", "blob:"))
            else strangers.append(request.url)
        ),
    )
    page.goto(served.url)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    expect(page.locator("#settings .state")).to_be_visible()
    yield page
    page_backend.release()
    context.close()
    assert failures == []
    assert strangers == []
