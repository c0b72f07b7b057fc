"""Answers on a GPU are plain `generate`'s; the same is tried on the CPU where it can be."""

from __future__ import annotations

import threading

import pytest
import torch

from models.catalog.checkpoints import NANO
from models.catalog.model_key import ModelKey
from models.engine.engine import Engine
from models.engine.inputs import prepare
from models.engine.sequence import Finished
from models.loading.loader import LoadedModel, Loader
from training.nano.scenes.scene import HELD_OUT, draw

PROMPTS = ("caption en", "describe en", "ocr", "detect cat ; dog", "caption de", "segment dog")
NEARLY_EQUAL = 0.125  # between the two likeliest logits, in 16 bits
SETUPS = [
    pytest.param(("cpu", "fp32"), id="cpu-fp32"),
    *(
        pytest.param(("cuda", precision), id=f"cuda-{precision}", marks=pytest.mark.gpu)
        for precision in ("fp32", "bf16", "nf4")
    ),
]


@pytest.fixture(scope="module", params=SETUPS)
def setup(request) -> tuple[LoadedModel, str]:
    device, precision = request.param
    return Loader(torch.device(device)).load(ModelKey(NANO, precision)), precision


@torch.inference_mode()
def generated(loaded: LoadedModel, request) -> tuple[list[int], torch.Tensor]:
    """The ids of `generate`, and its logits float[tokens, vocabulary]."""
    inputs = prepare(loaded, request.image, request.prompt)
    found = loaded.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=request.decoding.max_new_tokens,
        return_dict_in_generate=True,
        output_logits=True,
    )
    length = inputs["input_ids"].shape[1]
    return found.sequences[0, length:].tolist(), torch.cat(found.logits).float()


def asked(ask, count: int = len(PROMPTS), **options):
    return [
        ask(PROMPTS[n % len(PROMPTS)], 40, image=draw(HELD_OUT + n).image, **options)
        for n in range(count)
    ]


@pytest.mark.slow
def test_tokens_are_those_of_generate_or_were_nearly_as_likely(setup, ask, serve):
    loaded, precision = setup
    requests = asked(ask)
    for request, ids in zip(requests, serve(Engine(loaded), requests), strict=True):
        expected, logits = generated(loaded, request)
        expected = [token for token in expected if token not in (0, 1)]
        split = next(
            (n for n, pair in enumerate(zip(ids, expected, strict=False)) if len({*pair}) > 1),
            None,
        )
        if split is None and len(ids) == len(expected):
            continue
        at = min(len(ids), len(expected)) if split is None else split
        assert precision != "fp32", request.prompt
        first, second = logits[at].topk(2).values.tolist()
        assert first - second <= NEARLY_EQUAL, request.prompt


@pytest.mark.slow
def test_adapters_that_come_and_go_change_no_answer(setup, ask, serve):
    """On a GPU steps are captured meanwhile, and those of an adapter go when it does."""
    loaded, precision = setup
    if precision != "fp32":
        pytest.skip("neighbours change sums of 16 bits")
    plain, own = asked(ask, 4), asked(ask, 4, adapter="easy-vqa")
    alone = [serve(Engine(loaded), [each])[0] for each in (*plain, *own)]
    mixed = [each for pair in zip(plain, own, strict=True) for each in pair]
    engine = Engine(loaded)
    for _ in range(2):
        found = serve(engine, mixed)
        assert found[::2] == alone[:4]
        assert found[1::2] == alone[4:]


def test_a_cancelled_answer_leaves_its_slot_and_its_neighbours_alone(setup, ask, serve):
    loaded, _ = setup
    engine, cancelled = Engine(loaded, 1), threading.Event()
    ends = []
    for event in engine.run_alone(engine.answer(asked(ask, 2)[1], cancelled)):
        cancelled.set()
        if isinstance(event, Finished):
            ends.append(event.finish_reason)
    assert ends == ["cancelled"]
    assert engine.has_room
    assert serve(engine, asked(ask, 1))[0]
