"""Which pages may frame the demo, as an owner says it."""

from __future__ import annotations

import re

import pytest

from models.schema import UserError
from ui import links
from ui.embedding import ORIGINS, SCRIPT, Embedding


def read(text: str, **others: str) -> Embedding:
    return Embedding.from_environment({ORIGINS: text, **others})


def test_no_other_page_may_frame_this_one_unless_it_is_named():
    assert read("").policy == "frame-ancestors 'self'"
    named = read("https://example.org, http://localhost:8000\nhttps://a.example")
    assert named.policy == (
        "frame-ancestors 'self' https://example.org http://localhost:8000 https://a.example"
    )


def test_a_space_stays_in_its_page_on_hugging_face():
    space = read("https://example.org", SPACE_ID="me/demo")
    assert space.policy == (
        "frame-ancestors 'self' https://huggingface.co https://*.hf.space https://example.org"
    )
    assert space.origins == ("https://example.org",)  # Hugging Face's pages get no results


def test_any_page_may_where_the_owner_says_so_and_the_named_ones_alone_get_results():
    both = read("*, https://example.org")
    assert both.policy == "frame-ancestors *"
    assert both.for_script() == {"origins": ["https://example.org"]}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://Example.ORG", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("https://example.org:08443", "https://example.org:8443"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_an_origin_is_as_browsers_write_it(written, meant):
    assert read(written).origins == (meant,)


@pytest.mark.parametrize(
    "bad",
    [
        *("example.org", "https://example.org/", "https://example.org/page", "null", "'self'"),
        *("https://*.example.org", "https://example.org:0", "https://example.org:99999"),
        *("https://example.org; script-src *", "https://bücher.example", "http://[::1]:80"),
        *("ftp://example.org", "https://user@example.org", "https://"),
    ],
)
def test_what_is_no_origin_is_named(bad):
    with pytest.raises(UserError, match=f"{ORIGINS} has a bad entry, {re.escape(repr(bad))}"):
        read(f"https://good.example,{bad}")


def test_an_element_has_all_that_a_link_may_carry():
    asked = re.search(r"const ASKED = \[(.*?)\]", SCRIPT.read_text("utf-8"), re.S)
    assert re.findall(r'"(\w+)"', asked[1]) == [*filter(None, links.NAMES), "model", "example"]
