"""`python app.py` as a stranger starts it."""

from __future__ import annotations

import httpx
import pytest

from tests.serving import app_process


@pytest.mark.slow
def test_the_app_says_where_it_serves_the_page_and_does(tmp_path):
    with app_process(tmp_path, HF_HUB_OFFLINE="1") as app:
        said = next(line for line in app.said if "running on" in line.lower())
        assert app.url in said
        reply = httpx.get(app.url, timeout=60)
    assert reply.status_code == 200
    assert "PaliGemma 2" in reply.text
