"""How well a heat map points at an object, and how well the model's own belief agrees with it.

- *Pointing game* (Zhang et al. 2016): whether the middle of the hottest patch lies on the object.
- *IoU*: of the object's mask and the patches that are at least half as hot as the hottest.
- *Deletion* and *insertion* (Petsiuk et al. 2018): the tokens' probability while the hottest
  patches are taken away first, or put first on a plain picture, as the area under its curve;
  0 to 1, low is good for deletion and high for insertion.

This module knows pictures and masks, but no method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from evaluation.explain import forced_pass
from evaluation.explain.forced_pass import Asked
from models.loading.loader import LoadedModel

HOT = 0.5  # of the hottest patch's value above the coolest, from which a patch counts
SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # of the patches, hottest first


@dataclass(frozen=True)
class Verdict:
    """One heat map about one object; NaN where a measure was not asked for."""

    points_at_mask: float
    points_at_box: float
    iou: float
    deletion: float = float("nan")
    insertion: float = float("nan")


def judge(heat: np.ndarray, mask: np.ndarray) -> Verdict:
    """float[image_tokens] of a square of patches against bool[height, width] of the picture."""
    side = round(len(heat) ** 0.5)
    grid = heat.reshape(side, side)
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    y, x = (
        int((place + 0.5) * length / side)
        for place, length in zip((row, column), mask.shape, strict=True)
    )
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    in_box = rows[0] <= y <= rows[-1] and columns[0] <= x <= columns[-1]
    share = _patch_shares(mask, side)
    span = grid.max() - grid.min()
    hot = (grid - grid.min() >= HOT * span) if span > 0 else np.ones_like(grid, bool)
    both, either = (share * hot).sum(), share.sum() + (hot * (1 - share)).sum()
    return Verdict(float(mask[y, x]), float(in_box), float(both / either))


def curves(
    loaded: LoadedModel, question: Asked, tokens: tuple[int, ...], heat: np.ndarray
) -> tuple[float, float]:
    """Areas under the deletion and the insertion curve of some tokens of the answer.

    What is taken away gets the picture's mean colour. The probability is the geometric mean of the
    tokens'.
    """
    side = round(len(heat) ** 0.5)
    pixels = question.pixels
    plain = pixels.mean((2, 3), keepdim=True).expand_as(pixels)
    rank = np.empty(len(heat), int)
    rank[np.argsort(-heat, kind="stable")] = np.arange(len(heat))
    pictures = []
    for share in SHARES:
        hot = torch.from_numpy((rank < round(share * len(heat))).reshape(1, 1, side, side))
        hot = hot.to(pixels).repeat_interleave(pixels.shape[2] // side, 2)
        hot = hot.repeat_interleave(pixels.shape[3] // side, 3)
        pictures += [pixels + (plain - pixels) * hot, plain + (pixels - plain) * hot]
    with torch.no_grad():
        features = forced_pass.encode(loaded, torch.cat(pictures))
        logprobs = forced_pass.answer_logprobs(loaded, features, question)[:, list(tokens)]
    likely = logprobs.mean(1).exp().double().cpu().numpy()
    return float(np.trapezoid(likely[0::2], SHARES)), float(np.trapezoid(likely[1::2], SHARES))


def _patch_shares(mask: np.ndarray, side: int) -> np.ndarray:
    """How much of each patch an object fills, float[side, side] in [0, 1]."""
    height, width = mask.shape
    rows = np.linspace(0, height, side + 1).round().astype(int)[:-1]
    columns = np.linspace(0, width, side + 1).round().astype(int)[:-1]
    sums = np.add.reduceat(np.add.reduceat(mask.astype(float), rows, 0), columns, 1)
    ones = np.add.reduceat(np.add.reduceat(np.ones(mask.shape), rows, 0), columns, 1)
    return sums / ones
