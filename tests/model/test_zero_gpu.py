"""ZeroGPU as far as a machine without it can: arguments and results are pickled."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import types

import pytest
import torch

from models.catalog import memory
from models.catalog.catalog import Catalog
from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.loading.loader import Loader
from models.schema import Result, StatusEvent, TokenEvent, UserError
from models.serving import validation
from models.serving.local_backend import LocalBackend
from models.serving.validation import Offer
from models.serving.zero_gpu import ZeroGpu

CPU = torch.device("cpu")
CATALOG = Catalog()
OFFER = Offer(CATALOG.checkpoints, ("bf16", "nf4"))
KEY = ModelKey(NANO, "fp32")


class Refusal(Exception):
    """What `spaces` raises: an error of Gradio with a title."""

    title, message = "ZeroGPU quota exceeded", "You have exceeded your GPU quota."


@pytest.fixture
def asked(monkeypatch):
    """Plays ZeroGPU; a list of the (size, seconds) it was asked for."""
    calls = []

    def decorate(duration, size):
        def decorator(function):
            def run(*arguments):
                calls.append((size, duration(*arguments)))
                for item in function(*pickle.loads(pickle.dumps(arguments))):
                    yield pickle.loads(pickle.dumps(item))

            return run

        return decorator

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    promised = types.SimpleNamespace(torch=types.SimpleNamespace(enter_mode=lambda: None))
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=decorate, zero=promised))
    monkeypatch.setitem(sys.modules, "spaces.zero", promised)
    return calls


def test_the_answer_comes_from_the_worker(asked, ask):
    backend = LocalBackend(device=CPU)
    events = list(backend.answer(ask("detect cat", tokens=4)))
    assert [size for size, _ in asked] == ["large"]
    assert any(isinstance(event, TokenEvent) for event in events)
    assert isinstance(events[-1], Result) and events[-1].prompt == "detect cat"
    assert StatusEvent("Loading nano-224 …") in events
    again = list(backend.answer(ask("detect cat", tokens=4)))
    assert StatusEvent("Loading nano-224 …") not in again
    assert again[-1].text == events[-1].text


def test_an_adapter_goes_to_the_worker(asked, ask):
    backend = LocalBackend(device=CPU)
    texts = [
        list(backend.answer(ask("answer en what color is the shape?", adapter=name)))[-1].text
        for name in (None, "easy-vqa")
    ]
    assert texts[0] != texts[1]


def test_each_gpu_size_has_a_function_of_its_own(asked):
    zero = ZeroGpu(Loader(CPU), OFFER)
    assert zero._on_gpu["large"] is not zero._on_gpu["xlarge"]


def test_a_refused_request_stays_a_sentence(asked, ask):
    def refuse(*arguments):
        raise UserError("It does not fit.", "Choose another.")
        yield

    zero = ZeroGpu(Loader(CPU), OFFER, refuse)
    with pytest.raises(UserError, match=r"It does not fit\. Choose another\."):
        list(zero.answer(ask(), KEY))


def test_the_end_of_memory_in_the_worker_is_said(asked, ask):
    def fail(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")
        yield

    with pytest.raises(UserError, match="memory ran out with nano-224"):
        list(ZeroGpu(Loader(CPU), OFFER, fail).answer(ask(), KEY))


@pytest.mark.parametrize("error, kind", [(Refusal(), UserError), (ValueError("a bug"), ValueError)])
def test_a_used_up_quota_is_said_and_a_bug_is_not_hidden(asked, ask, error, kind):
    zero = ZeroGpu(Loader(CPU), OFFER)

    def on_gpu(request, key, adapter):
        raise error
        yield

    zero._on_gpu = {"large": on_gpu}
    with pytest.raises(kind) as caught:
        list(zero.answer(ask(), KEY))
    if kind is UserError:
        assert "exceeded your GPU quota. Sign in" in str(caught.value)


def test_a_left_answer_leaves_the_worker(asked, ask):
    zero, closed = ZeroGpu(Loader(CPU), OFFER), []

    def on_gpu(request, key, adapter):
        try:
            yield StatusEvent("working")
            yield StatusEvent("still working")
        finally:
            closed.append(request.prompt)

    zero._on_gpu = {"large": on_gpu}
    events = zero.answer(ask("ocr"), KEY)
    while next(events) != StatusEvent("working"):
        pass
    events.close()
    assert closed == ["ocr"]


def test_loaded_models_fit_together_and_the_least_recently_used_is_evicted(asked, monkeypatch):
    loaded = []
    loader = Loader(CPU)
    monkeypatch.setattr(loader, "fetch", lambda *arguments: None)
    monkeypatch.setattr(loader, "load", lambda *arguments: loaded.append(arguments[0]) or object())
    zero = ZeroGpu(loader, OFFER)
    keys = [ModelKey(CATALOG.find(f"10b-pt-{side}"), "bf16") for side in (224, 448, 896)]
    large = ModelKey(CATALOG.find("28b-pt-224"), "bf16")
    for key in (*keys[:2], keys[0], keys[2]):
        list(zero.load(key))
    assert loaded == keys
    assert zero.loaded == (keys[0], keys[2])
    list(zero.load(large))
    assert zero.loaded == (large,)


def test_a_closed_answer_is_cancelled_in_the_worker(asked, ask):
    given = []

    def work(loaded, request, adapter, cancelled, load_s):
        given.append(cancelled)
        while True:
            yield StatusEvent("working")

    events = ZeroGpu(Loader(CPU), OFFER, work).answer(ask(), KEY)
    while next(events) != StatusEvent("working"):
        pass
    assert not given[0].is_set()
    events.close()
    assert given[0].is_set()


@pytest.mark.slow
def test_workers_of_the_real_package_are_reused_evict_and_are_cancelled():
    """`spaces` forks and keeps the workers; only its scheduling service is played."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.zero_workers"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    # One worker answers all, the parent has its own models, and both hold what fits.
    assert len(set(found["workers"])) == 1 and found["parent"] not in found["workers"]
    ten, again = "10b-pt-{} bf16", "10b-pt-224 bf16"
    assert found["held"] == [
        [again],
        [again, ten.format(448)],
        [ten.format(448), ten.format(896)],
        [ten.format(896), again],
    ]
    assert found["after busy"] not in found["workers"]
    assert found["cancelled"] and found["after cancel"] == found["after busy"]


def test_the_larger_gpu_is_asked_for_where_it_is_needed():
    sizes = {
        (each.name, precision): validation.gpu_size(ModelKey(each, precision), OFFER)
        for each in CATALOG.checkpoints
        for precision in OFFER.precisions
    }
    assert {key for key, size in sizes.items() if size == "xlarge"} == {
        (f"28b-{rest}", "bf16") for rest in ("mix-224", "mix-448", "pt-224", "pt-448", "pt-896")
    }
    for (name, precision), size in sizes.items():
        needed = memory.estimate(CATALOG.find(name), precision, False).total
        assert needed < memory.ZERO_GPU_BYTES[size]
    with pytest.raises(UserError, match="Try bfloat16"):
        validation.gpu_size(ModelKey(CATALOG.find("28b-pt-224"), "fp32"), OFFER)


def test_gpu_seconds_follow_the_catalog(ask):
    def seconds(name: str, precision: str = "bf16", **options) -> int:
        return validation.gpu_seconds(ask(**options), ModelKey(CATALOG.find(name), precision))

    for each in CATALOG.checkpoints:
        few, many = seconds(each.name, tokens=16), seconds(each.name, tokens=256)
        assert 5 < few < many <= 120
        assert seconds(each.name, "nf4", tokens=16) >= few
    for small, large in (("3b-pt-224", "3b-pt-896"), ("3b-pt-448", "28b-pt-448")):
        assert seconds(small, tokens=16) < seconds(large, tokens=16)
    assert seconds("3b-pt-224", tokens=64) < seconds("3b-pt-224", tokens=64, num_beams=4)
