"""How sure the model was of an object, from the scores of the tokens that say it.

The product of three numbers in [0, 1]:
- the probability of the label's tokens;
- the probability that its four coordinates are `<loc>` tokens at all;
- exp(-s / 2), s being the sum over its edges of the spread of the edge's `<loc>` token, as a share
  of the box's side. An edge that could as well be elsewhere makes a box doubtful, the more the
  smaller the box is.
It was chosen by average precision on scenes of nano's world; `docs/explain.md` has the figures of
this and other formulas. This module knows neither the tokenizer nor a model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.prompts.tokens import LOCATIONS, ParsedObject
from models.schema import TokenScore


def confidence(text: str, scores: Sequence[TokenScore], parsed: ParsedObject) -> float | None:
    """In [0, 1]; None where there are no scores of its tokens, as with beams.

    `scores` are of the tokens of `text`, in order, and `parsed` is one of its objects.
    """
    start, stop = parsed.span
    spreads: list[float] = []
    logprob = 0.0
    begin = 0
    for score in scores:
        piece, inside = text[begin : score.end].strip(" ;"), begin < stop and score.end > start
        begin = score.end
        if not inside or not piece or piece.startswith("<seg"):
            continue
        if score.location_mass is None or score.location_spread is None:
            logprob += score.logprob
        else:
            logprob += math.log(max(score.location_mass, 1e-30))
            spreads.append(score.location_spread)
    if len(spreads) != 4:
        return None
    height, width = (
        max(1.0, (LOCATIONS - 1) * side)
        for side in (
            parsed.box.y_max - parsed.box.y_min,
            parsed.box.x_max - parsed.box.x_min,
        )
    )
    sides = (height, width, height, width)  # of y_min, x_min, y_max, x_max
    doubt = sum(spread / side for spread, side in zip(spreads, sides, strict=True))
    return min(1.0, math.exp(logprob - doubt / 2))
