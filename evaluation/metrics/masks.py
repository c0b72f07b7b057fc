"""How well a given mask covers a true one."""

from __future__ import annotations

import numpy as np


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool[H, W] masks; 0 where both are empty."""
    either = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / either) if either else 0.0
