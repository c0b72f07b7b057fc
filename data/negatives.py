"""Which pictures are asked about kinds that they do not have.

A model that was only ever asked about what is there finds something wherever it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data.coco_file import Annotated

SEED = 42


def draw(
    annotated: Sequence[Annotated], kinds: Sequence[str], share: float
) -> dict[int, tuple[str, ...]]:
    """The absent kinds that pictures are asked for, by the pictures' places in `annotated`.

    Each kind is asked of `share` times as many pictures without it as have it, or of all there are:
    half of them pictures that have others, half pictures without any object, and more of one sort
    where the other has too few. The same content gives the same ones.
    """
    rng = np.random.default_rng(SEED)
    drawn: dict[int, list[str]] = {}
    for kind in kinds:
        wanted = round(share * sum(kind in each.objects for each in annotated))
        order = [int(i) for i in rng.permutation(len(annotated)) if _lacks(annotated[i], kind)]
        others = [i for i in order if annotated[i].objects]
        empty = [i for i in order if not annotated[i].objects]
        few = min(len(empty), max(wanted // 2, wanted - len(others)))
        for i in [*empty[:few], *others[: wanted - few]]:
            drawn.setdefault(i, []).append(kind)
    return {place: tuple(names) for place, names in drawn.items()}


def draw_empty(annotated: Sequence[Annotated], kinds: Sequence[str], share: float) -> set[int]:
    """The places of pictures that have none of the kinds: `share` times as many as have any, or all
    there are."""
    wanted = round(share * sum(bool(each.objects) for each in annotated))
    order = np.random.default_rng(SEED).permutation(len(annotated))
    found = (int(i) for i in order if all(_lacks(annotated[i], kind) for kind in kinds))
    return set(_first(found, wanted))


def _lacks(picture: Annotated, kind: str) -> bool:
    """Whether a kind is surely not in a picture."""
    if kind in picture.objects or kind in picture.unsure:
        return False
    return picture.absent is None or kind in picture.absent


def _first(found: Iterator[int], most: int) -> Iterator[int]:
    return (place for place, _ in zip(found, range(most), strict=False))
