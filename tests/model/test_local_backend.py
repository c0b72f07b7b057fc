"""Requests in, answers out; nonsense is refused before a model is touched."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
from PIL import Image

from models.catalog.catalog import Catalog
from models.engine.engine import Engine
from models.hub.adapters import Selection
from models.layers.decoder import Decoder
from models.limits import MAX_DEADLINE_S, MAX_NEW_TOKENS
from models.loading.loader import Loader
from models.masks import detections
from models.masks.detections import detect
from models.prompts.tokens import encode_codes
from models.schema import Decoding, StatusEvent, TokenEvent, UserError
from models.serving.local_backend import LocalBackend
from models.serving.scheduler import Job
from models.serving.validation import check, default_deadline_s
from tests.choosing import answer_of

SOON_S = 120.0
LOCS = "<loc0256><loc0000><loc0767><loc0511>"


def test_an_answer_ends_with_its_result(backend, ask):
    request = ask("describe en", tokens=4)
    events, result = answer_of(backend, request)
    tokens = [event for event in events if isinstance(event, TokenEvent)]
    assert (result.prompt, result.checkpoint, result.adapter) == ("describe en", "nano-224", None)
    assert result.text == tokens[-1].text
    assert result.timings.tokens == len(tokens)
    assert result.timings.first_token_s > 0
    assert result.finish_reason in ("eos", "length")


def test_the_first_answer_tells_of_the_load_and_the_second_has_none(ask):
    backend = LocalBackend()
    events, first = answer_of(backend, ask(tokens=1))
    assert any(isinstance(event, StatusEvent) and "nano-224" in event.message for event in events)
    _, second = answer_of(backend, ask(tokens=1))
    assert first.timings.load_s > second.timings.load_s
    backend.close()


def test_what_goes_on_is_said_before_the_first_token(backend, ask):
    """So an older answer's boxes leave the page before the new text comes."""
    answer_of(backend, ask(tokens=1))
    events, _ = answer_of(backend, ask(tokens=1))
    assert events[0] == StatusEvent("Looking at the picture …")


def test_warming_loads(ask):
    backend = LocalBackend()
    backend.warm("nano-224")
    assert answer_of(backend, ask(tokens=1))[1].timings.load_s < 0.1
    backend.close()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"checkpoint": "nano-1000"}, "nano-1000"),
        ({"precision": "int3"}, "int3"),
        ({"prompt": "<image>caption en"}, "<image>"),
        ({"prompt": ""}, "empty"),
        ({"adapter": "none-such"}, "none-such"),
        ({"deadline_s": 0}, "time limit"),
        ({"deadline_s": MAX_DEADLINE_S + 1}, "time limit"),
        ({"deadline_s": float("nan")}, "time limit"),
        ({"image": Image.new("L", (4, 4))}, "RGB"),
        ({"decoding": Decoding(max_new_tokens=0)}, "max_new_tokens"),
        ({"decoding": Decoding(max_new_tokens=MAX_NEW_TOKENS + 1)}, "max_new_tokens"),
        ({"decoding": Decoding(temperature=-1)}, "temperature"),
        ({"decoding": Decoding(temperature=1e-40)}, "too small"),
        ({"decoding": Decoding(temperature=5e-324)}, "too small"),
        ({"decoding": Decoding(top_p=0)}, "top_p"),
        ({"decoding": Decoding(top_k=-1)}, "top_k"),
        ({"decoding": Decoding(num_beams=100)}, "num_beams"),
        ({"decoding": Decoding(num_beams=2, temperature=1.0)}, "Beams"),
        ({"decoding": Decoding(seed=-1)}, "seed"),
    ],
)
def test_bad_requests_are_refused_before_a_model_is_touched(ask, monkeypatch, change, words):
    def untouched(*arguments):
        raise AssertionError("a model was touched")

    monkeypatch.setattr("models.loading.loader.Loader.load", untouched)
    backend = LocalBackend()
    with pytest.raises(UserError, match=words) as caught:
        list(backend.answer(dataclasses.replace(ask(), **change)))
    assert caught.value.remedy


def test_too_large_a_picture_is_refused(ask, monkeypatch):
    monkeypatch.setattr("models.images.check_size.__defaults__", (100,))
    with pytest.raises(UserError, match="million"):
        check(ask())


def test_an_answer_may_take_as_long_as_its_choice_needs():
    def limit(name: str, device: str = "cpu", **decoding) -> float:
        return default_deadline_s(Catalog().find(name), Decoding(**decoding), device)

    assert limit("nano-224") == 120
    assert 1000 < limit("3b-pt-896") < limit("10b-pt-896") == MAX_DEADLINE_S
    assert limit("3b-pt-448") < limit("3b-pt-448", max_new_tokens=256)
    assert limit("3b-pt-448") < limit("3b-pt-448", num_beams=2)
    assert limit("3b-pt-896", "cuda") < limit("3b-pt-896")


@pytest.mark.parametrize("asked, allowed", [(None, 120), (7.0, 7.0)])
def test_a_request_without_a_time_limit_gets_one(ask, monkeypatch, asked, allowed):
    seen = []
    engine_answers = Engine.answer

    def answer(engine, request, *arguments):
        seen.append(request.deadline_s)
        return engine_answers(engine, request, *arguments)

    monkeypatch.setattr(Engine, "answer", answer)
    backend = LocalBackend()
    list(backend.answer(ask(tokens=1, deadline_s=asked)))
    backend.close()
    assert seen == [allowed]


def test_closing_an_answer_stops_its_work(ask, monkeypatch):
    backend = LocalBackend()
    backend.warm("nano-224")
    (scheduler,) = [each for _, each in backend._pool.items()]
    scheduler._engine._eos_ids = set()
    second_step, closed, stopped, steps = *(threading.Event() for _ in range(3)), []

    def before(*arguments) -> None:
        steps.append(1)
        if len(steps) == 2:
            second_step.set()
            closed.wait(SOON_S)

    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda *given: (before(), step(*given))[1])
    job_ended = Job.end
    monkeypatch.setattr(Job, "end", lambda job: (job_ended(job), stopped.set()))
    events = backend.answer(ask(tokens=20))
    while not isinstance(next(events), TokenEvent):
        pass
    assert second_step.wait(SOON_S)
    events.close()
    closed.set()
    assert stopped.wait(SOON_S)
    assert len(steps) == 2
    backend.close()


def test_closing_an_answer_at_its_first_event_cancels_it(backend, ask, monkeypatch):
    backend.warm("nano-224")
    ended = threading.Event()
    jobs: list[Job] = []
    job_ended = Job.end
    monkeypatch.setattr(Job, "end", lambda job: (jobs.append(job), job_ended(job), ended.set()))
    events = backend.answer(ask(tokens=200))
    assert isinstance(next(events), StatusEvent)
    events.close()
    assert ended.wait(SOON_S)
    assert jobs[0].cancelled.is_set() and jobs[0].tokens < 3


def test_boxes_and_masks_are_in_pixels_of_the_picture(nano):
    text = f"{LOCS} cat ; {LOCS}{encode_codes(range(16))} dog ; <loc0001> broken"
    found, invalid = detect(text, nano.codec, 400, 200)
    assert [each.label for each in found] == ["cat", "dog"]
    assert invalid == 1
    assert found[0].box_xyxy_px == pytest.approx((0, 50, 200, 150), abs=0.3)
    assert found[0].mask is None
    assert (found[1].mask.shape, found[1].mask.dtype) == ((200, 400), np.bool_)
    assert not found[1].mask[:, 201:].any()


def test_masks_are_bounded_in_memory(nano, monkeypatch):
    monkeypatch.setattr(detections, "MASK_BYTES", 2 * 400 * 200)
    found, _ = detect(f"{LOCS}{encode_codes(range(16))} cat ; " * 3, nano.codec, 400, 200)
    assert [each.mask is not None for each in found] == [True, True, False]


def test_what_an_adapter_downloads_is_told(ask, monkeypatch):
    def select(model, checkpoint, adapter, status):
        status(StatusEvent("Downloading an adapter …"))
        return Selection()

    monkeypatch.setattr("models.hub.adapters.select", select)
    backend = LocalBackend()
    events, _ = answer_of(backend, ask(tokens=1))
    assert StatusEvent("Downloading an adapter …") in events
    backend.close()


def test_the_wait_for_others_is_told_apart_from_the_work(ask, monkeypatch):
    backend = LocalBackend()
    loading, go_on, load = threading.Event(), threading.Event(), Loader.load

    def slow_load(*arguments):
        loading.set()
        assert go_on.wait(SOON_S)
        return load(*arguments)

    monkeypatch.setattr(Loader, "load", slow_load)
    first, second = (backend.answer(ask(tokens=1)) for _ in range(2))
    next(first)
    assert loading.wait(SOON_S)
    assert next(second) == StatusEvent("Waiting for other requests …")
    started = time.monotonic()
    held_s = time.monotonic() - started
    go_on.set()
    *_, one = first
    *_, other = second
    assert one.timings.load_s > 0 and other.timings.load_s < one.timings.load_s
    assert other.timings.wait_s >= held_s
    backend.close()
