"""Prefill of the sequences that join: those that wait together are prefilled together.

One batch at a time, a layer at a time, so that those that decode are served in between. A batch is
as large as its bytes allow: a small model fills a processor only with several sequences, a large
one does so with one, whose activations already take much memory. This module knows no events and
not how a token is chosen from logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from models.catalog.adapter import Adapter
from models.engine.image_cache import ImageFeatureCache
from models.engine.inputs import pixel_values
from models.engine.sequence import Sequence
from models.layers.decoder import Decoder
from models.layers.vision import VisionTower
from models.loading.loader import LoadedModel
from models.loading.precision import has_int8_layers

# Of the three wide rows per token that the decoder's MLP holds. Six captions by nano at 224 pixels
# take as much; a 3B takes it for one.
BATCH_BYTES = 16_000_000
# Decode steps for which a sequence waits for others to join with, where nobody reads tokens.
MAX_WAIT_STEPS = 4


class Prefill:
    """The sequences that have joined and have no token yet, and the batch that is under way."""

    def __init__(
        self,
        loaded: LoadedModel,
        decoder: Decoder,
        features: ImageFeatureCache,
        select_adapter: Callable[[Adapter | None], None],
    ):
        self._loaded, self._decoder = loaded, decoder
        self._vision = VisionTower(loaded.model)
        self._features = features
        self._select_adapter = select_adapter
        text: Any = loaded.model.config.text_config
        self._token_bytes = 3 * text.intermediate_size * loaded.dtype.itemsize
        # A sequence's result would depend on its neighbours.
        self._one_by_one = has_int8_layers(loaded.model)
        self._waiting: list[Sequence] = []
        self._alone: set[Sequence] = set()  # of those that wait: a batch with them has failed
        self._batch: list[Sequence] = []
        self._rows: tuple[Sequence, ...] = ()  # the batch as it began
        self._layers: Iterator[torch.Tensor | None] | None = None  # of the batch
        self._waited = 0  # decode steps

    @property
    def is_busy(self) -> bool:
        """Whether a sequence waits for its first token."""
        return bool(self._batch or self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Let a sequence join, whose `prefix` and `pictures` are known."""
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended. The rest of its batch goes on, if there is any.

        Its slot may be taken at once: whoever takes it is prefilled after that batch.
        """
        for sequences in (self._waiting, self._batch):
            if sequence in sequences:
                sequences.remove(sequence)
        self._alone.discard(sequence)
        if not self._batch:
            self._layers = None

    def should_run(self, decoding: list[Sequence]) -> bool:
        """Whether to prefill now, beside those that decode; asked once a decode step.

        Where nobody reads tokens as they come, sequences wait a few steps for a full batch.
        """
        if self._batch or not self._waiting:
            return bool(self._batch)
        is_read = any(each.request.is_streamed for each in (*self._waiting, *decoding))
        if is_read or not decoding or self._waited >= MAX_WAIT_STEPS or self._is_full():
            return True
        self._waited += 1
        return False

    @torch.inference_mode()
    def run(self, is_due: Callable[[], bool]) -> list[tuple[Sequence, torch.Tensor]]:
        """Prefill a batch; its sequences with the logits of their first tokens, (vocabulary,) each.

        It returns without any, to be called again, where others are due or a sequence has to stop,
        which is looked at after each layer. Where a batch of several fails, each is tried alone, so
        that a sequence fails alone; its error is put on it.
        """
        if self._layers is None:
            self._batch, self._waited = self._next_batch(), 0
            self._waiting = [each for each in self._waiting if each not in self._batch]
            self._rows = tuple(self._batch)
            self._layers = self._run_layers(self._rows)
        joined = self._batch
        try:
            self._select_adapter(joined[0].adapter)
            for logits in self._layers:
                if logits is not None:
                    return self._finish(logits)
                if is_due() or any(each.must_stop() for each in joined):
                    return []
        except Exception as error:  # raised where the sequence goes on
            self._batch, self._layers = [], None
            if len(joined) > 1:
                self._waiting[:0] = joined
                self._alone.update(joined)
            else:
                joined[0].failure = error
        return []

    def _next_batch(self) -> list[Sequence]:
        """Those that wait longest and fit: of one adapter, all padded to the longest of them."""
        first = self._waiting[0]
        batch = [first]
        for each in self._waiting[1:]:
            if each.adapter != first.adapter or not self._fits([*batch, each]):
                break
            batch.append(each)
        return batch

    def _is_full(self) -> bool:
        """Whether nothing is gained by waiting for one more like the last of the next batch."""
        batch = self._next_batch()
        return len(batch) < len(self._waiting) or not self._fits([*batch, batch[-1]])

    def _fits(self, batch: list[Sequence]) -> bool:
        """Whether these may be prefilled together."""
        if self._one_by_one or not self._alone.isdisjoint(batch):
            return len(batch) == 1
        longest = max(len(each.prefix) for each in batch)
        return len(batch) * longest * self._token_bytes <= BATCH_BYTES

    def _run_layers(self, batch: tuple[Sequence, ...]) -> Iterator[torch.Tensor | None]:
        """None between the layers, at last the logits of the first tokens, (batch, vocabulary)."""
        # 1. The pictures that were not asked about before, each once.
        features, unseen = {}, {}
        for each in batch:
            for picture, image in zip(each.pictures, each.request.images, strict=True):
                found = self._features.get(picture)  # (image tokens, width)
                if found is None:
                    unseen[picture] = image
                else:
                    features[picture] = found
        if unseen:
            pixels = [pixel_values(self._loaded, image) for image in unseen.values()]
            encoded = None
            for encoded in self._vision.encode(torch.cat(pixels)):
                if encoded is None:
                    yield None
            assert encoded is not None  # the features come last
            for picture, own in zip(unseen, encoded, strict=True):
                features[picture] = own.clone()  # so that each can be evicted alone
                self._features.put(picture, features[picture])
        # 2. The decoder.
        image_id = self._loaded.processor.image_token_id
        embedded = [
            self._decoder.embed(
                each.prefix, image_id, torch.cat([features[own] for own in each.pictures])
            )
            for each in batch
        ]
        yield from self._decoder.prefill(embedded, [each.slot for each in batch])

    def _finish(self, logits: torch.Tensor) -> list[tuple[Sequence, torch.Tensor]]:
        """End the batch; its sequences with their logits, those left out that ended meanwhile."""
        batch, self._batch, self._layers = self._batch, [], None
        self._alone.difference_update(batch)
        for each in batch:
            each.length = len(each.prefix)
        return [(each, own) for each, own in zip(self._rows, logits, strict=True) if each in batch]
