"""The truth of a phantom: its trees in micrometres, and the SNR of each neurite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.neurites import Neurite
from neuroglow.phantom.anatomy import length_inside
from neuroglow.phantom.microscope import Microscope
from neuroglow.phantom.morphology import to_tree
from neuroglow.phantom.region import RegionSettings
from neuroglow.trees.swc import NEURON, Tree

Visibility = Callable[[NDArray[np.int64]], NDArray[np.floating[Any]]]

__all__ = ["clip", "describe", "forest", "weighted_median"]


def forest(trees: Sequence[Sequence[Neurite]], *, first_neuron: int = 1) -> Tree:
    """Join trees, each a list of neurites, to one Tree in voxels.

    The column `neuron` numbers them: one that leaves the volume and comes back keeps its number.
    """
    parts = [to_tree(neurites) for neurites in trees]
    first = np.cumsum([0, *(len(part.points) for part in parts)])
    parents = [
        np.where(part.parents < 0, -1, part.parents + start)
        for start, part in zip(first, parts, strict=False)
    ]
    whole = np.concatenate([np.empty(0, np.int64), *parents])
    return Tree(
        np.concatenate([np.empty((0, 3)), *(p.points for p in parts)]),
        np.concatenate([np.empty(0), *(p.radii for p in parts)]),
        np.concatenate([np.empty(0, np.int64), *(p.kinds for p in parts)]),
        whole,
        {NEURON: (_roots(whole) + first_neuron).astype(np.float64)},
    )


def _roots(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each node, the rank of its root among the roots."""
    up = np.where(parents < 0, np.arange(len(parents)), parents)
    while (further := up[up]).tobytes() != up.tobytes():
        up = further
    return np.asarray((np.cumsum(parents < 0) - 1)[up])


def clip(tree: Tree, settings: RegionSettings, scope: Microscope) -> Tree:
    """Keep the nodes inside volume and tissue, in micrometres.

    A node whose parent is cut off becomes a root, of the same neuron.
    """
    inside = ((tree.points >= 0) & (tree.points <= np.subtract(settings.shape, 1))).all(axis=1)
    inside &= scope.in_tissue(tree.points)
    place = np.append(np.cumsum(inside) - 1, -1)
    place[:-1][~inside] = -1
    return Tree(
        tree.points[inside] * settings.voxel_size,
        tree.radii[inside] * min(settings.voxel_size),
        tree.kinds[inside],
        place[tree.parents[inside]],
        {name: values[inside] for name, values in tree.columns.items()},
    )


def describe(
    neurite: Neurite,
    settings: RegionSettings,
    scope: Microscope,
    visibility: Visibility,
) -> dict[str, Any] | None:
    """Return a neurite's row of the table; None if hardly any of it is inside.

    snr: median, along it, of its blurred peak over the standard deviation of the noise there.
    snr_low: the tenth percentile. snr_drawn: without haze, depth, illumination and shot noise.
    visibility: returns that of voxels (n, 3); see Seen.
    """
    at = np.rint(neurite.points).astype(int)
    inside = ((at >= 0) & (at < settings.shape)).all(axis=1) & scope.in_tissue(neurite.points)
    if np.count_nonzero(inside) < 3:
        return None
    unit_um = min(settings.voxel_size)
    length = length_inside(neurite.points[inside], settings)
    dimmed = scope.dimming(neurite.points[inside, 0], neurite.radius_vox)
    seen = neurite.snr[inside] * dimmed * visibility(at[inside])
    return {
        "neurite": 0,
        "kind": neurite.kind,
        "snr": round(float(np.median(seen)), 3),
        "snr_low": round(float(np.quantile(seen, 0.1)), 3),
        "snr_drawn": round(float(np.median(neurite.snr[inside])), 3),
        "radius_um": round(neurite.radius_vox * unit_um, 3),
        "length_vox": round(length, 1),
        "length_um": round(length * unit_um, 1),
    }


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
