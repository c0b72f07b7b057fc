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

_SMALLEST = 1e-30  # probability that has a logarithm


def tokens_of(
    text: str, scores: Sequence[TokenScore], parsed: ParsedObject
) -> list[tuple[str, TokenScore]]:
    """The tokens that say an object, each with its text, without separators and mask codes.

    `scores` are of the tokens of `text`, in order, and `parsed` is one of its objects.
    """
    start, stop = parsed.span
    found, begin = [], 0
    for score in scores:
        piece, is_inside = text[begin : score.end].strip(" ;"), begin < stop and score.end > start
        begin = score.end
        if is_inside and piece and not piece.startswith("<seg"):
            found.append((piece, score))
    return found


def spread(tokens: Sequence[tuple[str, TokenScore]], parsed: ParsedObject) -> float | None:
    """The sum over a box's edges of their spread as a share of the side that each moves; None
    where its four coordinates are not among the tokens."""
    edges = [each.location_spread for _, each in tokens if each.location_spread is not None]
    if len(edges) != 4:
        return None
    box, bins = parsed.box, LOCATIONS - 1
    height, width = (
        max(1.0, bins * side) for side in (box.y_max - box.y_min, box.x_max - box.x_min)
    )
    sides = (height, width, height, width)  # of y_min, x_min, y_max, x_max
    return sum(edge / side for edge, side in zip(edges, sides, strict=True))


def confidence(text: str, scores: Sequence[TokenScore], parsed: ParsedObject) -> float | None:
    """In [0, 1]; None where there are no scores of its tokens, as with beams. See `tokens_of`."""
    tokens = tokens_of(text, scores, parsed)
    doubt = spread(tokens, parsed)
    if doubt is None:
        return None
    logprob = sum(
        score.logprob
        if score.location_mass is None
        else math.log(max(score.location_mass, _SMALLEST))
        for _, score in tokens
    )
    return min(1.0, math.exp(logprob - doubt / 2))
