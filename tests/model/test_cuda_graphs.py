"""Steps of fixed shapes give each sequence what a step of its own shape gives it.

Without a GPU nothing can be captured: here a capture is the step itself, done again each time.
"""

from __future__ import annotations

import logging

import pytest
import torch

from models.catalog import memory
from models.catalog.checkpoints import NANO
from models.engine.cuda_graphs import (
    CAPTURE_AFTER,
    Capturer,
    CudaGraphs,
    can_capture,
)
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


class Captures:
    """Stands for capturing: keeps what was captured, or fails as CUDA does."""

    def __init__(self, bytes_each: int = 0, fails: bool = False):
        self.steps, self.tried, self.pools = [], 0, 0
        self.bytes = 0
        self._bytes_each, self._fails = bytes_each, fails

    def new_pool(self):
        """As making a `Capturer`."""
        self.pools += 1
        self.bytes = 0
        return self

    def __call__(self, step):
        self.tried += 1
        if self._fails:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.steps.append(step)
        self.bytes += self._bytes_each
        return step


@torch.inference_mode()
def repeat(graphs: CudaGraphs, times: int, adapter: str | None = None, length: int = 200) -> None:
    for _ in range(times):
        graphs.step(adapter, [5], [0], [length])


def test_padded_steps_change_nothing(nano, serve, requests):
    captures = Captures()
    expected = serve(Engine(nano, max_slots=5), requests)
    engine = Engine(nano, max_slots=5)
    engine._graphs = CudaGraphs(engine._decoder, captures.new_pool)
    assert serve(engine, requests) == expected
    assert captures.steps


def test_slots_that_take_no_part_keep_what_they_have(nano):
    """Such as one whose prefix is still being read."""
    engine = Engine(nano, max_slots=2)
    layers = [engine._decoder.cache.layer(index) for index in range(5)]
    for layer in layers:
        for part in layer:
            part[0] = 3
    with torch.inference_mode():
        CudaGraphs(engine._decoder, Captures().new_pool).step(None, [5], [1], [200])
    for layer in layers:
        for part in layer:
            assert (part[0, :, :-1] == 3).all()
            assert part[1, :, 200].any()


def test_a_shape_is_captured_once_and_anew_after_its_adapter_was_evicted(nano):
    captures = Captures()
    graphs = CudaGraphs(Engine(nano, max_slots=2)._decoder, captures.new_pool)
    repeat(graphs, CAPTURE_AFTER + 2, "one")
    repeat(graphs, 1)
    assert captures.tried == 1
    graphs.forget("one")
    assert len(graphs) == 0
    repeat(graphs, CAPTURE_AFTER + 2, "one")
    assert captures.tried == 2


def test_what_cannot_be_captured_runs_eagerly_with_one_warning(nano, serve, requests, caplog):
    captures = Captures(fails=True)
    expected = serve(Engine(nano, max_slots=5), requests)
    engine = Engine(nano, max_slots=5)
    engine._graphs = CudaGraphs(engine._decoder, captures.new_pool)
    with caplog.at_level(logging.WARNING):
        assert serve(engine, requests) == expected
    assert captures.tried >= 1 and len(engine._graphs) == 0
    assert sum("runs eagerly" in each.message for each in caplog.records) == 1
    tried = captures.tried
    repeat(engine._graphs, 2 * CAPTURE_AFTER, length=1000)
    repeat(engine._graphs, 2 * CAPTURE_AFTER, length=1000)
    assert captures.tried == tried + 1


def test_captures_are_bounded_and_the_least_recently_used_goes(nano):
    captures = Captures(bytes_each=10)
    graphs = CudaGraphs(Engine(nano, max_slots=1)._decoder, captures.new_pool, max_graphs=2)
    for name in ("one", "two"):
        repeat(graphs, CAPTURE_AFTER + 1, name)
    repeat(graphs, 1, "one")
    repeat(graphs, CAPTURE_AFTER + 1, "three")
    assert len(graphs) == 2
    repeat(graphs, 1, "one")
    assert captures.tried == 3
    repeat(graphs, CAPTURE_AFTER + 1, "two")
    assert captures.tried == 4


def test_a_pool_that_took_too_much_is_given_back_with_all_its_captures(nano):
    """One capture less frees nothing: others may use its blocks."""
    captures = Captures(bytes_each=10)
    graphs = CudaGraphs(Engine(nano, max_slots=1)._decoder, captures.new_pool, max_bytes=25)
    for name in ("one", "two"):
        repeat(graphs, CAPTURE_AFTER + 1, name)
    assert (len(graphs), graphs.bytes, captures.pools) == (2, 20, 1)
    repeat(graphs, CAPTURE_AFTER + 1, "three")
    assert (len(graphs), graphs.bytes, captures.pools) == (0, 0, 2)
    repeat(graphs, CAPTURE_AFTER + 1, "three")
    assert (len(graphs), graphs.bytes) == (1, 10)


def test_a_capture_larger_than_all_may_be_runs_eagerly(nano):
    captures = Captures(bytes_each=10)
    graphs = CudaGraphs(Engine(nano, max_slots=1)._decoder, captures.new_pool, max_bytes=9)
    repeat(graphs, 3 * CAPTURE_AFTER)
    assert (len(graphs), captures.tried) == (0, 1)


def test_an_estimate_for_a_gpu_counts_the_captures():
    on_gpu = memory.estimate(NANO, "bf16", on_cpu=False)
    assert on_gpu.cuda_graphs == memory.CUDA_GRAPH_BYTES
    assert on_gpu.total > on_gpu.cuda_graphs + on_gpu.weights
    assert memory.estimate(NANO, "bf16", on_cpu=True).cuda_graphs == 0


def test_on_a_cpu_nothing_is_captured(nano):
    assert not can_capture(nano.model)
    assert Engine(nano, max_slots=1)._graphs is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_capture_follows_its_inputs():
    numbers = torch.zeros(4, device="cuda")
    captured = Capturer()(lambda: numbers * 2 + 1)
    numbers.fill_(3)
    assert captured().tolist() == [7.0] * 4
