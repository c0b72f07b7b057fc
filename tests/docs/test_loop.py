"""The commands of docs/loop.md, one after another as they stand there, on fewer pictures."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from tests.docs.test_documents import ROOT, blocks, commands

PAGE = ROOT / "docs" / "loop.md"
FEWER = {"--pictures": "6"}
SHORTER = {"training.finetune": ["--max_steps", "2"]}


def run(words: list[str], monkeypatch) -> None:
    """`python -m MODULE …` in this process, where nano is imported once."""
    module, *rest = words
    for option, value in FEWER.items():
        if option in rest:
            rest[rest.index(option) + 1] = value
    monkeypatch.setattr(sys, "argv", [module, *rest, *SHORTER.get(module, [])])
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, (words, end.code)


@pytest.mark.slow
def test_the_loop_goes_round_as_it_is_written(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("docs/loop.md").write_text(PAGE.read_text("utf-8"), "utf-8")
    asked = [
        shlex.split(command)[2:]
        for block in blocks("sh")
        if block.document == PAGE
        for command in commands(block.text)
        if command.startswith("python -m ")
    ]
    assert [words[0] for words in asked] == [
        "evaluation.absent.shapes",
        "models.batch",
        "evaluation.loop.correct",
        "data.export",
        "training.finetune",
        "evaluation.absent.shapes",
        "evaluation.compare",
        "evaluation.absent.shapes",
        "models.batch",
        "evaluation.loop.correct",
    ]
    for words in asked:
        run(words, monkeypatch)
    lines = Path("runs/first/exports/finetune/train.jsonl").read_text("utf-8").splitlines()
    learned = [json.loads(line) for line in lines]
    assert len(learned) == 18 and "none" in {each["suffix"] for each in learned}
    assert any(re.search(r"<loc\d{4}> zigzag", each["suffix"]) for each in learned)
    assert len(Path("runs/second/results.jsonl").read_text("utf-8").splitlines()) == 18
    assert Path("runs/shapes/adapter/README.md").exists()
    assert "absent kinds boxed" in Path("docs/loop.md").read_text("utf-8")
    told = re.findall(r"^18 answers, \d+ of them put right$", capfd.readouterr().out, re.M)
    assert len(told) == 2
