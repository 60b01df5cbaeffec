"""Neurons read from SWC files, placed and rotated at random, and resampled smoothly."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from neuroglow.errors import InputError
from neuroglow.files.writing import file_sha256
from neuroglow.imaging.neurites import Neurite, Points, beads, log_uniform
from neuroglow.phantom.region import RegionSettings
from neuroglow.trees.resample import smooth_curve
from neuroglow.trees.swc import Tree, paths, read_swc
from neuroglow.trees.swc_unit import scaled

__all__ = ["place_neuron", "read_neurons", "resample_path"]

DENDRITES = (3, 4)
STEP = 0.8
"""Finest voxels between two points of a resampled path."""

MARGIN_VOX = 24
WOBBLE = 0.05
"""Stray between the nodes of a tracing, over their distance: real neurites are not splines."""

Neuron = tuple[Tree, tuple[NDArray[np.int64], ...]]


def read_neurons(folder: str) -> tuple[Neuron, ...]:
    """Read all SWC files of a folder, in the order of their names, each with its paths.

    Raises InputError if there is no such folder, or no tree in it.
    """
    place = Path(folder)
    files = sorted(place.glob("*.swc")) if place.is_dir() else []
    found = [_read_neuron(file, file_sha256(file)) for file in files]
    found = [neuron for neuron in found if neuron[1]]
    if not found:
        raise InputError(
            "trees are read from a folder of SWC files",
            found="no .swc file with a tree" if place.is_dir() else "no such folder",
            where=folder,
        )
    return tuple(found)


@lru_cache(maxsize=256)
def _read_neuron(file: Path, sha256: str) -> Neuron:
    """Read a neuron (um) once in each worker, and again when its content has changed."""
    tree = read_swc(file)
    if tree.unit == "voxel":
        raise InputError(
            "neurons of phantoms are in micrometres",
            found="a header that says voxels, of which nobody knows the size",
            where=str(file),
            cure="a file in micrometres or nanometres",
        )
    tree = scaled(tree, tree.unit or "um", (1.0, 1.0, 1.0))
    return tree, tuple(paths(tree))


def place_neuron(
    rng: Generator, settings: RegionSettings, neurons: tuple[Neuron, ...]
) -> list[Neurite]:
    """Put one of its nodes at a random place of the volume, rotate it, and return the part nearby.

    Points are in voxels; radii come from the settings, by type, since most files contain dummies.
    """
    tree, cuts = neurons[int(rng.integers(len(neurons)))]
    size = np.array(settings.voxel_size)
    middle = tree.points[int(rng.integers(len(tree.points)))]
    turned = Rotation.random(random_state=rng).apply(tree.points - middle)
    points = turned + rng.uniform(0, 1, 3) * settings.shape * size
    peak = log_uniform(rng, settings.snr)
    radii = [log_uniform(rng, r) / float(size.min()) for r in (settings.radius, settings.dendrite)]
    found: list[Neurite] = []
    ends: dict[int, tuple[int, int]] = {}
    for cut in cuts:
        kind = int(tree.kinds[cut[-1]])
        path = points[cut]
        if not _near(path, settings):
            continue
        smooth = resample_path(path, STEP * float(size.min()), rng) / size
        snr = peak * rng.uniform(0.7, 1.2) * beads(rng, len(smooth), share=settings.beads)
        radius = radii[1] if kind in DENDRITES else radii[0]
        kind = kind if kind in DENDRITES else 2
        whole = Neurite(smooth, radius, snr, ends.get(int(cut[0])), kind)
        for piece, last in _pieces_near(whole, settings):
            found.append(piece)
            if last:
                ends[int(cut[-1])] = (len(found) - 1, len(piece.points) - 1)
    return found


def resample_path(path: Points, step: float, rng: Generator | None = None) -> Points:
    """Join nodes (n, 3) by a smooth curve through each, with points at most `step` apart.

    Akima's (1970) interpolation by chord length, which does not overshoot as a cubic spline
    does. With `rng` the curve strays a little between nodes.
    """
    keep = np.append(True, np.linalg.norm(np.diff(path, axis=0), axis=1) > 1e-6)
    nodes = path[keep]
    if len(nodes) < 2:
        return np.concatenate([path[:1], path[:1]])
    chord = np.append(0, np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1)))
    count = max(2, int(np.ceil(1.1 * chord[-1] / step)) + 1)
    at = np.linspace(0, chord[-1], count)
    curve = smooth_curve(nodes, at)
    if rng is None:
        return curve
    gap = np.diff(chord).mean() / step
    stray = gaussian_filter1d(rng.standard_normal((count, 3)), max(2, gap / 6), axis=0)
    stray /= stray.std() + 1e-9
    between = np.sin(np.pi * np.interp(at, chord, np.arange(len(chord)))) ** 2
    return np.asarray(curve + WOBBLE * gap * step * between[:, None] * stray)


def _near(path: Points, settings: RegionSettings) -> bool:
    size = np.array(settings.voxel_size)
    margin = MARGIN_VOX * size
    low, high = path.min(0), path.max(0)
    return bool((high > -margin).all() and (low < settings.shape * size + margin).all())


def _pieces_near(whole: Neurite, settings: RegionSettings) -> list[tuple[Neurite, bool]]:
    """Keep the runs of points in the volume or near it; tell which holds the path's end."""
    near = (whole.points > -MARGIN_VOX) & (whole.points < np.add(settings.shape, MARGIN_VOX))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], near.all(axis=1), [0]]).astype(int)))
    count = len(whole.points)
    return [
        (
            Neurite(
                whole.points[a:b],
                whole.radius_vox,
                whole.snr[a:b],
                whole.parent if a == 0 else None,
                whole.kind,
            ),
            b == count,
        )
        for a, b in edges.reshape(-1, 2).tolist()
        if b - a > 2
    ]
