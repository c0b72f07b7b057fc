"""A step on a GPU, recorded once and replayed: the launches of its kernels become one.

What is recorded has fixed shapes, so rows that do not take part are computed too and their keys go
to the column of the cache that is no row's, and a few more tokens are looked at than there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from transformers import PaliGemmaForConditionalGeneration

from models.layers.decoder import Decoder
from models.loading.precision import has_int8_layers

RECORD_AFTER = 4  # steps of a kind: they warm its kernels up, and a rare kind is not worth it
TOKENS = 256  # what is looked at grows by so many

Key = tuple[str | None, int, int]  # the adapter, rows, tokens that are looked at
Work = Callable[[], torch.Tensor]


def can_replay(model: PaliGemmaForConditionalGeneration) -> bool:
    """Whether a model's steps can be recorded: on one GPU, and not in 8 bits, which asks it back.

    On ZeroGPU this is asked where the GPU is.
    """
    devices = {parameter.device for parameter in model.parameters()}
    return len(devices) == 1 and devices.pop().type == "cuda" and not has_int8_layers(model)


def record(work: Work) -> Work:
    """The kernels that `work` launches, to be launched again by calling what is returned.

    Inputs and the result stay where they were. Other threads may use the GPU meanwhile.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()

    def again() -> torch.Tensor:
        graph.replay()
        return result

    return again


class Replay:
    """`Decoder.step` by recordings; what has not come up often enough yet runs as it is."""

    def __init__(self, decoder: Decoder, record: Callable[[Work], Work] = record):
        self._decoder, self._record = decoder, record
        self._inputs: dict[int, torch.Tensor] = {}  # by rows: int64[ids, places, lengths; rows]
        self._recorded: dict[Key, Work] = {}
        self._times: Counter[Key] = Counter()

    def step(
        self,
        adapter: str | None,
        ids: Sequence[int],
        rows: Sequence[int],
        lengths: Sequence[int],
    ) -> torch.Tensor:
        """As `Decoder.step`, with the adapter that is selected."""
        cache = self._decoder.cache
        # 1. The shape: rows by powers of two, tokens by TOKENS.
        high = min(1 << (max(rows)).bit_length(), cache.slots)
        longest = min(-(-(max(lengths) + 1) // TOKENS) * TOKENS, cache.length)
        key = (adapter, high, longest)
        # 2. The inputs, where the recording reads them.
        numbers = [[0] * high, list(range(high)), [cache.length - 1] * high]
        for token_id, row, length in zip(ids, rows, lengths, strict=True):
            numbers[0][row], numbers[2][row] = token_id, length
        inputs = self._inputs.get(high)
        if inputs is None:
            inputs = torch.empty(3, high, dtype=torch.int64, device=self._decoder.device)
            self._inputs[high] = inputs
        inputs.copy_(torch.tensor(numbers))

        # 3. The step.
        def work() -> torch.Tensor:
            return self._decoder.step_tensors(*inputs, high, longest)

        self._times[key] += 1
        if key not in self._recorded and self._times[key] > RECORD_AFTER:
            self._recorded[key] = self._record(work)
        logits = self._recorded.get(key, work)()  # (high, vocabulary)
        return logits[list(rows)]

    def forget(self, adapter: str | None) -> None:
        """Let go of what was recorded with an adapter, whose weights have been loaded anew."""
        for key in [key for key in self._recorded if key[0] == adapter]:
            del self._recorded[key], self._times[key]
