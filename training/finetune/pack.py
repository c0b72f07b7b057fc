"""Several questions about one picture as a row that looks at it once.

The picture's tokens see each other and none of the questions, every question sees the picture and
itself, and its suffix is causal: so a row of ten short questions costs little more than one of them
alone. The model asked has its picture's tokens see the question, as rows of a single question have
here. nano was trained with both; checkpoints that were not should be fine-tuned without packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PaliGemmaProcessor

from data.items import Item, by_picture, check
from training.finetune.collate import IGNORED

Row = tuple[Item, ...]  # of one picture

_PICTURE, _PADDING = 0, -1  # numbers of what is no question


def in_rows(items: Sequence[Item], most: int) -> list[Row]:
    """Items of the same file together, at most `most` a row, in the order of the first of each."""
    return [
        tuple(items[number] for number in numbers[start : start + most])
        for numbers in by_picture(items)
        for start in range(0, len(numbers), most)
    ]


@dataclass(frozen=True)
class Packer:
    """Makes batches of rows; `dtype` is that of the pictures.

    `input_ids`, `position_ids` int64[B, T] and `labels` int64[B, K], `logits_to_keep` = K as
    `training.finetune.collate.Collator` has them; every question stands where it would stand alone.
    `attention_mask` float[B, 1, T, T] is 0 at […, i, j] where place i sees place j, and the least
    number elsewhere.
    """

    processor: PaliGemmaProcessor
    dtype: torch.dtype = torch.float32

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor | int]:
        written = [[self._tokens(item) for item in row] for row in rows]
        length = max(sum(len(p) + len(s) for p, s in row) for row in written)
        picture = self.processor.image_seq_length
        shape = (len(rows), picture + length)
        ids = torch.full(shape, self.processor.tokenizer.pad_token_id)
        ids[:, :picture] = self.processor.image_token_id
        positions = torch.arange(1, shape[1] + 1).repeat(len(rows), 1)  # PaliGemma counts from 1
        labels = torch.full(shape, IGNORED)
        numbers = torch.full(shape, _PADDING)
        numbers[:, :picture] = _PICTURE
        is_prefix = torch.zeros(shape, dtype=torch.bool)
        is_prefix[:, :picture] = True
        for row, questions in enumerate(written):
            start = picture
            for number, (prefix, suffix) in enumerate(questions, 1):
                middle, end = start + len(prefix), start + len(prefix) + len(suffix)
                ids[row, start:end] = torch.tensor(prefix + suffix)
                positions[row, start:end] = torch.arange(end - start) + picture + 1
                labels[row, middle:end] = torch.tensor(suffix)
                numbers[row, start:end] = number
                is_prefix[row, start:middle] = True
                start = end
        first = int((labels != IGNORED).any(0).nonzero()[0])
        kept = shape[1] - first + 1
        pictures = [row[0].open() for row in rows]
        pixels = self.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
        return {
            "input_ids": ids,
            "position_ids": positions,
            "attention_mask": self._mask(numbers, is_prefix),
            "pixel_values": pixels.to(self.dtype),
            "labels": labels[:, -kept:],
            "logits_to_keep": kept,
        }

    def _tokens(self, item: Item) -> tuple[list[int], list[int]]:
        """Ids from BOS to the newline, and of the suffix to EOS, as the processor has them."""
        check(item)
        tokenizer = self.processor.tokenizer
        parts = (f"{tokenizer.bos_token}{item.prefix}\n", f"{item.suffix}{tokenizer.eos_token}")
        prefix, suffix = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in parts)
        return prefix, suffix

    def _mask(self, numbers: torch.Tensor, is_prefix: torch.Tensor) -> torch.Tensor:
        seeing, seen = numbers[:, :, None], numbers[:, None, :]
        places = torch.arange(numbers.shape[1])
        earlier = places[None, :, None] >= places[None, None, :]
        allowed = (seeing == seen) & (is_prefix[:, None, :] | earlier)
        allowed |= (seen == _PICTURE) & (seeing > _PICTURE)
        # A question that has the picture to itself is seen by it, as when it is asked.
        alone = (numbers.amax(1) == 1)[:, None, None]
        allowed |= alone & (seeing == _PICTURE) & (seen == 1) & is_prefix[:, None, :]
        mask = torch.zeros(allowed.shape, dtype=self.dtype)
        return mask.masked_fill(~allowed, torch.finfo(self.dtype).min)[:, None]
