"""A decode step captured as a CUDA graph once per shape, and replayed: one launch for all kernels.

A captured step has fixed shapes: slots that take no part are computed too, their keys go to the
cache column that is no sequence's, and a few more tokens are attended to than there are. What
cannot be captured runs eagerly, with one warning. All captures share one memory pool, are bounded
in number and bytes, and the least recently used is released first.

Sharing a pool is safe here because graphs are replayed one at a time by the thread that owns the
model, and the logits of a replay are copied before the next one.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PaliGemmaForConditionalGeneration

from models.catalog.memory import CUDA_GRAPH_BYTES
from models.layers.decoder import Decoder
from models.loading.device import on_zero_gpu
from models.loading.precision import has_int8_layers

logger = logging.getLogger(__name__)

# Eager steps of a shape: they warm its kernels up, and a rare one is not worth it.
CAPTURE_AFTER = 4
TOKENS_PER_SHAPE = 256  # the attended length of a shape is a multiple of this
MAX_GRAPHS = 24

Step = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Shape:
    """What a capture is for: the adapter (None for the base), slots, and attended tokens."""

    adapter: str | None
    slots: int
    tokens: int


class Capturer:
    """Captures steps on the current CUDA device into one memory pool.

    `bytes` is what the pool took. It does not shrink when single captures are released, as others
    may use the same blocks; all goes back when the capturer and its captures are released.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self.bytes = 0

    def __call__(self, step: Step) -> Step:
        """The kernels that `step` launches; its inputs and its result stay where they are.

        Other threads may use the GPU meanwhile. RuntimeError where it cannot be captured.
        """
        before = torch.cuda.memory_reserved()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return result

        self.bytes += max(torch.cuda.memory_reserved() - before, 0)
        return replay


def can_capture(model: PaliGemmaForConditionalGeneration) -> bool:
    """Whether a model's steps can be captured: on one GPU, and not in 8 bits, which syncs.

    Not on ZeroGPU, where a worker's GPU goes back after each answer.
    """
    devices = {parameter.device for parameter in model.parameters()}
    is_one_gpu = len(devices) == 1 and devices.pop().type == "cuda"
    return is_one_gpu and not has_int8_layers(model) and not on_zero_gpu()


class CudaGraphs:
    """`Decoder.step` by captures; a shape that has not come up often enough yet runs eagerly."""

    def __init__(
        self,
        decoder: Decoder,
        make_capturer: Callable[[], Capturer] = Capturer,
        max_graphs: int = MAX_GRAPHS,
        max_bytes: int = CUDA_GRAPH_BYTES,
    ):
        self._decoder = decoder
        self._make_capturer = make_capturer
        self._capture = make_capturer()
        self._max_graphs, self._max_bytes = max_graphs, max_bytes
        self._inputs: dict[int, torch.Tensor] = {}  # by slots: int64[ids, slots, lengths; slots]
        self._graphs: OrderedDict[Shape, Step] = OrderedDict()  # least recently used first
        self._seen: Counter[Shape] = Counter()
        self._eager: set[Shape] = set()  # those that could not be captured
        self._has_warned = False

    @property
    def bytes(self) -> int:
        """What the captures hold beside the model."""
        return self._capture.bytes

    def __len__(self) -> int:
        return len(self._graphs)

    def step(
        self,
        adapter: str | None,
        ids: Sequence[int],
        slots: Sequence[int],
        lengths: Sequence[int],
    ) -> torch.Tensor:
        """As `Decoder.step`, with the adapter that is selected: logits (n, vocabulary)."""
        cache = self._decoder.cache
        # 1. The shape: slots by powers of two, tokens by TOKENS_PER_SHAPE.
        high = min(1 << (max(slots)).bit_length(), cache.slots)
        longest = -(-(max(lengths) + 1) // TOKENS_PER_SHAPE) * TOKENS_PER_SHAPE
        shape = Shape(adapter, high, min(longest, cache.length))
        # 2. The inputs, where the capture reads them.
        numbers = [[0] * high, list(range(high)), [cache.length - 1] * high]
        for token_id, slot, length in zip(ids, slots, lengths, strict=True):
            numbers[0][slot], numbers[2][slot] = token_id, length
        inputs = self._inputs.get(high)
        if inputs is None:
            inputs = torch.empty(3, high, dtype=torch.int64, device=self._decoder.device)
            self._inputs[high] = inputs
        inputs.copy_(torch.tensor(numbers))
        token_ids, taken, written = inputs

        # 3. The step.
        def eager() -> torch.Tensor:
            return self._decoder.step_tensors(token_ids, taken, written, shape.slots, shape.tokens)

        logits = self._replay_of(shape, eager)()  # (slots of the shape, vocabulary)
        return logits[list(slots)]

    def forget(self, adapter: str | None) -> None:
        """Release what was captured with an adapter that was evicted or loaded anew."""
        for shape in [shape for shape in self._seen if shape.adapter == adapter]:
            self._graphs.pop(shape, None)
            self._eager.discard(shape)
            del self._seen[shape]

    def _replay_of(self, shape: Shape, eager: Step) -> Step:
        """How a step of a shape runs now: replayed, captured first where it is time, or eagerly."""
        graph = self._graphs.get(shape)
        if graph is not None:
            self._graphs.move_to_end(shape)
            return graph
        self._seen[shape] += 1
        if shape in self._eager or self._seen[shape] <= CAPTURE_AFTER:
            return eager
        try:
            graph = self._capture(eager)
        except RuntimeError as error:
            self._eager.add(shape)
            if not self._has_warned:
                self._has_warned = True
                logger.warning("A step could not be captured and runs eagerly: %s", error)
            return eager
        self._graphs[shape] = graph
        if len(self._graphs) > self._max_graphs:
            released, _ = self._graphs.popitem(last=False)
            self._seen[released] = 0
        if self.bytes > self._max_bytes:
            self._release_all(shape)
        return graph

    def _release_all(self, last: Shape) -> None:
        """Give the pool back; `last`, where it took all of that alone, runs eagerly from now on."""
        if set(self._graphs) == {last}:
            self._eager.add(last)
        self._graphs.clear()
        self._seen.clear()
        self._capture = self._make_capturer()
