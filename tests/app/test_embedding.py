"""What the server says to pages that show the demo inside themselves."""

from __future__ import annotations

import httpx

ELSEWHERE = {"origin": "https://example.org"}


def test_pages_of_other_origins_cannot_frame_this_one_and_no_cookie_is_set(served):
    for path in ("/", "/?embed=1", "/?view=api"):
        reply = httpx.get(f"{served.url}{path}")
        assert reply.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert "set-cookie" not in reply.headers


def test_the_script_is_at_a_stable_address_for_pages_of_all_origins(served):
    reply = httpx.get(f"{served.url}/embed.js", headers=ELSEWHERE)
    assert reply.status_code == 200
    assert "javascript" in reply.headers["content-type"]
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert reply.headers["cache-control"] == "public, max-age=3600"
    assert "set-cookie" not in reply.headers


def test_a_page_elsewhere_may_not_call_a_demo_that_runs_on_this_machine(served):
    reply = httpx.get(f"{served.url}/config", headers=ELSEWHERE)
    assert "access-control-allow-origin" not in reply.headers
