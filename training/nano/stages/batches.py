"""Batches of scenes for training, drawn in worker processes while the model computes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing import parent_process
from multiprocessing.connection import wait

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from training.nano.scenes.scene import BARE, FINE, USUAL, Scene, draw
from training.nano.scenes.wide import OTHER, WIDE

BARE_SHARE = 0.03  # of the scenes
OTHER_SHARE = 0.12  # of those of the wide world show nothing that is known


def pixels_of(scene: Scene) -> np.ndarray:
    """float32[3, H, W] in [-1, 1], as the processor makes them."""
    return np.asarray(scene.image, np.float32).transpose(2, 0, 1) / 127.5 - 1


def _end_with_parent() -> None:
    """Ends this worker when the process that trains ends, killed or not; else it stays for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Batches(IterableDataset):
    """`count` batches of consecutive seeds from number `first` on; `make(scenes)` shapes one.

    A share `wide` of the scenes is of the WIDE world, OTHER_SHARE of these of nothing known; of the
    rest a share `fine` is of the FINE world, and BARE_SHARE are bare.
    """

    def __init__(
        self,
        make: Callable[[list[Scene]], dict],
        size: int,
        first: int,
        count: int,
        resolution: int,
        offset: int,
        fine: float = 0.0,
        wide: float = 0.0,
    ):
        self.make, self.size, self.first, self.count = make, size, first, count
        self.resolution, self.offset = resolution, offset
        self.fine, self.wide = fine, wide

    def scene(self, seed: int) -> Scene:
        """The scene of `seed`, in one of the worlds."""
        fine, bare, wide, other = np.random.default_rng((seed, 1)).random(4) < (
            self.fine, BARE_SHARE, self.wide, OTHER_SHARE,
        )  # fmt: skip
        if wide:
            return draw(seed, self.resolution, world=OTHER if other else WIDE)
        return draw(seed, self.resolution, world=BARE if bare else FINE if fine else USUAL)

    def __iter__(self) -> Iterator[dict]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        if worker:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        part, parts = (worker.id, worker.num_workers) if worker else (0, 1)
        for number in range(self.first + part, self.first + self.count, parts):
            seeds = range(self.offset + number * self.size, self.offset + (number + 1) * self.size)
            yield self.make([self.scene(seed) for seed in seeds])


def load(batches: Batches, workers: int) -> DataLoader:
    """The batches in order, prefetched by `workers` processes."""
    return DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        multiprocessing_context="forkserver" if workers else None,
    )
