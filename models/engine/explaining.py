"""Why an answer that was given says what it says: its tokens are read again, a few at a time.

Each gets its probability, what else could have stood there, and a heat map: how much the last
layers attended to each place of the picture where the token was predicted. `docs/explain.md` says
how that was chosen, and what it does not prove. This module knows no queue and no page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from models.layers.decoder import Decoder
from models.loading.loader import LoadedModel
from models.schema import TokenExplanation, UserError

LAYERS = 3  # the last ones, whose attention is shown
OTHERS = 5  # likeliest tokens
AT_ONCE = 32  # tokens, whose scores are held together


def check_ids(loaded: LoadedModel, ids: Sequence[int]) -> None:
    """UserError where an answer has no tokens or such that the model does not have."""
    embeddings: Any = loaded.model.get_input_embeddings()
    vocabulary = embeddings.num_embeddings
    if not ids or not all(0 <= each < vocabulary for each in ids):
        raise UserError(
            f"This is no answer of {loaded.checkpoint.name}.", "Press Run and explain that answer."
        )


def read(
    loaded: LoadedModel,
    decoder: Decoder,
    prefix: torch.Tensor,
    ids: Sequence[int],
    slot: int,
    start: int,
) -> list[TokenExplanation]:
    """The tokens of an answer from `start` on, AT_ONCE of them, after those before them were read.

    `prefix` int64[tokens] is in the slot. The token before each is read again, which predicts it.
    """
    side = math.isqrt(loaded.processor.image_seq_length)
    image_tokens = int((prefix == loaded.processor.image_token_id).sum())
    fed = [int(prefix[-1]), *ids[:-1]][start : start + AT_ONCE]
    tokens = torch.tensor(fed, device=decoder.device)
    at = len(prefix) - 1 + start
    logits, attended = decoder.read(tokens, slot, at, len(prefix), image_tokens, LAYERS)
    shares = torch.softmax(logits.float(), -1)  # (tokens, vocabulary)
    likeliest = shares.topk(min(OTHERS, shares.shape[-1]))
    heats = attended.view(len(fed), -1, side, side).numpy()
    found = []
    for row, token_id in enumerate(ids[start : start + AT_ONCE]):
        others = zip(likeliest.indices[row].tolist(), likeliest.values[row].tolist(), strict=True)
        found.append(
            TokenExplanation(
                piece=_text(loaded, token_id),
                probability=float(shares[row, token_id]),
                others=tuple((_text(loaded, other), share) for other, share in others),
                heat=heats[row],
            )
        )
    return found


def _text(loaded: LoadedModel, token_id: int) -> str:
    """A token as text; an end token by its name."""
    token = loaded.processor.tokenizer.convert_ids_to_tokens(token_id)
    return str(token).replace("▁", " ")
