"""Choice of patches: each place depends only on its random generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.labels.labels import NEURITE
from neuroglow.network.db_enhance_facts import ACCEPTED_VOXELS, PATCH
from neuroglow.space.geometry import Box, Zyx
from neuroglow.train.pool import PooledCube

__all__ = ["Hard", "Place", "Sampler", "enough_labelled"]

NEAR_NEURITE = 0.8
"""Share of patches that are cut around a neurite voxel by the rule `foreground`."""

FROM_HARD = 0.5
"""Share of patches that are cut near a hard one by the rule `hard`, once some are known."""

TRIES = 20_000
"""Number of places that the rule `db_enhance` tries for one patch before it gives up."""


@dataclass(frozen=True)
class Place:
    """A patch: the number of its cube in the pool, and its position there."""

    cube: int
    start: Zyx


Hard = tuple[tuple[int, int, int, int], ...]
"""The hardest patches of the last interval: cube, z, y, x of each."""


def enough_labelled(patch: int) -> int:
    """Return the neurite voxels that a patch must contain: 1,000 in 120^3 (DB-Enhance), scaled."""
    return max(1, round(ACCEPTED_VOXELS * (patch / PATCH) ** 3))


@dataclass(frozen=True)
class Sampler:
    """Draws places of patches.

    uniform: anywhere. foreground: four in five around a neurite voxel. db_enhance: anywhere
    with enough labelled voxels. hard: half near the hardest patches of the last interval,
    the others as foreground. listed: those in the training set's column `patches`, each once
    per epoch, in an order given by the seed.
    """

    cubes: Sequence[PooledCube]
    patch: int
    rule: Literal["foreground", "db_enhance", "uniform", "hard", "listed"]

    def __post_init__(self) -> None:
        if not any(cube.neurite_voxels for cube in self.cubes):
            raise InputError(
                "a training set must contain labelled neurites",
                found="no neurite voxel in any training cube",
                where=", ".join(cube.name for cube in self.cubes[:5]),
                cure="check the labels, and which values --label-map calls neurite",
            )

    def listed(self, seed: int, number: int) -> Place:
        """Return the place of a run's patch, counted from 0, by the rule `listed`."""
        if not self._listed:
            raise InputError(
                "for the rule listed, the training set must list its patches",
                found="no column patches in it, or none for a training cube",
                where="sampling",
                cure="neuroglow select --from-db-enhance writes it; or another rule",
            )
        epoch, at = divmod(number, len(self._listed))
        return self._listed[int(_order(seed, epoch, len(self._listed))[at])]

    @cached_property
    def _listed(self) -> list[Place]:
        return [Place(i, start) for i, cube in enumerate(self.cubes) for start in cube.patches]

    def draw(self, rng: Generator, hard: Hard = ()) -> Place:
        """Draw one place."""
        if self.rule == "uniform":
            return self._anywhere(rng, range(len(self.cubes)))
        if self.rule == "db_enhance":
            return self._labelled(rng)
        if self.rule == "hard" and hard and rng.random() < FROM_HARD:
            return self._near_hard(rng, hard)
        if rng.random() < NEAR_NEURITE:
            return self._around_neurite(rng)
        return self._anywhere(rng, range(len(self.cubes)))

    @cached_property
    def _with_neurites(self) -> list[int]:
        return [i for i, cube in enumerate(self.cubes) if cube.neurite_voxels]

    def _anywhere(self, rng: Generator, among: Sequence[int]) -> Place:
        cube = among[int(rng.integers(len(among)))]
        z, y, x = (int(rng.integers(max(0, n - self.patch) + 1)) for n in self.cubes[cube].shape)
        return Place(cube, (z, y, x))

    def _around_neurite(self, rng: Generator) -> Place:
        among = self._with_neurites
        cube = among[int(rng.integers(len(among)))]
        spots = self.cubes[cube].spots()
        margin = self.patch // 8
        offset = rng.integers(margin, self.patch - margin, 3)
        return self._clipped(cube, spots[int(rng.integers(len(spots)))] - offset)

    def _near_hard(self, rng: Generator, hard: Hard) -> Place:
        cube, *start = hard[int(rng.integers(len(hard)))]
        reach = self.patch // 4
        return self._clipped(cube, np.add(start, rng.integers(-reach, reach + 1, 3)))

    def _clipped(self, cube: int, start: NDArray[np.int64]) -> Place:
        shape = self.cubes[cube].shape
        z, y, x = (
            int(np.clip(a, 0, max(0, n - self.patch))) for a, n in zip(start, shape, strict=True)
        )
        return Place(cube, (z, y, x))

    def _labelled(self, rng: Generator) -> Place:
        """Try places until one has enough. Raises InputError if hardly any has."""
        among, best, enough = self._with_neurites, 0, enough_labelled(self.patch)
        for _ in range(TRIES):
            place = self._anywhere(rng, among)
            count = int(np.count_nonzero(self._label(place) == NEURITE))
            if count >= enough:
                return place
            best = max(best, count)
        raise InputError(
            "for the rule db_enhance, a patch must contain enough labelled voxels",
            found=f"at most {best} in {TRIES:,} places of {self.patch}^3 voxels, {enough} needed",
            where="sampling",
            cure="sampling: foreground, which cuts patches around neurites; or denser cubes",
        )

    def _label(self, place: Place) -> NDArray[np.uint8]:
        cube = self.cubes[place.cube]
        box = Box.of((self.patch,) * 3).shift(place.start).intersect(Box.of(cube.shape))
        return cube.label()[box.slices]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, count]).permutation(count)
