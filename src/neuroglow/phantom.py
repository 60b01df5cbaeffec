"""Make phantoms: seeded volumes of neurites whose truth is known.

morphology (curved, branching, beaded neurites of several calibres) + optics (blur,
uneven background, camera noise) + distractors -> image, label, tree. All of it synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.errors import SettingsError
from neuroglow.learn import optics
from neuroglow.space.geometry import Zyx
from neuroglow.space.swc import Tree

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "NEURITE",
    "Neurite",
    "Phantom",
    "PhantomSettings",
    "Scene",
    "centreline",
    "grow",
    "make_phantom",
    "make_scene",
    "render",
    "to_tree",
]

Floats = NDArray[np.float32]
Points = NDArray[np.float64]

BACKGROUND, NEURITE, IGNORE = 0, 1, 2
"""The label's values. IGNORE: too near, too dim or too crowded to call either way."""

HALF_PEAK, FOOT = 0.5, 0.2
"""A neurite is labelled down to half of its blurred peak, and ignored down to a fifth."""

CALIBRES_VOX = (0.4, 1.0, 1.8, 3.0)
"""Radii that are rendered together: each neurite takes the nearest."""


@dataclass(frozen=True)
class PhantomSettings:
    """What a phantom is like; a pair is a range from which each phantom or neurite draws.

    shape: zyx voxels.
    neurites: how many, besides their branches.
    snr: peak of a blurred neurite over the standard deviation of the noise (log-uniform).
    radius_vox: calibre before blur.
    tortuosity: standard deviation of the turn, radians a voxel.
    branches: expected number a neurite.
    blur_vox: standard deviation of the blur in y and x.
    anisotropy: blur along z over blur in plane.
    correlation_vox: standard deviation of the blur of the noise.
    unevenness: standard deviation of the background's slow changes, in SNR.
    distractors: expected number of each kind (puncta, somata, tracts, stripes).
    """

    shape: Zyx = (96, 96, 96)
    neurites: tuple[int, int] = (2, 30)
    snr: tuple[float, float] = (1.5, 40.0)
    radius_vox: tuple[float, float] = (0.3, 3.0)
    tortuosity: tuple[float, float] = (0.02, 0.12)
    branches: float = 0.4
    blur_vox: tuple[float, float] = (0.6, 1.6)
    anisotropy: tuple[float, float] = (1.0, 2.0)
    correlation_vox: tuple[float, float] = (0.0, 1.0)
    unevenness: tuple[float, float] = (0.0, 3.0)
    distractors: tuple[float, float, float, float] = (12.0, 0.4, 0.3, 0.2)

    def __post_init__(self) -> None:
        if min(self.shape) < 8 or self.snr[0] <= 0 or self.neurites[0] < 0:
            raise SettingsError(
                "a phantom has at least 8 voxels an axis, a positive SNR, no negative counts",
                found=f"shape {self.shape}, snr {self.snr}, neurites {self.neurites}",
            )


@dataclass(frozen=True)
class Neurite:
    """One unbranched path.

    points: (n, 3) zyx in voxels, about one voxel apart.
    radius_vox: calibre before blur.
    snr: (n,) peak of the blurred neurite along it.
    parent: index of the neurite from which it branches, and of the point there; or None.
    """

    points: Points
    radius_vox: float
    snr: NDArray[np.float64]
    parent: tuple[int, int] | None = None


@dataclass(frozen=True)
class Scene:
    """What there is to see, before a camera adds its noise.

    signal: (zyx) SNR of everything above background, distractors too.
    target: (zyx) SNR of labelled neurites alone.
    label: (zyx) uint8 BACKGROUND, NEURITE or IGNORE.
    """

    signal: Floats
    target: Floats
    label: NDArray[np.uint8]
    neurites: tuple[Neurite, ...]


@dataclass(frozen=True)
class Phantom:
    """An image with its truth.

    image: (zyx) uint16 grey levels.
    label: (zyx) uint8 BACKGROUND, NEURITE or IGNORE.
    """

    image: NDArray[np.uint16]
    label: NDArray[np.uint8]
    scene: Scene = field(repr=False)
    camera: optics.Camera


def make_phantom(
    rng: Generator, settings: PhantomSettings | None = None, *, camera: optics.Camera | None = None
) -> Phantom:
    """Make one phantom cube: the same generator state, the same phantom.

    >>> import numpy as np
    >>> phantom = make_phantom(np.random.default_rng(1), PhantomSettings(shape=(32, 32, 32)))
    >>> phantom.image.shape, phantom.image.dtype.name, int(phantom.label.max()) <= IGNORE
    ((32, 32, 32), 'uint16', True)
    """
    chosen = settings or PhantomSettings()
    scene = make_scene(rng, chosen)
    taken_by = camera or optics.Camera.draw(rng)
    correlation = rng.uniform(*chosen.correlation_vox)
    noise = optics.correlated_noise(chosen.shape, (correlation,) * 3, rng)
    image = optics.expose(scene.signal, noise, taken_by)
    return Phantom(image, scene.label, scene, taken_by)


def centreline(neurites: Sequence[Neurite], shape: Zyx) -> NDArray[np.bool_]:
    """Mark the voxels (zyx) that the neurites' middle lines pass."""
    mask = np.zeros(shape, bool)
    for neurite in neurites:
        at = np.rint(neurite.points).astype(int)
        mask[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = True
    return mask


def to_tree(neurites: Sequence[Neurite]) -> Tree:
    """Join neurites to trees, in voxels: each branch starts at a node of its parent."""
    first = np.cumsum([0, *(len(n.points) for n in neurites)])
    parents = []
    for start, neurite in zip(first, neurites, strict=False):
        own = np.arange(start - 1, start + len(neurite.points) - 1)
        own[0] = first[neurite.parent[0]] + neurite.parent[1] if neurite.parent else -1
        parents.append(own)
    return Tree(
        points=np.concatenate([n.points for n in neurites]),
        radii=np.concatenate([np.full(len(n.points), n.radius_vox) for n in neurites]),
        kinds=np.full(first[-1], 2, np.int64),
        parents=np.concatenate(parents),
    )


def make_scene(rng: Generator, settings: PhantomSettings) -> Scene:
    """Grow neurites and distractors, and blur them: all that a perfect camera would see."""
    blur = rng.uniform(*settings.blur_vox)
    sigma = (blur * rng.uniform(*settings.anisotropy), blur, blur)
    neurites = grow(rng, settings)
    target, extent = render(neurites, settings.shape, sigma)
    signal = target.copy()
    label = _label(target, extent)
    signal += rng.uniform(*settings.unevenness) * optics.smooth_field(
        settings.shape, rng.uniform(24, 96), rng
    )
    for draw, expected in zip(
        (_puncta, _somata, _tract, _stripes), settings.distractors, strict=True
    ):
        for _ in range(rng.poisson(expected)):
            extra, ignored = draw(rng, settings, sigma)
            signal += extra
            label[ignored & (label == BACKGROUND)] = IGNORE
    return Scene(signal, target, label, tuple(neurites))


def grow(rng: Generator, settings: PhantomSettings) -> list[Neurite]:
    """Grow neurites through the volume, then branches from them."""
    count = int(rng.integers(settings.neurites[0], settings.neurites[1] + 1))
    low, high = np.log(settings.snr)
    neurites: list[Neurite] = []
    for _ in range(count):
        start = rng.uniform(-0.1, 1.1, 3) * settings.shape
        heading = _unit(rng.standard_normal(3))
        turn = rng.uniform(*settings.tortuosity)
        there = _walk(rng, start, heading, turn, settings.shape)
        back = _walk(rng, start, -heading, turn, settings.shape)
        points = np.concatenate([back[:0:-1], there])
        radius = _log_uniform(rng, settings.radius_vox)
        peak = float(np.exp(rng.uniform(low, high)))
        stem = Neurite(points, radius, peak * _beads(rng, len(points)))
        if len(points) > 1:  # else it began too far outside
            neurites.append(stem)
            _branch(rng, settings, neurites, turn)
    return neurites


def _branch(
    rng: Generator, settings: PhantomSettings, neurites: list[Neurite], turn: float
) -> None:
    """Add the branches of the newest neurite."""
    index = len(neurites) - 1
    stem = neurites[index]
    for _ in range(rng.poisson(settings.branches) if len(stem.points) > 8 else 0):
        at = int(rng.integers(2, len(stem.points) - 2))
        along = _unit(stem.points[at + 1] - stem.points[at - 1])
        heading = _unit(along + rng.uniform(0.5, 1.5) * _unit(rng.standard_normal(3)))
        points = _walk(rng, stem.points[at], heading, turn, settings.shape)
        points = points[: int(rng.integers(8, 120))]
        snr = stem.snr[at] * rng.uniform(0.5, 1) * _beads(rng, len(points))
        if len(points) > 1:
            neurites.append(Neurite(points, 0.8 * stem.radius_vox, snr, (index, at)))


def _walk(rng: Generator, start: Points, heading: Points, turn: float, shape: Zyx) -> Points:
    """Walk from a point, a voxel a step, in a direction that drifts, until outside."""
    steps = int(1.5 * max(shape))
    drift = ndimage.gaussian_filter1d(rng.standard_normal((steps, 3)), 4, axis=0) * 3.8
    headings = heading + np.cumsum(turn * drift, axis=0)
    headings /= np.linalg.norm(headings, axis=1, keepdims=True) + 1e-9
    points = np.concatenate([start[None], start + np.cumsum(headings, axis=0)])
    far = (points < -8).any(1) | (points > np.add(shape, 8)).any(1)
    return points[: int(np.argmax(far)) if far.any() else None][: max(1, steps)]


def _beads(rng: Generator, count: int) -> NDArray[np.float64]:
    """Draw brightness along a neurite: slow changes, varicosities, dim stretches; about 1."""
    slow = ndimage.gaussian_filter1d(rng.standard_normal(count), 12, mode="nearest") * 4.5
    beads = np.zeros(count)
    if rng.random() < 0.5:
        beads[rng.random(count) < rng.uniform(0.02, 0.12)] = rng.uniform(0.5, 3)
        beads = ndimage.gaussian_filter1d(beads, 1.0) * 2.5
    return np.asarray(np.exp(np.clip(0.25 * slow, -1, 0.7)) + beads)


def render(
    neurites: Sequence[Neurite], shape: Zyx, sigma_vox: Sequence[float]
) -> tuple[Floats, Floats]:
    """Render neurites as blurred lines.

    Returns (signal, extent), both zyx float32: `signal` has each neurite's own SNR at its
    peak, `extent` is what they would be if each peak were 1: it tells where they are.
    """
    signal, extent = np.zeros((2, *shape), np.float32)
    nearest = [
        int(np.abs(np.log(n.radius_vox / np.array(CALIBRES_VOX))).argmin()) for n in neurites
    ]
    for calibre, radius in enumerate(CALIBRES_VOX):
        chosen = [n for n, k in zip(neurites, nearest, strict=True) if k == calibre]
        if not chosen:
            continue
        sigma = np.sqrt(np.square(sigma_vox) + (0.6 * radius) ** 2)
        points, weight, snr = (
            np.concatenate(part) for part in zip(*(_line(n, sigma) for n in chosen), strict=True)
        )
        for grid, values in ((signal, weight * snr), (extent, weight)):
            splat = _splat(points, values, shape)
            np.add(
                grid,
                ndimage.gaussian_filter(splat, sigma, mode="constant", truncate=3),
                out=grid,
            )
    return signal, extent


def _line(neurite: Neurite, sigma: Points) -> tuple[Points, Points, Points]:
    """Give points along a neurite with the weight that makes its blurred peak 1.

    A straight line of weight w a voxel, of direction u, blurred by the Gaussian of
    covariance S, peaks at w / (2 pi sqrt(det S * u' S^-1 u)).
    """
    points = neurite.points
    if len(points) < 2:
        return points, np.zeros(len(points)), neurite.snr
    steps = np.gradient(points, axis=0)
    length = np.linalg.norm(steps, axis=1)
    along = steps / (length[:, None] + 1e-9)
    spread = np.prod(sigma) * np.sqrt(np.sum(np.square(along / sigma), axis=1))
    return points, 2 * np.pi * spread * length, neurite.snr


def _splat(points: Points, values: Points, shape: Zyx) -> Floats:
    """Share each point's value among the eight voxels around it."""
    grid = np.zeros(shape, np.float32)
    base = np.floor(points).astype(int)
    share = points - base
    for corner in np.ndindex(2, 2, 2):
        at = base + corner
        weight = values * np.prod(np.where(corner, share, 1 - share), axis=1)
        inside = ((at >= 0) & (at < shape)).all(axis=1)
        np.add.at(grid, tuple(at[inside].T), weight[inside])
    return grid


def _label(target: Floats, extent: Floats) -> NDArray[np.uint8]:
    """Call a voxel neurite within half of the peak, and ignore the rest of the foot."""
    label = np.full(target.shape, BACKGROUND, np.uint8)
    label[extent > FOOT] = IGNORE
    label[extent > HALF_PEAK] = NEURITE
    label[(label == NEURITE) & (target < 0.5)] = IGNORE
    return label


def _puncta(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw blobs a few voxels wide: bright, and no neurites."""
    field = np.zeros(settings.shape, np.float32)
    at = [int(rng.integers(n)) for n in settings.shape]
    wide = np.multiply(sigma, rng.uniform(0.9, 1.8))
    reach = np.ceil(4 * wide).astype(int)
    spans = zip(at, reach, settings.shape, strict=True)
    window = tuple(slice(max(0, a - r), min(n, a + r + 1)) for a, r, n in spans)
    axes = np.ogrid[window]
    square = sum(((g - a) / s) ** 2 for g, a, s in zip(axes, at, wide, strict=True))
    field[window] = _log_uniform(rng, (2, 30)) * np.exp(-square / 2)
    return field, np.zeros(settings.shape, bool)


def _somata(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw a soma: bright, and ignored (it is a neuron's, but no neurite)."""
    centre = rng.uniform(0, 1, 3) * settings.shape
    radii = rng.uniform(5, 14) * rng.uniform(0.7, 1.3, 3)
    axes = np.ogrid[tuple(slice(0, n) for n in settings.shape)]
    square = sum(((g - c) / r) ** 2 for g, c, r in zip(axes, centre, radii, strict=True))
    body = np.asarray(1 / (1 + np.exp(6 * (np.sqrt(square) - 1))), np.float32)
    return _log_uniform(rng, (4, 60)) * body, body > 0.1


def _tract(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw a bundle of parallel neurites, too crowded to tell apart: ignored."""
    start, heading = rng.uniform(0.1, 0.9, 3) * settings.shape, _unit(rng.standard_normal(3))
    turn = rng.uniform(0.01, 0.04)
    ends = [_walk(rng, start, way, turn, settings.shape) for way in (heading, -heading)]
    middle = np.concatenate([ends[1][:0:-1], ends[0]])
    width, peak = rng.uniform(3, 9), _log_uniform(rng, (1.5, 12))
    stray = rng.standard_normal((int(rng.integers(15, 60)), 1, 3)) * width
    fibres = [Neurite(middle + s, 0.6, peak * _beads(rng, len(middle))) for s in stray]
    signal, extent = render(fibres, settings.shape, sigma)
    return signal, extent > FOOT


def _stripes(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw the shadows of a light sheet."""
    field = optics.stripes(settings.shape, rng) * np.float32(rng.uniform(0.1, 1.0))
    return field, np.zeros(settings.shape, bool)


def _unit(vector: Points) -> Points:
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-12))


def _log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))
