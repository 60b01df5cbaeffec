"""Middle lines by TEASAR (Sato et al. 2000), as drawn by the package kimimaro: an extra, GPL.

It follows shortest paths through each connected part, so that blobs and rough surfaces produce
fewer spurs than with thinning. It needs the whole volume in memory: the result depends on blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, SettingsError
from neuroglow.skeleton.graph import Graph, reaching
from neuroglow.skeleton.middles import ReadBox, detected_in
from neuroglow.space.geometry import Box, Zyx

__all__ = ["LARGEST", "require_kimimaro", "teasar_graph"]

LARGEST = 2**29
"""Maximum number of voxels."""

SCALE, CONST_VOX = 1.5, 4.0
"""A line invalidates everything within SCALE x radius + CONST_VOX voxels of it."""

DUST = 6
"""Voxels; smaller connected parts are dropped."""


def require_kimimaro() -> Any:
    """Return the package, or raise SettingsError with installation instructions."""
    try:
        import kimimaro
    except ImportError:
        raise SettingsError(
            "lines by kimimaro need the package kimimaro",
            found="it is not installed (it is licensed under GPL, and not part of neuroglow)",
            where="--lines kimimaro",
            cure='pip install "neuroglow[kimimaro]"; or --lines thinning',
        ) from None
    return kimimaro


def teasar_graph(
    read: ReadBox, shape: Zyx, unit_um: Sequence[float], *, detected_from: float, peak: float
) -> Graph:
    """Draw the middle lines of voxels that are detected, in parts that reach `peak`.

    read: reads a box of the probability (zyx, float32, 0..1). unit_um: size of a voxel, zyx.
    Raises SettingsError without kimimaro, InputError for more than LARGEST voxels.
    """
    from scipy.ndimage import label

    kimimaro = require_kimimaro()
    whole = Box.of(shape)
    if whole.size > LARGEST:
        raise InputError(
            f"kimimaro draws at most {LARGEST / 2**20:.0f} Mvoxel, all at once",
            found=f"{whole.size / 2**20:.0f} Mvoxel",
            where="--lines kimimaro",
            cure="--lines thinning, which works block by block; or a part of the volume",
        )
    values, unit = read(whole), np.asarray(unit_um, np.float64)
    parts, _ = label(detected_in(values, detected_from), np.ones((3, 3, 3)))
    drawn = kimimaro.skeletonize(
        parts,
        teasar_params={"scale": SCALE, "const": CONST_VOX * float(np.prod(unit)) ** (1 / 3)},
        anisotropy=tuple(float(u) for u in unit),
        dust_threshold=DUST,
        progress=False,
        parallel=1,
    )
    lines = [drawn[number] for number in sorted(drawn)]
    starts = np.cumsum([0, *(len(line.vertices) for line in lines)])
    none = np.empty((0, 3))
    places = np.rint(np.concatenate([none, *(s.vertices for s in lines)]) / unit)
    edges = [s.edges.astype(np.int64) + n for s, n in zip(lines, starts[:-1], strict=True)]
    at = tuple(places.astype(np.int64).T)
    radii: NDArray[np.float64] = np.concatenate([none[:, 0], *(s.radii for s in lines)])
    joined = np.concatenate([np.empty((0, 2), np.int64), *edges])
    graph = Graph(
        places,
        unit,
        values[at].astype(np.float64),
        np.asarray(np.maximum(radii, unit.min() / 2)),
        joined,
        np.zeros(len(joined), np.int64),
        np.zeros(len(places), bool),
        np.bincount(joined.ravel(), minlength=len(places)) > 2,
    )
    return reaching(graph, graph.probability, peak)
