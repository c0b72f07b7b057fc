"""Steps of fixed shapes give each row what a step of its own shape gives it.

Without a GPU nothing can be recorded: here a recording is the work itself, done again each time.
"""

from __future__ import annotations

import pytest
import torch

from models.engine.cuda_graphs import RECORD_AFTER, Replay, can_replay, record
from models.engine.engine import Engine
from models.schema import Request
from training.nano.scenes.scene import HELD_OUT, draw


@pytest.fixture
def requests(ask) -> list[Request]:
    prompts = ("describe en", "ocr", "answer en how many objects are there?", "caption de", "ocr")
    images = [draw(HELD_OUT + number).image for number in range(len(prompts))]
    return [
        ask(prompt, tokens=30, image=image) for prompt, image in zip(prompts, images, strict=True)
    ]


def test_padded_steps_change_nothing(nano, serve, requests):
    recorded = []

    def stand_in(work):
        recorded.append(work)
        return work

    expected = serve(Engine(nano, most_rows=5), requests)
    engine = Engine(nano, most_rows=5)
    engine._replay = Replay(engine._decoder, stand_in)
    assert serve(engine, requests) == expected
    assert recorded


def test_rows_that_do_not_take_part_keep_what_they_have(nano):
    """Such as one whose prefix is still being read."""
    engine = Engine(nano, most_rows=2)
    layers = [engine._decoder.cache.layer(index) for index in range(5)]
    for layer in layers:
        for part in layer:
            part[0] = 3
    with torch.inference_mode():
        Replay(engine._decoder, lambda work: work).step(None, [5], [1], [200])
    for layer in layers:
        for part in layer:
            assert (part[0, :, :-1] == 3).all()
            assert part[1, :, 200].any()


def test_a_kind_is_recorded_once_and_anew_after_its_adapter_was_loaded(nano):
    engine = Engine(nano, most_rows=2)
    recorded = []

    def stand_in(work):
        recorded.append(work)
        return work

    replay = Replay(engine._decoder, stand_in)
    with torch.inference_mode():
        for _ in range(RECORD_AFTER + 2):
            replay.step("one", [5], [0], [200])
        assert len(recorded) == 1
        replay.step(None, [5], [0], [200])
        assert len(recorded) == 1
        replay.forget("one")
        for _ in range(RECORD_AFTER + 2):
            replay.step("one", [5], [0], [200])
        assert len(recorded) == 2


def test_on_a_cpu_nothing_is_recorded(nano):
    assert not can_replay(nano.model)
    assert Engine(nano, most_rows=1)._replay is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recording_follows_its_inputs():
    numbers = torch.zeros(4, device="cuda")
    again = record(lambda: numbers * 2 + 1)
    numbers.fill_(3)
    assert again().tolist() == [7.0] * 4
