"""Neurites of known SNR and calibre, added to a real volume relative to its own noise.

At each place, an added neurite is as bright as its SNR requires for the local noise:
a neurite of SNR 3 peaks three standard deviations of the local noise above the original value.
The share that a model finds therefore tells how faint a neurite it finds in this very volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.errors import SettingsError
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.neurites import Neurite, Points, beads, centreline, log_uniform, unit, walk
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.rendering import Floats, render
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array
from neuroglow.trees.swc import Tree, paths

__all__ = ["Injected", "Injection", "draw_lines", "inject", "local_noise", "place_pieces"]

SHORTEST = 12
"""Minimum number of points of a neurite inside the volume; a shorter one is drawn again."""

ATTEMPTS = 50
"""Number of times a neurite is redrawn before fewer than requested are accepted."""


@dataclass(frozen=True)
class Injection:
    """Parameters of added neurites; a pair is a range from which each neurite draws (log-uniform).

    count: neurites in a volume. snr: peak over the local noise's standard deviation.
    radius_vox: calibre before blur. tortuosity: standard deviation of the turn, radians per voxel.
    blur_vox: standard deviation of the blur in y and x. anisotropy: blur along z over in plane.
    beaded: share of neurites with varicosities; with `even`, brightness is constant along a
    neurite.
    """

    count: int = 8
    snr: tuple[float, float] = (2.0, 5.0)
    radius_vox: tuple[float, float] = (0.3, 0.9)
    tortuosity: tuple[float, float] = (0.03, 0.15)
    blur_vox: tuple[float, float] = (0.8, 1.2)
    anisotropy: tuple[float, float] = (1.0, 1.8)
    beaded: float = 0.5
    even: bool = False

    def __post_init__(self) -> None:
        if self.count < 0 or min(self.snr) <= 0 or min(self.radius_vox) <= 0:
            raise SettingsError(
                "added neurites have a count of 0 or more, and positive SNR and radius",
                found=f"count {self.count}, snr {self.snr}, radius_vox {self.radius_vox}",
            )


@dataclass(frozen=True)
class Injected:
    """A volume with neurites added to it, and where they are.

    image: zyx, in the type of the volume. signal: zyx float32, SNR of the added neurites.
    extent: the same with every peak at 1: above 0.5 is within half of a peak.
    """

    image: Array
    signal: Floats = field(repr=False)
    extent: Floats = field(repr=False)
    neurites: tuple[Neurite, ...] = field(repr=False)

    @property
    def middle(self) -> NDArray[np.bool_]:
        """The voxels (zyx) through which the middle lines pass."""
        return centreline(self.neurites, self.image.shape)


def inject(
    volume: Array,
    neurites: Sequence[Neurite],
    *,
    sigma_vox: Sequence[float] = (1.4, 1.0, 1.0),
    noise: Floats | None = None,
) -> Injected:
    """Add neurites (points in voxels of `volume`, zyx) to a volume of grey levels.

    sigma_vox: standard deviation of the blur along z, y, x. noise: the local noise of each
    voxel in grey levels, from `local_noise`; measured if not given. Integers are rounded
    and saturate at the limits of their type.
    >>> import numpy as np
    >>> line = Neurite(np.array([[8.0, 8.0, x] for x in range(16)]), 0.5, np.full(16, 4.0))
    >>> made = inject(np.random.default_rng(0).normal(100, 10, (16, 16, 16)), [line])
    >>> bool(made.signal[8, 8, 8] > 3.5), int(made.middle.sum())
    (True, 16)
    """
    noise = local_noise(volume) if noise is None else noise
    shape: Zyx = volume.shape
    signal, extent = render(neurites, shape, sigma_vox) if neurites else np.zeros((2, *shape), "f4")
    raised = volume.astype(np.float64) + signal * noise
    if volume.dtype.kind in "iu":
        kind = np.iinfo(volume.dtype)
        raised = np.clip(np.rint(raised), kind.min, kind.max)
    return Injected(raised.astype(volume.dtype), signal, extent, tuple(neurites))


def local_noise(volume: Array) -> Floats:
    """Return the standard deviation of the noise at each voxel (zyx, grey levels)."""
    return NoiseUnits(open_volume(volume)).levels(Box.of(volume.shape))[1]


def draw_lines(rng: Generator, shape: Zyx, asked: Injection) -> list[Neurite]:
    """Grow neurites by rule through a volume (zyx voxels), unbranched, in any direction."""
    drawn = []
    for _ in range(asked.count):
        for _ in range(ATTEMPTS):
            points = _through(rng, shape, rng.uniform(*asked.tortuosity))
            if len(points) >= SHORTEST:
                drawn.append(_shining(rng, points, asked))
                break
    return drawn


def place_pieces(
    rng: Generator, trees: Sequence[Tree], shape: Zyx, asked: Injection
) -> list[Neurite]:
    """Place pieces of real trees (points in voxels, about 1 apart) at random in a volume.

    Each is rotated by random quarter turns and mirrored; fewer than `asked.count` are returned if
    the trees have too few unbranched stretches of SHORTEST points.
    """
    stretches = [
        tree.points[piece] for tree in trees for piece in paths(tree) if len(piece) >= SHORTEST
    ]
    placed: list[Neurite] = []
    for _ in range(ATTEMPTS * asked.count if stretches else 0):
        if len(placed) == asked.count:
            break
        points = stretches[int(rng.integers(len(stretches)))]
        run = _longest_inside(_moved(rng, points, shape), shape)
        if len(run) >= SHORTEST:
            placed.append(_shining(rng, ndimage.gaussian_filter1d(run, 2, axis=0), asked))
    return placed


def _through(rng: Generator, shape: Zyx, turn: float) -> Points:
    """Walk both ways from a point, and keep the stretch inside the volume."""
    start, heading = rng.uniform(0, 1, 3) * shape, unit(rng.standard_normal(3))
    there, back = (walk(rng, start, way, turn, shape) for way in (heading, -heading))
    return _longest_inside(np.concatenate([back[:0:-1], there]), shape)


def _moved(rng: Generator, points: Points, shape: Zyx) -> Points:
    """Rotate and mirror points, and move one of them to a random place in the volume."""
    turned = points[:, rng.permutation(3)] * rng.choice((-1.0, 1.0), 3)
    at = turned[int(rng.integers(len(turned)))]
    return np.asarray(turned - at + rng.uniform(0.1, 0.9, 3) * shape)


def _longest_inside(points: Points, shape: Zyx) -> Points:
    """Return the longest run of points inside the volume."""
    inside = ((points >= 0) & (points <= np.subtract(shape, 1))).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]])))
    runs = [points[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return max(runs, key=len, default=points[:0])


def _shining(rng: Generator, points: Points, asked: Injection) -> Neurite:
    """Assign calibre and brightness to a line."""
    peak, radius = log_uniform(rng, asked.snr), log_uniform(rng, asked.radius_vox)
    along = beads(rng, len(points), share=asked.beaded)
    return Neurite(points, radius, peak * (np.ones(len(points)) if asked.even else along))
