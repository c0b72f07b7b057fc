"""Items -> a batch that a PaliGemma learns from.

Only the suffix is learnt: labels of the picture, the prefix and the padding are -100. The prefix
mask comes from `token_type_ids`: 0 up to the newline, where all tokens see each other, 1 from the
suffix on, which is causal. Padding stands on the right and is seen by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import PaliGemmaProcessor

from data.items import Item, check

IGNORED = -100


class Items(Dataset):
    """Items, or rows of them, for a DataLoader, by number."""

    def __init__(self, items: Sequence):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> object:
        return self.items[index]


@dataclass(frozen=True)
class Collator:
    """Makes batches; `dtype` is that of the pictures.

    `labels` int64[B, K] and `logits_to_keep` = K belong to the last K places of `input_ids`
    int64[B, T]: from the last token that all prefixes have in common on. So the head, the largest
    matrix, computes scores only where something is learnt.
    """

    processor: PaliGemmaProcessor
    dtype: torch.dtype = torch.float32

    def __call__(self, items: Sequence[Item]) -> dict[str, torch.Tensor | int]:
        for item in items:
            check(item)
        batch = self.processor(
            images=[[item.open()] for item in items],
            text=[f"<image>{item.prefix}" for item in items],
            suffix=[item.suffix for item in items],
            padding="longest",
            padding_side="right",
            return_tensors="pt",
        )
        labels = batch["labels"].masked_fill(batch["attention_mask"] == 0, IGNORED)
        first = int((labels != IGNORED).any(0).nonzero()[0])
        kept = labels.shape[1] - first + 1
        return {
            "input_ids": batch["input_ids"],
            "attention_mask": batch["attention_mask"],
            "token_type_ids": batch["token_type_ids"],
            "pixel_values": batch["pixel_values"].to(self.dtype),
            "labels": labels[:, -kept:],
            "logits_to_keep": kept,
        }


def suffix_loss(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean cross-entropy in nats of the suffix tokens, of all batches of a step together.

    `outputs.logits` is float[B, K, vocabulary], `labels` int64[B, K]; each place is scored on the
    next one's label. `num_items_in_batch` is how many labels the step has.
    """
    scores, targets = outputs.logits[:, :-1], labels[:, 1:]
    learnt = targets != IGNORED
    total = torch.nn.functional.cross_entropy(
        scores[learnt].float(), targets[learnt], reduction="sum"
    )
    return total / (learnt.sum() if num_items_in_batch is None else num_items_in_batch)
