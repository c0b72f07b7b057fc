"""Dense targets: what stands in each patch, which teaches the vision tower to see in minutes.

Learning to see from captions alone takes very long, so the tower is first taught patch by patch:
which object, where its box ends, which cells of the patch it fills, which mask codes and letters.
The heads read the projector's output and share the language model's token embeddings, so that an
image feature already means the word for what it shows when the language model first meets it. They
are no part of the model, and are kept beside it for training that goes on.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.masks.codec import GRID as CODE_GRID
from training.nano.model import PATCH, WIDTH
from training.nano.scenes.scene import GROUNDS, LETTERS, Scene

CELLS = 4  # a patch is CELLS × CELLS cells in the occupancy target
EDGE_BINS = 128
MIN_COVER = 0.12
MOST_COUNTED = 7  # as many objects or more are one class


def targets(scene: Scene, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Per patch in raster order (P of them); `codes` int64[objects, 16] are the objects' masks.

    `noun` int64[P] 0 = none, else 1 + object number; `weight` float32[P]; `edges` float32[P, 4]
    the box of that object, yxyx as fractions; `cells` float32[P, 16] its pixels in the patch;
    `codes` int64[P, 4] the mask code at the middle of each quarter of the patch; `center`
    float32[P] 1 where an object's center lies; `letters` int64[P, 2] left and right half,
    0 = none; `background` int64[1]; `count` int64[1], MOST_COUNTED at most.
    """
    size = scene.image.width
    side = size // PATCH
    # A last row stands for nothing, so that a scene without objects has one.
    masks = np.stack([*(o.mask for o in scene.objects), np.zeros((size, size), bool)])
    cells = masks.reshape(len(masks), side, CELLS, PATCH // CELLS, side, CELLS, PATCH // CELLS)
    cells = cells.mean((3, 6), dtype=np.float32).transpose(0, 1, 3, 2, 4)  # (objects, y, x, cy, cx)
    cells = cells.reshape(len(masks), side * side, CELLS * CELLS)
    cover = cells.mean(2)  # (objects, P)
    owner = cover.argmax(0)
    shown = cover.max(0) >= MIN_COVER
    index = np.arange(side * side)
    numbers = np.array([*(1 + o.noun.index for o in scene.objects), 0])
    boxes = np.array([*(o.box_xyxy_px for o in scene.objects), (0, 0, size, size)], np.float32)
    boxes = boxes[:, [1, 0, 3, 2]] / np.float32(size)
    codes = np.pad(codes, ((0, 1), (0, 0)))
    patches_of = np.bincount(owner[shown], minlength=len(masks))
    center = np.zeros(side * side, np.float32)
    for item in scene.objects:
        x, y = (int(v) // PATCH for v in item.center)
        center[y * side + x] = 1
    return {
        "noun": np.where(shown, numbers[owner], 0),
        "weight": np.where(shown, 3.0 / np.maximum(patches_of[owner], 1) ** 0.5, 0.15).astype(
            np.float32
        ),
        "edges": boxes[owner],
        "cells": (cells[owner, index] > 0.5).astype(np.float32),
        "codes": _codes(codes[owner], boxes[owner], side),
        "center": center,
        "letters": _letters(scene, side),
        "background": np.array([GROUNDS.index(scene.background)]),
        "count": np.array([min(len(scene.objects), MOST_COUNTED)]),
    }


def _codes(codes: np.ndarray, boxes: np.ndarray, side: int) -> np.ndarray:
    """int64[P, 4] from codes int64[P, 16] and yxyx boxes float32[P, 4] of each patch's object."""
    corner = np.stack(np.divmod(np.arange(side * side), side), -1)  # (P, yx)
    inside = np.array([(y, x) for y in (0.25, 0.75) for x in (0.25, 0.75)])
    points = (corner[:, None] + inside) / side  # (P, 4, yx)
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    cell = ((points - low) / (high - low) * CODE_GRID).astype(np.int64).clip(0, CODE_GRID - 1)
    return np.take_along_axis(codes, cell[..., 0] * CODE_GRID + cell[..., 1], 1)


def _letters(scene: Scene, side: int) -> np.ndarray:
    """Which letter covers the middle of each half patch."""
    found = np.zeros((side, side, 2), np.int64)
    if scene.print is None:
        return found.reshape(-1, 2)
    middle = (np.arange(side) + 0.5) * PATCH
    halves = (np.arange(2 * side) + 0.5) * PATCH / 2
    for char, left, top, right, bottom in scene.print.placed():
        rows = np.flatnonzero((middle > top - PATCH / 4) & (middle < bottom + PATCH / 4))
        for half in np.flatnonzero((halves >= left) & (halves < right)):
            found[rows, half // 2, half % 2] = 1 + LETTERS.index(char)
    return found.reshape(-1, 2)


class Heads(nn.Module):
    """Reads patches: (B, P, WIDTH) image features -> the logits of every target."""

    def __init__(
        self,
        name_pieces: list[list[int]],
        letters: list[int],
        colours: list[int],
        locations: list[int],
        codes: list[int],
    ):
        """`name_pieces` are the token ids of each object's name; the rest one id per class."""
        super().__init__()
        self.name_pieces, self.letters, self.colours = name_pieces, letters, colours
        self.codes = codes
        self.locations = locations[:: len(locations) // EDGE_BINS]
        self.role = nn.ParameterDict(
            {
                key: nn.Parameter(torch.randn(count, WIDTH, WIDTH) * 0.7 * WIDTH**-0.5)
                for key, count in (("edges", 4), ("codes", 4), ("letters", 2), ("background", 1))
            }
        )
        self.none = nn.Linear(WIDTH, 1)
        self.no_letter = nn.Linear(WIDTH, 2)
        self.cells = nn.Linear(WIDTH, CELLS * CELLS)
        self.center = nn.Linear(WIDTH, 1)
        self.count = nn.Linear(WIDTH, MOST_COUNTED + 1)
        self.scale = nn.Parameter(torch.full((4,), 3.0))

    def forward(self, features: torch.Tensor, table: torch.Tensor) -> dict[str, torch.Tensor]:
        """`table` float[V, WIDTH] is the token embedding."""
        plain = functional.rms_norm(features, (WIDTH,))
        words = torch.stack(
            [table[pieces].mean(0) * len(pieces) ** 0.5 for pieces in self.name_pieces]
        )
        nouns = plain @ words.T * self.scale[0]
        seen = torch.einsum("bpc,hcd->bphd", plain, self.role["letters"])
        letters = seen @ table[self.letters].T * self.scale[1]
        edges = torch.einsum("bpc,ecd->bped", plain, self.role["edges"])
        drawn = torch.einsum("bpc,qcd->bpqd", plain, self.role["codes"])
        ground = functional.rms_norm(plain.mean(1), (WIDTH,)) @ self.role["background"][0]
        return {
            "noun": torch.cat([self.none(plain), nouns], -1),  # (B, P, 1 + nouns)
            "edges": edges @ table[self.locations].T * self.scale[2],  # (B, P, 4, EDGE_BINS)
            "letters": torch.cat([self.no_letter(plain)[..., None], letters], -1),  # (B, P, 2, 63)
            "cells": self.cells(plain),
            "codes": drawn @ table[self.codes].T * self.scale[3],  # (B, P, 4, 128)
            "center": self.center(plain)[..., 0],
            "background": ground @ table[self.colours].T * 3,
            "count": self.count(plain.mean(1)),
        }


def loss(
    logits: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], bells: torch.Tensor
) -> tuple[torch.Tensor, dict]:
    """The weighted sum of all targets' losses, and what to log; `bells` are of `code_bells`."""
    weight = wanted["weight"]
    total = weight.sum()
    shown = wanted["noun"] > 0
    part = {}
    noun = functional.cross_entropy(
        logits["noun"].float().flatten(0, 1), wanted["noun"].flatten(), reduction="none"
    )
    part["noun"] = (noun * weight.flatten()).sum() / total
    bins = torch.arange(EDGE_BINS, device=weight.device)
    distance = bins - wanted["edges"][shown][..., None] * (1023 / 8)
    soft = torch.softmax(-0.5 * (distance / 1.2) ** 2, -1)  # (shown, 4, EDGE_BINS)
    log_edges = logits["edges"][shown].float().log_softmax(-1)
    part["edges"] = (-(soft * log_edges).sum(-1).mean(-1) * weight[shown]).sum() / weight[
        shown
    ].sum()
    cells = functional.binary_cross_entropy_with_logits(
        logits["cells"][shown].float(), wanted["cells"][shown], reduction="none"
    )
    part["cells"] = (cells.mean(-1) * weight[shown]).sum() / weight[shown].sum()
    likely = logits["codes"][shown].float().log_softmax(-1)
    codes = -(bells[wanted["codes"][shown]] * likely).sum(-1).mean(-1)
    part["codes"] = (codes * weight[shown]).sum() / weight[shown].sum()
    letters = functional.cross_entropy(
        logits["letters"].float().flatten(0, 2), wanted["letters"].flatten(), reduction="none"
    )
    lettered = torch.where(wanted["letters"].flatten() > 0, 1.0, 0.05)
    part["letters"] = (letters * lettered).sum() / lettered.sum()
    part["center"] = functional.binary_cross_entropy_with_logits(
        logits["center"].float(), wanted["center"]
    )
    part["background"] = functional.cross_entropy(
        logits["background"].float(), wanted["background"][:, 0]
    )
    part["count"] = functional.cross_entropy(logits["count"].float(), wanted["count"][:, 0])
    scale = {
        "noun": 1,
        "edges": 0.8,
        "cells": 0.4,
        "codes": 1.0,
        "letters": 1.5,
        "center": 2,
        "background": 0.2,
        "count": 0.2,
    }
    with torch.no_grad():
        right = logits["noun"].argmax(-1) == wanted["noun"]
        read = logits["letters"].argmax(-1) == wanted["letters"]
        report = {k: v.item() for k, v in part.items()}
        report["noun_right"] = right[shown].float().mean().item()
        report["letters_right"] = read[wanted["letters"] > 0].float().mean().item()
    return torch.stack([scale[key] * value for key, value in part.items()]).sum(), report
