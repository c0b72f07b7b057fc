"""Requests that share steps get what each gets alone from `transformers`."""

from __future__ import annotations

import dataclasses
import random
import sys
import threading
import types

import numpy as np
import psutil
import pytest
import torch
from transformers import LogitsProcessorList

from models.catalog.checkpoints import NANO
from models.engine.engine import MAX_PAUSE_S, Engine, generate
from models.engine.inputs import pixel_values, prefix_ids, prepare
from models.engine.sampling import logits_processors
from models.engine.slots import slots_that_fit
from models.layers.kv_cache import KeyValueCache
from models.loading.loader import read_model
from models.schema import Decoding, Request, TokenEvent
from tests.choosing import load
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = (
    "caption en",
    "caption de",
    "describe en",
    "ocr",
    "answer en how many objects are there?",
    "answer en what color is the background?",
    "detect cat ; dog",
    "segment star",
    "no task at all",
)
SAMPLED = {"temperature": 1.3, "top_k": 40, "top_p": 0.95}
CPU = torch.device("cpu")
LONGEST = 24  # tokens of an answer


@pytest.fixture(scope="module")
def stock():
    """nano as transformers loads it."""
    return read_model(NANO.path, "fp32", CPU).eval()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """Its one number is the engine's time in seconds."""
    now = [100.0]
    for module in ("engine", "sequence"):
        time = types.SimpleNamespace(monotonic=lambda: now[0])
        monkeypatch.setattr(f"models.engine.{module}.time", time)
    return now


def reference(stock, nano, request) -> list[int]:
    """The ids that `transformers` generates, without the end token."""
    decoding = request.decoding
    inputs = prepare(nano, request.image, request.prompt)
    with torch.inference_mode():
        output = stock.generate(
            **inputs,
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList(logits_processors(decoding)),
        )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    return ids[: ids.index(1)] if 1 in ids else ids


def mixed(count: int, seed: int) -> list[Request]:
    """Requests of every kind; a third of them are sampled."""
    dice = random.Random(seed)
    images = [draw(HELD_OUT + number).image for number in range(12)]
    requests = []
    for number in range(count):
        options = SAMPLED | {"seed": number} if number % 3 == 0 else {}
        decoding = Decoding(max_new_tokens=dice.randint(1, LONGEST), **options)
        requests.append(Request(dice.choice(images), dice.choice(PROMPTS), decoding=decoding))
    return requests


def begin(engine: Engine, *answers) -> None:
    """Take the first token of each answer, and let all wait for their next."""
    waiting = list(answers)
    while waiting:
        for events in list(waiting):
            if isinstance(next(events), TokenEvent):
                assert next(events) is None
                waiting.remove(events)
        if waiting:
            engine.step()


def check(stock, nano, serve, slots: int, count: int) -> None:
    requests = mixed(count, seed=slots)
    engine = Engine(nano, max_slots=slots)
    dice = random.Random(slots)
    found = serve(engine, requests, lambda: dice.random() < 0.5)
    greedy: dict[tuple[int, str], list[int]] = {}  # an answer begins as a longer one does
    for request, ids in zip(requests, found, strict=True):
        decoding = request.decoding
        key = (id(request.image), request.prompt)
        if decoding.temperature > 0:
            expected = reference(stock, nano, request)
        elif key in greedy:
            expected = greedy[key]
        else:
            longest = dataclasses.replace(decoding, max_new_tokens=LONGEST)
            longer = dataclasses.replace(request, decoding=longest)
            expected = greedy[key] = reference(stock, nano, longer)
        assert ids == expected[: decoding.max_new_tokens], request.prompt
    assert engine.sequences == [] and engine.has_room


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_each_sequence_gets_what_it_gets_alone(stock, nano, serve, slots):
    check(stock, nano, serve, slots, 24)


@pytest.mark.slow
@pytest.mark.parametrize("slots, count", [(1, 100), (3, 200), (8, 200)])
def test_five_hundred_mixed_requests(stock, nano, serve, slots, count):
    check(stock, nano, serve, slots, count)


def test_sliding_layers_see_their_window_alone(ask, stock, nano, monkeypatch):
    """A window shorter than the prefix, as 4,096 is at 896 pixels."""
    request = ask("describe en", tokens=12)
    usual = reference(stock, nano, request)
    for model in (stock, nano.model):
        for holder in (model.config.text_config, model.model.language_model.config):
            monkeypatch.setattr(holder, "sliding_window", 20)
    expected = reference(stock, nano, request)
    *tokens, _ = generate(nano, request)
    assert [each.token_id for each in tokens] == expected != usual


def test_log_probabilities_are_the_models(stock, nano, ask):
    *tokens, _ = generate(nano, ask("describe en", tokens=4))
    inputs = prepare(nano, ask().image, "describe en")
    with torch.inference_mode():
        output = stock.generate(
            **inputs, max_new_tokens=4, return_dict_in_generate=True, output_logits=True
        )
    expected = [
        float(torch.log_softmax(logits[0], -1)[event.token_id])
        for logits, event in zip(output.logits, tokens, strict=False)
    ]
    assert [each.logprob for each in tokens] == pytest.approx(expected, abs=1e-4)
    assert next(iter(generate(nano, ask(num_beams=2)))).logprob is None


def test_scores_are_those_of_the_logits(stock, nano, ask):
    """Of a box's coordinates: their share of all tokens, and their spread in bins."""
    request = ask("detect pizza", tokens=4, image=draw(HELD_OUT + 5000).image)
    *tokens, end = generate(nano, request)
    inputs = prepare(nano, request.image, request.prompt)
    with torch.inference_mode():
        output = stock.generate(
            **inputs, max_new_tokens=4, return_dict_in_generate=True, output_logits=True
        )
    first = nano.processor.tokenizer.convert_tokens_to_ids("<loc0000>")
    assert len(end.scores) == len(tokens) == 4
    assert [score.end for score in end.scores] == [len(event.text) for event in tokens]
    for score, logits in zip(end.scores, output.logits, strict=True):
        share = torch.softmax(logits[0].double(), -1)[first : first + 1024]
        assert score.location_mass == pytest.approx(float(share.sum()), abs=1e-5)
        share, bins = share.numpy() / share.sum().item(), np.arange(1024)
        spread = np.sqrt(np.average((bins - np.average(bins, weights=share)) ** 2, weights=share))
        assert score.location_spread == pytest.approx(spread, rel=1e-3)


def test_a_sequence_that_fails_in_a_step_fails_alone(nano, ask, monkeypatch):
    engine = Engine(nano)
    good, bad = (engine.answer(ask(tokens=6), threading.Event()) for _ in range(2))
    begin(engine, good, bad)
    append = Engine._append_token
    victim = engine.sequences[1]

    def fail(self, sequence, *given):
        if sequence is victim:
            raise ZeroDivisionError("of this sequence")
        append(self, sequence, *given)

    monkeypatch.setattr(Engine, "_append_token", fail)
    engine.step()
    with pytest.raises(ZeroDivisionError, match="of this sequence"):
        next(bad)
    rest = [event for event in engine.run_alone(good) if isinstance(event, TokenEvent)]
    *alone, _ = generate(nano, ask(tokens=6))
    assert [each.token_id for each in rest] == [each.token_id for each in alone][1:]


def test_the_prefix_and_the_pixels_are_the_processors(nano, ask):
    for prompt in PROMPTS:
        request = ask(prompt)
        inputs = prepare(nano, request.image, prompt)
        assert torch.equal(prefix_ids(nano, prompt), inputs["input_ids"][0])
        assert torch.equal(pixel_values(nano, request.image), inputs["pixel_values"])


def test_those_that_join_come_first_for_a_bounded_time(nano, ask, clock):
    engine = Engine(nano)
    assert not engine.is_due
    writes, joins = (engine.answer(ask(), threading.Event()) for _ in range(2))
    begin(engine, writes)
    clock[0] += MAX_PAUSE_S / 2
    assert not engine.is_due
    clock[0] += MAX_PAUSE_S
    assert engine.is_due
    assert next(joins) is None
    engine.step()  # it hands over before its first token
    assert not engine.is_due
    assert next(joins) is None
    engine.step()
    assert isinstance(next(joins), TokenEvent)


def test_after_beams_the_others_get_as_much_time(nano, ask, monkeypatch, clock):

    def search(*given):
        clock[0] += 7.0
        return [1], None

    monkeypatch.setattr("models.engine.engine.beam_search.search", search)
    engine = Engine(nano)
    writes = engine.answer(ask(tokens=20), threading.Event())
    begin(engine, writes)
    list(engine.answer(ask(num_beams=2), threading.Event()))
    engine.step()
    assert engine.is_due  # although it has just stepped
    clock[0] += 7.0
    engine.step()
    assert not engine.is_due


def test_eight_bit_sequences_step_one_by_one(ask, monkeypatch):
    """bitsandbytes looks for outliers in all sequences at once, so they would change each other."""
    loaded = load("int8")
    engine, seen = Engine(loaded), []
    step = engine._decoder.step
    monkeypatch.setattr(
        engine._decoder, "step", lambda ids, *rest: seen.append(ids) or step(ids, *rest)
    )
    running = [engine.answer(ask(tokens=4), threading.Event()) for _ in range(3)]
    begin(engine, *running)
    seen.clear()
    engine.step()
    assert [len(ids) for ids in seen] == [1, 1, 1]


def test_as_many_slots_as_fit(nano, monkeypatch):
    def slots(free: int) -> int:
        monkeypatch.setattr("models.engine.slots.available_bytes", lambda device: free)
        return slots_that_fit(nano, 10**6)

    per_token = 2 * 5 * 2 * 128 * 4
    slot = per_token * (196 + 128)
    assert [slots(free) for free in (0, 2 * slot, 6 * slot, 10**12)] == [1, 1, 3, 16]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are counted by Linux")
def test_the_cache_takes_memory_only_where_it_is_written():
    def resident() -> int:
        return psutil.Process().memory_info().rss

    before = resident()
    cache = KeyValueCache([CPU] * 4, 8, 4, 2048, 256, torch.float32)  # 512 MiB
    assert resident() - before < 2**24
    for index in range(4):
        for part in cache.layer(index):
            assert not part[0, :, :64].any()
            part[0, :, :64] = 1
    assert resident() - before < 2**24


def test_closing_an_answer_frees_its_slot(nano, ask):
    engine = Engine(nano, max_slots=1)
    events = engine.answer(ask(), threading.Event())
    next(events)
    assert not engine.has_room
    events.close()
    assert engine.has_room and engine.sequences == []
