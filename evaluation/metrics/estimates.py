"""Means with an interval: what one item scored is kept apart until here, so that items can be drawn
again, or grouped, afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

BOOTSTRAP_ROUNDS = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean or rate over `count` items with its 95 % bootstrap interval; NaN where count is 0."""

    value: float
    low: float
    high: float
    count: int


def bootstrap(
    items: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0
) -> Estimate:
    """`statistic` of float[N, …] `items` with the interval that resampling whole items gives.

    Draws that leave nothing to count, where it is NaN, have no part in the interval.
    """
    if len(items) == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    drawn = [
        statistic(items[rng.integers(len(items), size=len(items))]) for _ in range(BOOTSTRAP_ROUNDS)
    ]
    drawn = [each for each in drawn if not np.isnan(each)] or [float("nan")]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(float(statistic(items)), float(low), float(high), len(items))


def mean(values: Iterable[float]) -> Estimate:
    """The mean of one number per item, e.g. an accuracy from 0s and 1s."""
    return bootstrap(np.array(list(values), np.float64), lambda drawn: float(drawn.mean()))
