"""How many sequences an engine answers side by side, and how long each may become."""

from __future__ import annotations

from dataclasses import dataclass

from models.catalog.checkpoints import LONGEST_TEXT
from models.limits import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS
from models.loading.device import available_bytes
from models.loading.loader import LoadedModel

MAX_SLOTS = 16
# On a CPU, slots beyond so many have to fit into so many bytes: they make a step of a small model
# little longer, but a large one has to read what all of them hold.
MANY_SLOTS, MANY_SLOTS_BYTES = 8, 64_000_000


@dataclass(frozen=True)
class SlotPlan:
    """A KV cache of `count` slots of `length` tokens, for prompts of up to `images` pictures."""

    count: int
    length: int
    images: int

    @classmethod
    def of(cls, loaded: LoadedModel, count: int | None = None) -> SlotPlan:
        """For a model on its device; `count` None is as many as its free memory allows."""
        images = images_that_fit(loaded)
        length = slot_length(loaded, images)
        return cls(slots_that_fit(loaded, length) if count is None else count, length, images)


def slot_length(loaded: LoadedModel, images: int) -> int:
    """Tokens of the longest sequence with so many pictures in its prompt."""
    return loaded.processor.image_seq_length * images + MAX_PROMPT_TOKENS + MAX_NEW_TOKENS


def images_that_fit(loaded: LoadedModel) -> int:
    """Pictures in one prompt that slots are made for, 1 to what the checkpoint allows.

    On a CPU a slot takes only what is written to it. On a GPU there shall be no fewer slots for the
    sake of prompts that are rare: MANY_SLOTS have to be left.
    """
    most = loaded.checkpoint.max_images
    if loaded.device.type == "cpu":
        return most
    fitting = (
        images
        for images in range(most, 1, -1)
        if slots_that_fit(loaded, slot_length(loaded, images)) >= MANY_SLOTS
    )
    return next(fitting, 1)


def slots_that_fit(loaded: LoadedModel, length: int) -> int:
    """Slots of the cache for which half of the memory that is left suffices, 1 to MAX_SLOTS.

    On a GPU a slot takes all of its `length` at once, on a CPU what an answer is likely to need.
    """
    values = loaded.checkpoint.shape.text.cache_values
    is_lazy = loaded.device.type == "cpu"
    tokens = loaded.processor.image_seq_length + LONGEST_TEXT if is_lazy else length
    slot_bytes = values * tokens * loaded.dtype.itemsize
    most = MAX_SLOTS
    if is_lazy:
        most = max(MANY_SLOTS, min(MAX_SLOTS, MANY_SLOTS_BYTES // slot_bytes))
    return max(1, min(most, available_bytes(loaded.device) // 2 // slot_bytes))
