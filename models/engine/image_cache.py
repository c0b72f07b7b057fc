"""Image features that are kept for the next question about the same picture.

The longest unused go when the bytes are used up. This module does not know how features come about.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable

import torch
from PIL import Image

MOST_BYTES = 64_000_000


def fingerprint(image: Image.Image) -> bytes:
    """The same for two pictures of the same mode, size and pixels, and for no others."""
    content = hashlib.blake2b(image.tobytes(), digest_size=24)
    content.update(repr((image.mode, image.size)).encode())
    return content.digest()


class FeatureCache:
    """Tensors by key, at most `most_bytes` of them; `hits` and `misses` count what was asked."""

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, torch.Tensor] = OrderedDict()
        self.bytes = self.hits = self.misses = 0

    def find(self, key: Hashable) -> torch.Tensor | None:
        """What is kept under `key`, None where nothing is."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def clear(self) -> None:
        """Let go of all of them."""
        self._kept.clear()
        self.bytes = 0

    def keep(self, key: Hashable, found: torch.Tensor) -> None:
        """Keep a tensor in place of those unused for longest; not one larger than all may be."""
        if found.nbytes > self._most_bytes or key in self._kept:
            return
        self._kept[key] = found
        self.bytes += found.nbytes
        while self.bytes > self._most_bytes:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.nbytes
