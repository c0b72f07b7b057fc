"""The parts of the GPU check, as far as a CPU can run them."""

from __future__ import annotations

import json

import pytest

from evaluation.speed import gpu_check


@pytest.mark.slow
def test_a_shape_is_made_loaded_and_measured_beside_plain_generate():
    found = gpu_check.measure_shape("nano-224", tokens=3, together=2)
    for name in ("served", "plain"):
        assert found[name]["load_s"] > 0
        assert 0 < found[name]["first_token_s"] < found[name]["together_s"] * 100
    assert 0 < found["bandwidth_share"] < 2


@pytest.mark.slow
def test_a_part_that_fails_or_hangs_leaves_the_others_and_says_why(tmp_path):
    record = gpu_check.check(["none-224"], tmp_path)
    assert "no checkpoint 'none-224'" in record["parts"]["none-224"]["failure"]
    record = gpu_check.check(["nano-224", "none-224"], tmp_path, limit_s=0.5)
    assert "not done after" in record["parts"]["nano-224"]["failure"]
    assert set(json.loads((tmp_path / "gpu_check.json").read_text())["parts"]) == {
        "nano-224",
        "none-224",
    }
    assert "failed after" in (tmp_path / "gpu_check.md").read_text()


def test_the_parts_take_no_more_than_eight_minutes():
    assert sum(gpu_check.LIMITS_S.values()) <= 8 * 60


def test_results_are_shown_with_what_is_missing_left_out():
    own = {"load_s": 2.0, "first_token_s": 0.1, "tokens_per_s": None}
    own |= {"together": 16, "together_s": 3.0}
    shape = {"served": own | {"tokens_per_s": 80.0}, "plain": own, "bandwidth_share": 0.5}
    shape["memory"] = {"peak": 6e9, "estimate": 8e9}
    about = {"gpu": "a card", "versions": "1", "command": "python"}
    tests = {"exit_code": 1, "summary": "1 failed", "failed": ["FAILED a::b"]}
    text = gpu_check.render({"machine": about, "parts": {"tests": tests, "3b-pt-224": shape}})
    assert "- FAILED a::b" in text
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["3b-pt-224", "served", "2.0", "0.100", "80.0", "16", "3.00", "50%", "0.75"] in cells
    assert ["3b-pt-224", "plain", "2.0", "0.100", "", "16", "3.00", "", ""] in cells
