"""One trial of a volume: neurites are added at many places, and every version is scored.

    a block -> score it -> add neurites, score it -> shuffle it, score it -> mirror it, score it

Added neurites have the same known SNR along their whole length. The recall at each SNR, for any
threshold, follows from the scores along their middle lines; the false rate follows from counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from neuroglow.imaging.injection import Injection, draw_lines, inject, place_pieces
from neuroglow.imaging.neurites import Neurite
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.metrics.voxels import ball
from neuroglow.recovery.methods import Method
from neuroglow.recovery.nothing import beside, line_like, mirrored, shuffled
from neuroglow.recovery.places import Sample
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array
from neuroglow.trees.swc import Tree

__all__ = [
    "AS_IS",
    "BESIDE",
    "MIRRORED",
    "SHUFFLED",
    "Along",
    "Asked",
    "Pictured",
    "Trial",
    "run_trial",
]

AS_IS, SHUFFLED, MIRRORED, BESIDE = range(4)
"""Versions in which voxels are counted: unchanged, shuffled, mirrored, away from lines."""

MARGIN = 16
"""Voxels that are read around a block, so that its middle is scored as in the whole volume."""

TOLERANCE = 2
"""Distance in voxels within which a point of a neurite counts as found."""

APART = 5.0
"""In voxels: points of an added neurite closer than this to another one are not counted."""

SCORED = 3
"""Times that a block is scored besides its rounds: as it is, shuffled, mirrored."""

PIECE = 12
"""Minimum number of points of a neurite within a block."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """Parameters of a trial.

    snr: of the added neurites, one neurite of each per round. rounds: how often neurites are added
    to each block. like: calibre, course and blur of added neurites. trees: their pieces are added
    (micrometres) instead of lines grown by rule. voxel_size_um: zyx. seed: of all random numbers.
    """

    snr: tuple[float, ...]
    rounds: int
    like: Injection
    trees: tuple[Tree, ...]
    voxel_size_um: tuple[float, float, float]
    seed: int

    @property
    def stretch(self) -> NDArray[np.float64]:
        """Size of a voxel relative to its finest axis (zyx)."""
        size = np.array(self.voxel_size_um)
        return np.asarray(size / size.min())


@dataclass(frozen=True)
class Along:
    """Every point of the middle lines that were added.

    piece, block: numbers. snr: of its neurite. before, after: methods x points, the highest
    score within TOLERANCE voxels.
    """

    piece: NDArray[np.int64]
    block: NDArray[np.int64]
    snr: NDArray[np.float64]
    before: Floats
    after: Floats


@dataclass(frozen=True)
class Pictured:
    """One block as examples: images (noise units, zyx), and the first method's scores of them."""

    box: Box
    images: dict[str, Floats]
    scores: dict[str, Floats]


@dataclass(frozen=True)
class Trial:
    """Result of a trial.

    counts: for each method, (4, blocks, levels): AS_IS, SHUFFLED, MIRRORED and BESIDE.
    faces: the highest noise units of each block along z (yx), for maps.
    """

    methods: tuple[Method, ...]
    sample: Sample
    along: Along
    counts: tuple[NDArray[np.int64], ...]
    faces: tuple[Floats, ...]
    pictured: Pictured


def run_trial(
    units: NoiseUnits,
    methods: Sequence[Method],
    sample: Sample,
    asked: Asked,
    tell: Callable[[float, int], object],
) -> Trial:
    """Score each block of the sample unchanged, with neurites added, and without neurites.

    units: of the volume, which it reads.
    tell: called with the number of blocks done, and their total. The first method decides what
    counts as a neurite; neurites are left out of the shuffled blocks.
    """
    total = len(sample.blocks)
    tell(0, total)
    found: list[tuple[list[Along], list[NDArray[np.int64]], Floats]] = []
    pictured: Pictured | None = None
    for number, core in enumerate(sample.blocks):
        block = _Block.read(units, core, number)
        worked = _Work(block, tuple(methods), asked)
        lines: list[Along] = []
        for turn in range(asked.rounds):
            lines += worked.lines(turn)
            tell(number + (turn + 1) / (asked.rounds + SCORED), total)
        counts = worked.counts()
        tell(number + 1, total)
        found.append((lines, counts, block.x[block.inner.slices].max(axis=0)))
        if pictured is None or number == len(sample.blocks) // 2:
            pictured = worked.pictured()
    assert pictured is not None
    along = _joined([line for lines, _, _ in found for line in lines], len(methods))
    of_methods = tuple(
        np.stack(part, axis=1) for part in zip(*(c for _, c, _ in found), strict=True)
    )
    faces = tuple(face for _, _, face in found)
    return Trial(tuple(methods), sample, along, of_methods, faces, pictured)


@dataclass(frozen=True)
class _Block:
    """A block with the margin read around it: voxels, noise units, local noise."""

    number: int
    core: Box
    box: Box
    voxels: Array
    x: Floats
    background: Floats
    noise: Floats

    @classmethod
    def read(cls, units: NoiseUnits, core: Box, number: int) -> _Block:
        box = core.grow(MARGIN).intersect(Box.of(units.volume.shape))
        x, voxels = units.read(box), units.volume.read(box)
        background, noise = units.levels(box)
        return cls(number, core, box, voxels, x, background, noise)

    @property
    def inner(self) -> Box:
        return self.core.relative_to(self.box)


class _Work:
    """The work on one block; scores are kept until the block is done."""

    def __init__(self, block: _Block, methods: tuple[Method, ...], asked: Asked) -> None:
        self.block, self.methods, self.asked = block, methods, asked
        self.before = [m.score(block.voxels, block.box) for m in methods]
        self.images: dict[str, Floats] = {"as it is": block.x}
        self.scores: dict[str, Floats] = {"as it is": self.before[0]}

    def rng(self, kind: int, number: int = 0) -> np.random.Generator:
        """Return the random generator of one draw; it depends only on the seed and the block."""
        return np.random.default_rng([self.asked.seed, kind, *self.block.core.start, number])

    def lines(self, number: int) -> list[Along]:
        """Add the neurites of a round, and score the result."""
        rng, asked, block = self.rng(1, number), self.asked, self.block
        neurites = _neurites(rng, block.box.shape, asked)
        if not neurites:
            return []
        blur = rng.uniform(*asked.like.blur_vox) / asked.stretch
        blur[0] *= rng.uniform(*asked.like.anisotropy)
        sigma = np.maximum(blur, 0.5)
        made = inject(block.voxels, neurites, sigma_vox=sigma.tolist(), noise=block.noise)
        scores = [m.score(made.image, block.box) for m in self.methods]
        self._keep("with neurites added", made.image, scores[0])
        places = [np.rint(n.points).astype(np.int64) for n in neurites]
        found = []
        for index, neurite in enumerate(neurites):
            others = [n.points for i, n in enumerate(neurites) if i != index]
            at = places[index][_counted(neurite.points, others, block.inner)]
            if len(at):
                piece = (block.number * asked.rounds + number) * len(asked.snr) + index
                found.append(self._along(at, scores, (piece, float(np.median(neurite.snr)))))
        return found

    def _along(
        self, at: NDArray[np.int64], scores: Sequence[Floats], which: tuple[int, float]
    ) -> Along:
        piece, snr = which
        return Along(
            np.full(len(at), piece),
            np.full(len(at), self.block.number),
            np.full(len(at), snr),
            np.stack([highest_near(s, at) for s in self.before]),
            np.stack([highest_near(s, at) for s in scores]),
        )

    def counts(self) -> list[NDArray[np.int64]]:
        """Count scores: unchanged, shuffled, mirrored, away from lines; methods x (4, levels)."""
        block, first = self.block, self.methods[0]
        threshold = 0.5 if first.threshold is None else first.threshold
        stretch, signal = self.asked.stretch, np.sinh(block.x)
        lines = line_like(self.before[0] >= threshold, stretch)
        scored = [self.before]
        for name, changed in (
            ("shuffled", shuffled(self.rng(2), signal, lines, stretch)),
            ("mirrored", mirrored(signal)),
        ):
            voxels = block.background + changed * block.noise
            scored.append([m.score(voxels, block.box) for m in self.methods])
            self._keep(name, voxels, scored[-1][0])
        inner = block.inner.slices
        apart = beside(lines, stretch)[inner]
        found = []
        for i, method in enumerate(self.methods):
            rows = [_histogram(method, scores[i][inner]) for scores in scored]
            found.append(np.stack([*rows, _histogram(method, self.before[i][inner][apart])]))
        return found

    def _keep(self, name: str, voxels: Array, score: Floats) -> None:
        shown = (voxels - self.block.background) / self.block.noise
        self.images[name], self.scores[name] = np.arcsinh(shown).astype(np.float32), score

    def pictured(self) -> Pictured:
        """Return the last scores of each kind."""
        inner = self.block.inner.slices
        return Pictured(
            self.block.core,
            {name: image[inner] for name, image in self.images.items()},
            {name: score[inner] for name, score in self.scores.items()},
        )


def _histogram(method: Method, scores: Floats) -> NDArray[np.int64]:
    index = method.levels.index(scores).ravel()
    return np.bincount(index, minlength=method.levels.count)


def highest_near(scores: Floats, at: NDArray[np.int64]) -> Floats:
    """Return the highest score within TOLERANCE voxels of each place (n, 3)."""
    reach = TOLERANCE
    offsets = np.argwhere(ball(reach)) - reach
    near = np.clip(at[:, None] + offsets, 0, np.subtract(scores.shape, 1))
    return np.asarray(scores[tuple(np.moveaxis(near, -1, 0))].max(axis=1))


def _neurites(rng: np.random.Generator, shape: Zyx, asked: Asked) -> list[Neurite]:
    """Draw a neurite of each SNR (voxels of the block), as tortuous along z as along y and x."""
    fine = np.ceil(shape * asked.stretch).astype(int)
    room: Zyx = (int(fine[0]), int(fine[1]), int(fine[2]))
    like = replace(asked.like, count=len(asked.snr))
    if asked.trees:
        drawn = place_pieces(rng, asked.trees, room, like)
    else:
        drawn = draw_lines(rng, room, like)
    order = rng.permutation(len(asked.snr))
    return [
        replace(
            n, points=n.points / asked.stretch, snr=asked.snr[int(i)] * n.snr / np.median(n.snr)
        )
        for n, i in zip(drawn, order, strict=False)
    ]


def _counted(
    points: NDArray[np.float64], others: Sequence[NDArray[np.float64]], inner: Box
) -> NDArray[np.bool_]:
    """Return which points lie in a block and apart from other neurites, without short pieces."""
    inside = ((np.rint(points) >= inner.start) & (np.rint(points) < inner.stop)).all(axis=1)
    if others:
        distance, _ = cKDTree(np.concatenate(others)).query(points, distance_upper_bound=APART)
        inside &= ~np.isfinite(distance)
    return np.asarray(inside if inside.sum() >= PIECE else np.zeros_like(inside))


def _joined(lines: Sequence[Along], methods: int) -> Along:
    if not lines:
        nothing = np.empty((methods, 0), np.float32)
        return Along(np.empty(0, int), np.empty(0, int), np.empty(0), nothing, nothing)
    parts = [[getattr(line, name) for line in lines] for name in ("piece", "block", "snr")]
    piece, block, snr = (np.concatenate(part) for part in parts)
    before, after = (
        np.concatenate([getattr(line, name) for line in lines], axis=1)
        for name in ("before", "after")
    )
    return Along(piece, block, snr, before, after)
