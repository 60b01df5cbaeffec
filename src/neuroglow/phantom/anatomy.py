"""Content of the tissue: trees of neurites, and everything else that is bright or dark.

A volume's anatomy is a sequence of items, each drawn only from (seed, kind, index) and returned
one by one, so that a brain of any size can be written to disk while it grows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging.neurites import Neurite, Points, beads, log_uniform, unit, walk
from neuroglow.phantom.marks import BODY, CROWD, FILLING, LINE, NEURITE_MARK, PUNCTUM, Marks, lines
from neuroglow.phantom.microscope import Microscope
from neuroglow.phantom.neurons import place_neuron, read_neurons
from neuroglow.phantom.region import RegionSettings, draw
from neuroglow.trees.swc import SOMA

__all__ = ["Item", "length_inside", "populate"]

VESSELS = {"background": LINE, "neurite": NEURITE_MARK, "ignore": CROWD}
"""Label of a bright vessel."""

SOMA_RADII, HOLLOW, WALL_UM, BASAL = (4.0, 12.0), 0.4, 2.0, 3
"""Radii of the somata of neurons (um), share of them that are dark inside but for a wall, its
thickness, and the type of their dendrites."""

FRUITLESS = 400
"""Maximum number of trees in a row that miss the volume."""


@dataclass(frozen=True)
class Item:
    """A tree of neurites, whose truth is known, or something else (no neurites).

    neurites: in voxels zyx of the volume. marks: all its bright points.
    share: of the volume's trees that have been grown, including this one.
    """

    neurites: tuple[Neurite, ...]
    marks: Marks
    share: float = 1.0


def populate(settings: RegionSettings, scope: Microscope) -> Iterator[Item]:
    """Return the trees until their length has the drawn density, then the distractors."""
    size = float(np.prod([float(n) for n in settings.shape]))
    wanted, length, missed = scope.density * size / 1000, 0.0, 0
    neurons = read_neurons(settings.swc) if settings.swc else None
    for index in itertools.count():
        if length >= wanted or missed == FRUITLESS:
            break
        rng = np.random.default_rng([scope.seed, 1, index])
        neurites = place_neuron(rng, settings, neurons) if neurons else _grow_tree(rng, settings)
        inside = sum(length_inside(n.points, settings) for n in neurites)
        missed = 0 if inside else missed + 1
        if inside:
            length += inside
            marks = np.concatenate([lines(n, NEURITE_MARK) for n in neurites])
            yield Item(tuple(neurites), marks, min(1.0, length / wanted))
    for index in range(_count(scope, (3,), settings.neurons * size / 1e6)):
        yield _neuron(np.random.default_rng([scope.seed, 4, index]), settings)
    yield from _distractors(settings, scope, size)


def _count(scope: Microscope, kind: tuple[int, ...], expected: float) -> int:
    return int(np.random.default_rng([scope.seed, *kind]).poisson(expected))


def _distractors(settings: RegionSettings, scope: Microscope, size: float) -> Iterator[Item]:
    kinds: tuple[tuple[float, Callable[..., Marks]], ...] = (
        (settings.puncta, _punctum),
        (settings.somata, _soma),
        (settings.vessels, _vessel),
        (settings.tracts, _tract),
        (settings.nuclei, _nucleus),
        (settings.microglia, _microglia),
        (settings.plaques, _plaque),
    )
    for kind, (expected, make) in enumerate(kinds):
        for index in range(_count(scope, (2, kind), expected * size / 1e6)):
            rng = np.random.default_rng([scope.seed, 10 + kind, index])
            yield Item((), make(rng, settings, scope))


def _grow_tree(rng: Generator, settings: RegionSettings) -> list[Neurite]:
    """Grow a stem through the volume with its branches, or a bundle of stems."""
    stretch, unit_um = _grid(settings)
    room = _room(settings, stretch)
    start = rng.uniform(-0.05, 1.05, 3) * room
    heading = unit(rng.standard_normal(3))
    turn = draw(rng, settings.tortuosity) * np.sqrt(unit_um)
    steps = max(8, int(draw(rng, settings.length) / unit_um))
    share = rng.uniform(0.2, 0.8)
    there = _stroll(rng, start, heading, (turn, room, int(steps * share)))
    back = _stroll(rng, start, -heading, (turn, room, int(steps * (1 - share))))
    path = np.concatenate([back[:0:-1], there])
    if len(path) < 3:
        return []
    _wiggle(rng, path, unit_um)
    radius = log_uniform(rng, settings.radius) / unit_um
    peak = log_uniform(rng, settings.snr)
    if rng.random() < settings.bundles:
        stems = _bundle(rng, settings, Neurite(path, radius, np.full(len(path), peak)))
    else:
        stem = Neurite(path, radius, peak * beads(rng, len(path), share=settings.beads))
        stems = [stem, *_branches(rng, settings, stem, (turn, room))]
    return [replace(n, points=n.points / stretch) for n in stems]


def _wiggle(rng: Generator, path: Points, unit_um: float) -> None:
    """Make a path crooked over some micrometres, by up to about one."""
    smooth = max(1.0, 2.5 / unit_um)
    strays = ndimage.gaussian_filter1d(rng.standard_normal(path.shape), smooth, axis=0)
    path += rng.uniform(0.5, 4) / unit_um**1.5 * strays


def _bundle(rng: Generator, settings: RegionSettings, middle: Neurite) -> list[Neurite]:
    """Lay neurites around a path, near each other but mostly apart, each straying slowly."""
    _, unit_um = _grid(settings)
    at, stems = np.arange(len(middle.points)), []
    for _ in range(int(rng.integers(3, 12))):
        coarse = np.arange(0, len(at) + 48, 48)
        stray = np.cumsum(rng.standard_normal((len(coarse), 3)), axis=0) * 1.2
        stray = (stray + rng.standard_normal(3) * 4) / unit_um
        offset = np.stack([np.interp(at, coarse, s) for s in stray.T], axis=1)
        own = middle.snr * rng.uniform(0.5, 1.2) * beads(rng, len(at), share=settings.beads)
        radius = middle.radius_vox * rng.uniform(0.7, 1.3)
        stems.append(Neurite(middle.points + offset, radius, own))
    return stems


def _branches(
    rng: Generator,
    settings: RegionSettings,
    stem: Neurite,
    way: tuple[float, tuple[int, int, int]],
) -> list[Neurite]:
    found = []
    _, unit_um = _grid(settings)
    expected = settings.branches * len(stem.points) * unit_um / 100
    for _ in range(rng.poisson(expected) if len(stem.points) > 8 else 0):
        at = int(rng.integers(2, len(stem.points) - 2))
        along = unit(stem.points[at + 1] - stem.points[at - 1])
        heading = unit(along + rng.uniform(0.5, 1.5) * unit(rng.standard_normal(3)))
        steps = max(4, int(log_uniform(rng, (8, 250)) / unit_um))
        points = _stroll(rng, stem.points[at], heading, (*way, steps))
        snr = stem.snr[at] * rng.uniform(0.5, 1) * beads(rng, len(points), share=settings.beads)
        if len(points) > 2:
            found.append(Neurite(points, 0.8 * stem.radius_vox, snr, (0, at)))
    return found


def _stroll(
    rng: Generator,
    start: Points,
    heading: Points,
    way: tuple[float, tuple[int, int, int], int],
) -> Points:
    """Walk a number of steps, in pieces, because a long walk straightens; or until outside."""
    turn, room, steps = way
    parts = [start[None]]
    while steps > 0:
        piece = walk(rng, parts[-1][-1], heading, turn, room, steps=min(steps, 200))[1:]
        if not len(piece):
            break
        parts.append(piece)
        if len(piece) < min(steps, 200):
            break
        heading, steps = unit(piece[-1] - piece[-2]), steps - len(piece)
    return np.concatenate(parts)


def _punctum(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    at = rng.uniform(0, 1, 3) * settings.shape
    value = log_uniform(rng, settings.puncta_snr)
    radius = log_uniform(rng, (0.4, 2.5)) / min(settings.voxel_size)
    return np.array([[*at, 0, 0, 0, value, radius, PUNCTUM]], np.float32)


def _soma(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Fill an ellipsoid of random axes with marks, a finest voxel and a half apart."""
    unit_um = _grid(settings)[1]
    centre = rng.uniform(0, 1, 3) * settings.shape
    radii = rng.uniform(4, 9) * rng.uniform(0.75, 1.3, 3) / unit_um
    marks = _filled(rng, settings, centre, radii)
    marks[:, 6], marks[:, 8] = log_uniform(rng, (4, 60)), FILLING
    return marks


def _neuron(rng: Generator, settings: RegionSettings) -> Item:
    """Make a soma and its dendrites, which branch: a tree whose root is the soma, of type 1."""
    stretch, unit_um = _grid(settings)
    room = _room(settings, stretch)
    centre = rng.uniform(0, 1, 3) * room
    radius = log_uniform(rng, SOMA_RADII) / unit_um
    peak = log_uniform(rng, settings.snr)
    tree = [Neurite(centre[None], radius, np.full(1, peak), kind=SOMA)]
    for heading in _spread(rng, int(rng.integers(3, 8))):
        turn = draw(rng, settings.tortuosity) * np.sqrt(unit_um)
        steps = max(8, int((radius + log_uniform(rng, (40, 300))) / unit_um))
        points = _stroll(rng, centre, heading, (turn, room, steps))[1:]
        if len(points) > 2:
            calibre = log_uniform(rng, settings.dendrite) / unit_um
            stem = Neurite(points, calibre, np.full(len(points), peak), (0, 0), BASAL)
            own = len(tree)
            more = _branches(rng, settings, stem, (turn, room))
            tree += [stem]
            tree += [replace(n, parent=(own, n.parent[1]), kind=BASAL) for n in more if n.parent]
    body = _filled(rng, settings, centre / stretch, np.full(3, radius))
    if rng.random() < HOLLOW:
        away = np.linalg.norm((body[:, :3] - centre / stretch) * stretch, axis=1)
        body = body[away > radius - WALL_UM / unit_um]
    body[:, 6], body[:, 8] = peak * rng.uniform(2, 10), FILLING
    placed = [replace(n, points=n.points / stretch) for n in tree]
    return Item(
        tuple(placed), np.concatenate([body, *(lines(n, NEURITE_MARK) for n in placed[1:])])
    )


def _spread(rng: Generator, count: int) -> list[Points]:
    """Draw directions that are at least 40 degrees apart, as many as are found soon."""
    found: list[Points] = []
    for _ in range(20 * count):
        way = unit(rng.standard_normal(3))
        if len(found) < count and all(way @ other < 0.77 for other in found):
            found.append(way)
    return found


def _nucleus(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Fill a small ellipsoid that is background: a nucleus, or the soma of a small cell."""
    unit_um = _grid(settings)[1]
    radii = rng.uniform(2, 5) * rng.uniform(0.75, 1.3, 3) / unit_um
    marks = _filled(rng, settings, rng.uniform(0, 1, 3) * settings.shape, radii)
    marks[:, 6], marks[:, 8] = log_uniform(rng, settings.body_snr), BODY
    return marks


def _microglia(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Draw a small body and the short processes around it: all of it background."""
    stretch, unit_um = _grid(settings)
    room = _room(settings, stretch)
    centre = rng.uniform(0, 1, 3) * room
    body = _filled(rng, settings, centre / stretch, rng.uniform(2, 4, 3) / unit_um)
    peak = log_uniform(rng, settings.body_snr)
    body[:, 6], body[:, 8] = peak, BODY
    parts = [body]
    for _ in range(int(rng.integers(4, 10))):
        steps = max(4, int(rng.uniform(8, 25) / unit_um))
        path = _stroll(rng, centre, unit(rng.standard_normal(3)), (0.2, room, steps))
        if len(path) > 2:
            fading = peak * rng.uniform(0.3, 0.9) * np.linspace(1, 0.3, len(path))
            parts.append(lines(Neurite(path / stretch, 0.5 / unit_um, fading), LINE))
    return np.concatenate(parts)


def _plaque(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Fill a ragged cloud around a dense core: background."""
    unit_um = _grid(settings)[1]
    radii = log_uniform(rng, (4, 18)) * rng.uniform(0.8, 1.2, 3) / unit_um
    centre, peak = rng.uniform(0, 1, 3) * settings.shape, log_uniform(rng, settings.body_snr)
    cloud, core = (_filled(rng, settings, centre, r * radii) for r in (1.0, 0.35))
    cloud[:, 6] = peak * rng.exponential(0.4, len(cloud))
    core[:, 6] = peak
    marks = np.concatenate([cloud, core])
    marks[:, 8] = BODY
    return marks


def _filled(rng: Generator, settings: RegionSettings, centre: Points, radii: Points) -> Marks:
    """Fill an ellipsoid (radii in finest voxels) with marks whose brightness and role are open."""
    stretch, _ = _grid(settings)
    step = max(1.5, float(radii.max()) / 8)
    axes = [np.arange(-r, r + step, step) for r in radii]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    filled = grid[np.sum(np.square(grid / radii), axis=1) <= 1]
    filled = filled + rng.uniform(-0.4, 0.4, filled.shape) * step
    marks = np.empty((len(filled), 9), np.float32)
    marks[:, :3] = centre + filled / stretch
    marks[:, 3:6] = step / stretch
    marks[:, 7] = 0.6 * step
    return marks


def _vessel(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Draw a tube: mostly dark (washed out), sometimes bright (autofluorescent blood)."""
    stretch, unit_um = _grid(settings)
    room = _room(settings, stretch)
    start, heading = rng.uniform(0, 1, 3) * room, unit(rng.standard_normal(3))
    steps = int(log_uniform(rng, (60, 600)) / unit_um)
    path = _stroll(rng, start, heading, (rng.uniform(0.01, 0.06), room, max(8, steps)))
    dark = -scope.pedestal * rng.uniform(0.3, 0.8)
    value = dark if rng.random() < 0.75 else log_uniform(rng, (2, 15))
    if len(path) < 3:
        return np.empty((0, 9), np.float32)
    radius = log_uniform(rng, (1.5, 6)) / unit_um
    role = VESSELS[settings.vessels_as] if value > 0 else LINE  # a dark tube is never a neurite
    return lines(Neurite(path / stretch, radius, np.full(len(path), value)), role)


def _tract(rng: Generator, settings: RegionSettings, scope: Microscope) -> Marks:
    """Draw many parallel fibres, too crowded to label."""
    stretch, unit_um = _grid(settings)
    room = _room(settings, stretch)
    start, heading = rng.uniform(0.1, 0.9, 3) * room, unit(rng.standard_normal(3))
    path = _stroll(rng, start, heading, (rng.uniform(0.01, 0.03), room, 600))
    if len(path) < 3:
        return np.empty((0, 9), np.float32)
    width, peak = rng.uniform(3, 9) / unit_um, log_uniform(rng, (1.5, 12))
    stray = rng.standard_normal((int(rng.integers(15, 60)), 1, 3)) * width
    fibres = [
        Neurite((path + s) / stretch, 0.6 / unit_um, peak * beads(rng, len(path))) for s in stray
    ]
    return np.concatenate([lines(fibre, CROWD) for fibre in fibres])


def _grid(settings: RegionSettings) -> tuple[NDArray[np.float64], float]:
    """Return a voxel's size over that of its finest axis (zyx), and the latter in micrometres."""
    size = np.array(settings.voxel_size)
    return size / size.min(), float(size.min())


def _room(settings: RegionSettings, stretch: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the volume in finest voxels per axis."""
    z, y, x = (max(1, int(n)) for n in np.ceil(np.multiply(settings.shape, stretch)))
    return z, y, x


def length_inside(points: Points, settings: RegionSettings) -> float:
    """Measure the part of a path (voxels zyx) inside the volume, in finest voxels."""
    stretch, _ = _grid(settings)
    inside = np.all((points >= 0) & (points < settings.shape), axis=1)
    steps = np.linalg.norm(np.diff(points, axis=0) * stretch, axis=1)
    return float(steps[inside[1:]].sum())
