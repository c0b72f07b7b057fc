"""The "Use via API" view shows the samples that `tests/app/test_api_samples.py` runs."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from ui.api_samples import OF_ENDPOINTS, samples


def test_the_view_shows_the_samples_that_run(page, served):
    page.get_by_role("button", name="Use via API").click()
    shown = page.locator(".api-docs")
    for name, language in (("Python", "python"), ("JavaScript", "javascript"), ("cURL", "bash")):
        shown.locator("li.snippet").filter(has_text=re.compile(f"^\\s*{name}\\s*$")).click()
        for endpoint in OF_ENDPOINTS:
            for line in samples(served.url, endpoint=endpoint)[language].splitlines():
                expect(shown).to_contain_text(line.strip())
    mcp = shown.locator("li.snippet").filter(has_text="MCP")
    expect(mcp).to_have_count(1)  # of Gradio's, which is not served
    expect(mcp).to_be_hidden()
