"""Batches of patches, made by threads while the network trains.

A patch depends only on (seed, step, its number in the batch). Threads, a
stop and a resume, or the number of processes therefore do not change the training.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.space.geometry import Box
from neuroglow.train.augment import augment
from neuroglow.train.sampling import Hard, Place, Sampler
from neuroglow.train.settings import TrainSettings

__all__ = ["Batch", "BatchMaker"]

AHEAD = 3
"""Number of batches that are made in advance."""

Patch = tuple[NDArray[np.float32], NDArray[np.uint8], Place]


@dataclass(frozen=True)
class Batch:
    """The data of a step; (N, 1, Z, Y, X), float32.

    x: the network's input. target: 1 on neurites. weight: 0 where the label is ignored.
    """

    x: Tensor
    target: Tensor
    weight: Tensor
    places: tuple[Place, ...]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batches of one process.

    first: number of its first patch within the step's whole batch. processes: their total.
    """

    sampler: Sampler
    settings: TrainSettings
    in_noise_units: bool
    first: int = 0
    processes: int = 1

    def patch(self, step: int, number: int, hard: Hard) -> Patch:
        """Make one patch of a step (zyx input, label, place)."""
        rng = np.random.default_rng([self.settings.seed, step, number])
        if self.sampler.rule == "listed":
            before = (step - 1) * self.settings.batch * self.processes
            place = self.sampler.listed(self.settings.seed, before + number)
        else:
            place = self.sampler.draw(rng, hard)
        cube = self.sampler.cubes[place.cube]
        x, label = cube.read(Box.of((self.sampler.patch,) * 3).shift(place.start))
        x, label = augment(
            rng,
            x,
            label,
            how=self.settings.augment,
            voxel_size_um=cube.voxel_size_um,
            in_noise_units=self.in_noise_units,
            turns=self.settings.turns,
        )
        return x, label, place

    def batches(self, first: int, last: int, hard: Hard = ()) -> Iterator[Batch]:
        """Return the batches of steps first..last, made in advance by threads."""
        with ThreadPoolExecutor(self.settings.loaders) as threads:
            waiting: deque[list[Future[Patch]]] = deque()
            following = first
            for _ in range(first, last + 1):
                while len(waiting) < AHEAD and following <= last:
                    waiting.append(self._submit(threads, following, hard))
                    following += 1
                yield _stacked([future.result() for future in waiting.popleft()])

    def _submit(self, threads: ThreadPoolExecutor, step: int, hard: Hard) -> list[Future[Patch]]:
        numbers = range(self.first, self.first + self.settings.batch)
        return [threads.submit(self.patch, step, number, hard) for number in numbers]


def _stacked(patches: list[Patch]) -> Batch:
    x = torch.from_numpy(np.stack([x for x, _, _ in patches])[:, None])
    label = torch.from_numpy(np.stack([label for _, label, _ in patches])[:, None])
    return Batch(
        x.float(),
        (label == NEURITE).float(),
        (label != IGNORE).float(),
        tuple(place for _, _, place in patches),
    )
