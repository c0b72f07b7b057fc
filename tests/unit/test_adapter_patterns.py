"""Patterns of adapters: as `re` for what names of modules need, and never for ever."""

from __future__ import annotations

import re
import time

import pytest

from models.hub import adapter_patterns

NAMES = (
    "model.language_model.layers.0.self_attn.q_proj",
    "model.language_model.layers.11.self_attn.v_proj",
    "model.language_model.layers.1.mlp.down_proj",
    "model.vision_tower.encoder.layers.3.mlp.fc1",
    "model.multi_modal_projector.linear",
    "lm_head",
)
PATTERNS = (
    "q_proj",
    "self_attn.q_proj",
    r"layers\.1\.mlp\.down_proj",
    r".*\.(q|v)_proj",
    r".*(q_proj|v_proj)$",
    r"^model\.language_model\..*proj",
    r"^(?!.*vision_tower).*(?:q_proj|fc1|linear)$",
    r"(?=.*layers).*fc\d",
    r".*layers\.[0-9]{1,2}\..*_proj",
    r".*layers\.[^01]+?\..*",
    r".*layers\.\d+\.(self_attn|mlp)\.[a-z]+_proj",
    r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj|down_proj).*?)|(?:\blm_head)",
    r"(.*\.)*fc1",
    r"layers.(0|1|2|3)..*",
    r"[\w.]*\blinear\b",
    r"lm_head|",
    r"x*",
    r"(a|b)?lm_head",
    r"[]l]m_head",
    r"l{1}m_hea{0,2}d{1,}",
)


@pytest.mark.parametrize("text", PATTERNS)
def test_a_pattern_fits_what_it_fits_in_python(text):
    pattern = adapter_patterns.understood(text)
    for name in NAMES:
        assert pattern.is_all_of(name) == bool(re.fullmatch(text, name)), name
        assert pattern.ends(name) == bool(re.match(rf"(.*\.)?({text})$", name)), name


@pytest.mark.parametrize(
    "text", [r"(q_proj", r"q_proj)", r"(?P<a>q)", r"\1", r"*q", "[a", "a++", "a{9,1}", "(" * 50]
)
def test_what_is_not_understood_is_refused_by_name(text):
    with pytest.raises(ValueError, match=re.escape(repr(text)[:10])):
        adapter_patterns.understood(text)


@pytest.mark.parametrize(
    "text",
    [
        "(.*)*x",
        "(" * 8 + ".?" + "){100}" * 8 + "!",
        "(" * 8 + "." + ")*" * 8 + "!",
        "(a?){100}" + "a{100}",
        "(.|.)" * 60 + "x",
        "(.*.*.*)*(.*)*!",
    ],
)
def test_no_pattern_takes_for_ever(text):
    began = time.process_time()
    assert not adapter_patterns.understood(text).ends(NAMES[0])
    assert time.process_time() - began < 2


def test_a_name_has_the_value_of_the_first_pattern_that_it_ends_with():
    found = adapter_patterns.values({"layers.0.*q_proj": 2, "q_proj": 3, r".*fc\d": 4}, NAMES, 1)
    assert list(found.values()) == [2, 1, 1, 4, 1, 1]


def test_a_pattern_that_fits_nothing_is_an_error():
    with pytest.raises(ValueError, match="'k_proj' fits none"):
        adapter_patterns.values({"q_proj": 2, "k_proj": 3}, NAMES, 1)
