"""Image features, cached for the next question about the same picture.

The least recently used are evicted when the bytes are used up. This module encodes nothing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable

import torch
from PIL import Image

MAX_BYTES = 64_000_000


def fingerprint(image: Image.Image) -> bytes:
    """The same for two pictures of the same mode, size and pixels, and for no others."""
    content = hashlib.blake2b(image.tobytes(), digest_size=24)
    content.update(repr((image.mode, image.size)).encode())
    return content.digest()


class ImageFeatureCache:
    """Tensors by key, `max_bytes` of them at most; `hits` and `misses` count the calls of `get`."""

    def __init__(self, max_bytes: int = MAX_BYTES):
        self._max_bytes = max_bytes
        self._tensors: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
        self.bytes = self.hits = self.misses = 0

    def get(self, key: Hashable) -> torch.Tensor | None:
        """The tensor cached under `key`, None where there is none."""
        features = self._tensors.get(key)
        if features is None:
            self.misses += 1
            return None
        self.hits += 1
        self._tensors.move_to_end(key)
        return features

    def clear(self) -> None:
        """Evict all."""
        self._tensors.clear()
        self.bytes = 0

    def put(self, key: Hashable, features: torch.Tensor) -> None:
        """Cache a tensor, evicting the least recently used; one larger than `max_bytes` is not."""
        if features.nbytes > self._max_bytes or key in self._tensors:
            return
        self._tensors[key] = features
        self.bytes += features.nbytes
        while self.bytes > self._max_bytes:
            _, oldest = self._tensors.popitem(last=False)
            self.bytes -= oldest.nbytes
