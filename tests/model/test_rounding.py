"""What one visitor does changes nobody's numbers; and how far tokens in bfloat16 may differ from
those of `generate`."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import torch

from models.engine.engine import Engine
from models.schema import Request, TokenEvent
from tests.choosing import adapter_of, generated, load
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = (
    "caption en",
    "describe en",
    "caption de",
    "answer en how many objects are there?",
    "ocr",
)
LARGEST_GAP = 0.125  # a step of bfloat16 between 16 and 32, where the likeliest logits are


@pytest.fixture
def requests(ask) -> list[Request]:
    return [
        ask(PROMPTS[number % len(PROMPTS)], tokens=16, image=draw(HELD_OUT + number).image)
        for number in range(10)
    ]


def scored(engine: Engine, request: Request) -> list[tuple[int, float | None]]:
    """The ids of an answer with their log-probabilities."""
    adapter = adapter_of(engine.loaded, request.adapter)
    events = engine.run_alone(engine.answer(request, threading.Event(), adapter=adapter))
    return [(each.token_id, each.logprob) for each in events if isinstance(each, TokenEvent)]


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_an_adapter_that_was_used_changes_no_number_of_the_base(precision, requests):
    engine = Engine(load(precision), max_slots=1)
    before = [scored(engine, request) for request in requests]
    with_adapter = [dataclasses.replace(each, adapter="easy-vqa") for each in requests[:2]]
    assert [scored(engine, each) for each in with_adapter] != before[:2]
    engine.features.clear()
    assert [scored(engine, request) for request in requests] == before


@pytest.mark.slow
@torch.inference_mode()
def test_tokens_split_from_those_of_generate_only_where_two_are_as_likely(requests):
    in_bf16 = load("bf16")
    engine = Engine(in_bf16, max_slots=1)
    same = 0
    for request in requests:
        ours = [token for token, _ in scored(engine, request)]
        theirs, by_token = generated(in_bf16, request)
        end = in_bf16.processor.tokenizer.eos_token_id
        theirs = theirs[: theirs.index(end)] if end in theirs else theirs
        split = next(
            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None
        )
        if split is None and len(ours) == len(theirs):
            same += 1
            continue
        at = min(len(ours), len(theirs)) if split is None else split
        logits = by_token[at]
        chosen = ours[at] if at < len(ours) else end
        assert float(logits.max() - logits[chosen]) <= LARGEST_GAP, request.prompt
    assert same >= 7
