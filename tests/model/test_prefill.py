"""Requests that wait together are prefilled together, and each gets what it gets alone."""

from __future__ import annotations

import dataclasses
import threading

import pytest
import torch

from models.engine import prefill
from models.engine.engine import Engine, generate
from models.engine.inputs import pixel_values, prefix_ids
from models.engine.sequence import Finished
from models.layers.decoder import Decoder
from models.layers.vision import VisionTower
from models.schema import Request, TokenEvent
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("caption en", "answer en how many objects are there?", "ocr", "detect cat ; dog")


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """How many prefixes each prefill took."""
    found: list[int] = []
    run = Decoder.prefill

    def counted(self, prefixes, slots):
        found.append(len(prefixes))
        return run(self, prefixes, slots)

    monkeypatch.setattr(Decoder, "prefill", counted)
    return found


@pytest.fixture
def requests(ask) -> list[Request]:
    return [
        ask(prompt, tokens=6, image=draw(HELD_OUT + number).image)
        for number, prompt in enumerate(PROMPTS)
    ]


def answer_together(engine: Engine, requests: list[Request], cancel: int | None = None) -> list:
    """The events of each, all joining before the first step; one is cancelled once it joined."""
    cancelled = [threading.Event() for _ in requests]
    running = {
        number: engine.answer(request, cancelled[number]) for number, request in enumerate(requests)
    }
    found: list[list] = [[] for _ in requests]
    while running:
        for number, events in list(running.items()):
            for event in events:
                if event is None:
                    break
                found[number].append(event)
            else:
                del running[number]
        if cancel is not None:
            cancelled[cancel].set()
        engine.step()
    return found


def ids(events) -> list[int]:
    return [each.token_id for each in events if isinstance(each, TokenEvent)]


def alone(nano, requests: list[Request]) -> list[list[int]]:
    return [ids(generate(nano, request)) for request in requests]


def test_they_are_one_batch_and_their_tokens_those_of_each_alone(nano, requests, batches):
    found = answer_together(Engine(nano), requests)
    assert batches == [len(requests)]
    assert [ids(each) for each in found] == alone(nano, requests)


@torch.inference_mode()
def test_their_logits_are_those_of_each_alone(nano, requests):
    """Also a step later, which reads what prefill wrote."""
    pixels = [pixel_values(nano, each.image) for each in requests]
    tower = VisionTower(nano.model)
    *_, together = tower.encode(torch.cat(pixels))
    decoder = Decoder(nano.model, len(requests), 300)
    prefixes = []
    for request, own, features in zip(requests, pixels, together, strict=True):
        *_, (expected,) = tower.encode(own)
        assert torch.allclose(features, expected, atol=1e-4)
        text = prefix_ids(nano, request.prompt)
        prefixes.append(decoder.embed(text, nano.processor.image_token_id, expected))
    slots, lengths = list(range(len(requests))), [len(each) for each in prefixes]
    assert len(set(lengths)) > 1  # so that some are padded
    *_, first = decoder.prefill(prefixes, slots)
    second = decoder.step([7] * len(slots), slots, lengths)
    for slot, prefix in enumerate(prefixes):
        single = Decoder(nano.model, 1, 300)
        *_, (expected,) = single.prefill([prefix], [0])
        assert torch.allclose(first[slot], expected, atol=1e-4)
        (expected,) = single.step([7], [0], [lengths[slot]])
        assert torch.allclose(second[slot], expected, atol=1e-4)


def test_a_batch_is_bounded_by_its_bytes(nano, requests, batches, monkeypatch):
    width = nano.model.config.text_config.intermediate_size
    tokens = nano.processor.image_seq_length + 20
    monkeypatch.setattr(prefill, "BATCH_BYTES", 2 * tokens * 3 * width * 4)
    answer_together(Engine(nano), requests)
    assert batches == [2, 2]
    batches.clear()
    monkeypatch.setattr(prefill, "BATCH_BYTES", 1)  # as for a large model
    answer_together(Engine(nano), requests)
    assert batches == [1, 1, 1, 1]


def test_the_same_picture_is_encoded_once(nano, requests, monkeypatch):
    encoded: list[int] = []
    encode = VisionTower.encode

    def counted(self, pixels):
        encoded.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(VisionTower, "encode", counted)
    same = [dataclasses.replace(each, image=requests[0].image) for each in requests]
    assert [ids(each) for each in answer_together(Engine(nano), same)] == alone(nano, same)
    assert encoded[0] == 1


def test_one_that_is_cancelled_leaves_and_the_others_do_not_notice(nano, requests):
    engine = Engine(nano, max_slots=len(requests))
    found = answer_together(engine, requests, cancel=1)
    (end,) = found.pop(1)
    assert isinstance(end, Finished) and end.finish_reason == "cancelled"
    expected = alone(nano, requests)
    del expected[1]
    assert [ids(each) for each in found] == expected
    assert engine.has_room and engine.sequences == []


def test_where_a_batch_fails_each_is_tried_alone(nano, requests, monkeypatch):
    run = Decoder.prefill

    def fails(self, prefixes, slots):
        if len(prefixes) > 1 or slots == [2]:
            raise ZeroDivisionError("of this prefix")
        return run(self, prefixes, slots)

    monkeypatch.setattr(Decoder, "prefill", fails)
    engine = Engine(nano)
    running = [engine.answer(each, threading.Event()) for each in requests]
    assert [next(each) for each in running] == [None] * len(running)
    for _ in range(5):
        engine.step()
    with pytest.raises(ZeroDivisionError, match="of this prefix"):
        next(running.pop(2))
    assert all(isinstance(next(each), TokenEvent) for each in running)


def test_where_nobody_reads_tokens_one_waits_for_others_but_not_long(nano, requests, batches):
    engine = Engine(nano)
    requests = [dataclasses.replace(each, is_streamed=False) for each in requests]
    first, second = (engine.answer(each, threading.Event()) for each in requests[:2])
    next(first), engine.step(), next(first), next(first)
    next(second)
    for _ in range(prefill.MAX_WAIT_STEPS):
        engine.step()
    assert batches == [1]
    engine.step()
    assert batches == [1, 1]
