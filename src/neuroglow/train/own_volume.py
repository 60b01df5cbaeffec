"""A pool made from a volume without labels: neurites added to it, and confident predictions.

Three kinds of cube, each with added neurites at known places: the unchanged volume, where
confident line-like detections of the model are neurite, and doubtful ones are ignored; the volume
shuffled, where everything else is background; and phantoms, also of other tissues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.cubes.manifest import Split
from neuroglow.files.writing import writing
from neuroglow.imaging.injection import Injected, Injection, draw_lines, inject
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.rendering import label
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.network.engine import Engine
from neuroglow.recovery.nothing import line_like, shuffled
from neuroglow.recovery.trial import MARGIN
from neuroglow.space.geometry import Box
from neuroglow.train.phantoms import NEURITES, NONE, TISSUES, draw_phantom
from neuroglow.train.pool import PooledCube

__all__ = ["OwnVolume", "build_own_pool"]

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]
Made = tuple[str, Split, Floats, Labels]

SURE, DOUBT = 0.5, 0.08
"""Probability from which the model is confident of a neurite, and from which it is doubtful."""

KINDS = ("own", "own", "shuffled")
"""Kinds of cubes made from each block."""

PHANTOMS = {"train": 12, "val": 4}
"""Number of phantoms of neurites alone."""

OTHERS = {"train": 3, "val": 4}
"""Number of phantoms of each other tissue: with neurites to train on, without them to judge by."""


@dataclass(frozen=True)
class OwnVolume:
    """A volume to adapt to.

    runner: the model that is adapted. blocks: boxes to train on. like: added neurites.
    seed: of all random numbers; different from that of any trial.
    """

    units: NoiseUnits
    runner: Engine
    blocks: tuple[Box, ...]
    like: Injection
    seed: int

    @property
    def stretch(self) -> NDArray[np.float64]:
        """Size of a voxel over that of its finest axis (zyx)."""
        size = np.array(self.units.volume.voxel_size_um or (1.0, 1.0, 1.0))
        return np.asarray(size / size.min())


def build_own_pool(
    volume: OwnVolume, folder: Path, tell: Callable[[int, int], object]
) -> list[PooledCube]:
    """Make the pool in a folder; its phantoms are split, everything else is to train on.

    tell: called with the number of finished cubes, and their total. Raises ReadError, WriteError.
    """
    total = len(KINDS) * len(volume.blocks) + sum(PHANTOMS.values())
    total += len(TISSUES) * sum(OTHERS.values())
    size = volume.units.volume.voxel_size_um
    pool: list[PooledCube] = []
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, split, x, truth in (*_of_blocks(volume), *_phantoms(volume.seed)):
        tell(len(pool), total)
        stem = folder / f"{len(pool):05d}"
        spots = np.argwhere(truth == NEURITE).astype(np.int32)
        with writing(folder):
            np.save(f"{stem}-image.npy", x.astype(np.float16))
            np.save(f"{stem}-label.npy", truth)
            np.save(f"{stem}-spots.npy", spots)
        known = None if name.startswith("phantom") else size
        rest = int(np.count_nonzero(truth == BACKGROUND))
        z, y, w = x.shape
        pool.append(PooledCube(name, split, stem, (z, y, w), known, len(spots), rest))
    return pool


def _of_blocks(volume: OwnVolume) -> Iterator[Made]:
    for number, core in enumerate(volume.blocks):
        block = _Scene.read(volume, core)
        for turn, kind in enumerate(KINDS):
            rng = np.random.default_rng([volume.seed, 7, number, turn])
            image, truth = block.own() if kind == "own" else block.shuffled(rng)
            added, marked = _with_neurites(rng, image, block.noise, volume)
            x = volume.units.convert(added.image, block.box)
            inner = core.relative_to(block.box).slices
            yield f"{kind} {number}.{turn}", "train", x[inner], _both(truth, marked)[inner]


@dataclass(frozen=True)
class _Scene:
    """A block with its margin: grey levels, noise units, the model's prediction."""

    volume: OwnVolume
    box: Box
    voxels: NDArray[np.generic]
    x: Floats
    background: Floats
    noise: Floats
    probability: Floats

    @classmethod
    def read(cls, volume: OwnVolume, core: Box) -> _Scene:
        units = volume.units
        box = core.grow(MARGIN).intersect(Box.of(units.volume.shape))
        x = units.read(box)
        background, noise = (np.asarray(part, np.float32) for part in units.levels(box))
        voxels = units.volume.read(box)
        return cls(volume, box, voxels, x, background, noise, volume.runner.probability(x))

    def own(self) -> tuple[NDArray[np.generic], Labels]:
        """Return the unchanged block: confident lines are kept, doubtful ones ignored."""
        truth = np.full(self.x.shape, BACKGROUND, np.uint8)
        truth[self.probability >= DOUBT] = IGNORE
        truth[line_like(self.probability >= SURE, self.volume.stretch)] = NEURITE
        return self.voxels, truth

    def shuffled(self, rng: Generator) -> tuple[NDArray[np.generic], Labels]:
        """Return the block without neurites: all of it background."""
        lines = line_like(self.probability >= DOUBT, self.volume.stretch)
        signal = shuffled(rng, np.sinh(self.x), lines, self.volume.stretch)
        grey = self.background + signal * self.noise
        return grey, np.full(self.x.shape, BACKGROUND, np.uint8)


def _with_neurites(
    rng: Generator, image: NDArray[np.generic], noise: Floats, volume: OwnVolume
) -> tuple[Injected, Labels]:
    stretch, like = volume.stretch, volume.like
    z, y, x = (int(n) for n in np.ceil(image.shape * stretch))
    drawn = draw_lines(rng, (z, y, x), like)
    lines = [type(n)(n.points / stretch, n.radius_vox, n.snr) for n in drawn]
    blur = rng.uniform(*like.blur_vox) / stretch
    blur[0] *= rng.uniform(*like.anisotropy)
    sigma = np.maximum(blur, 0.5).tolist()
    made = inject(image, lines, sigma_vox=sigma, noise=noise)
    return made, label(made.signal, made.extent)


def _both(truth: Labels, marked: Labels) -> Labels:
    """Combine original and added neurites: a voxel of either is neurite."""
    joined = truth.copy()
    joined[(marked == IGNORE) & (truth == BACKGROUND)] = IGNORE
    joined[marked == NEURITE] = NEURITE
    return joined


def _phantoms(seed: int) -> Iterator[Made]:
    splits: Sequence[Split] = ("train", "val")
    for at, split in enumerate(splits):
        for number in range(PHANTOMS[split]):
            rng = np.random.default_rng([seed, 8, at, number])
            yield f"phantom {split} {number}", split, *draw_phantom(rng)
        like = NEURITES if split == "train" else NONE
        for kind, tissue in enumerate(TISSUES):
            for number in range(OTHERS[split]):
                rng = np.random.default_rng([seed, 9, at, kind, number])
                yield f"phantom {tissue} {split} {number}", split, *draw_phantom(rng, tissue, like)
