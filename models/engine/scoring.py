"""What the model thought of the token that was chosen, from the logits it was chosen from.

Temperature, top-k and top-p do not change it. This module does not know what a text means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from models.prompts.tokens import LOCATIONS
from models.schema import TokenScore

if TYPE_CHECKING:
    from transformers import PaliGemmaProcessor


class TokenScorer:
    """Scores tokens of one tokenizer, whose `<loc>` tokens stand in a row."""

    def __init__(self, processor: PaliGemmaProcessor):
        tokenizer = processor.tokenizer
        ends = [tokenizer.convert_tokens_to_ids(f"<loc{each:04d}>") for each in (0, LOCATIONS - 1)]
        is_whole = ends[1] - ends[0] == LOCATIONS - 1
        self._locations = range(ends[0], ends[1] + 1) if is_whole else range(0)

    def score(self, logits: torch.Tensor, token_id: int) -> TokenScore:
        """The score of `token_id` by logits (vocabulary,) in any dtype; its `end` is still 0."""
        logits = logits.float()
        total = logits.logsumexp(-1)
        if token_id not in self._locations:
            return TokenScore(0, float(logits[token_id] - total))
        locations = logits[self._locations.start : self._locations.stop]
        own = locations.logsumexp(-1)
        share = (locations - own).exp()  # (LOCATIONS,)
        bins = torch.arange(LOCATIONS, device=logits.device, dtype=share.dtype)
        mean = (share * bins).sum()
        spread = (share * (bins - mean).square()).sum().sqrt()
        found = torch.stack([logits[token_id] - total, (own - total).exp(), spread]).tolist()
        return TokenScore(0, *found)
