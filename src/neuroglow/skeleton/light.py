"""Light: how bright the raw image is along lines, which tells neurites apart that touch."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph
from neuroglow.skeleton.middles import ReadBox
from neuroglow.space.geometry import Box, Zyx

__all__ = ["with_light"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIDE = 64
"""Voxels along each axis that are read at once."""

DIM = 0.3
"""Lowest brightness, in noise: fainter neurites do not differ."""


def with_light(graph: Graph, glow: ReadBox | None, shape: Zyx) -> Graph:
    """Measure the light of each node: the log mean of the 27 voxels around it.

    glow: reads the raw image less its background, over its noise; none: no light is known.
    """
    if glow is None or not len(graph.places):
        return graph
    places = np.clip(np.rint(graph.places).astype(np.int64), 0, np.subtract(shape, 1))
    brick = np.ravel_multi_index(tuple((places // SIDE).T), tuple(-(-n // SIDE) for n in shape))
    order = np.argsort(brick, kind="stable")
    light = np.empty(len(places))
    for some in np.split(order, np.flatnonzero(np.diff(brick[order])) + 1):
        light[some] = _around(places[some], glow, shape)
    return replace(graph, lights=np.log(np.maximum(light, DIM)))


def _around(places: Integers, glow: ReadBox, shape: Zyx) -> Floats:
    """Return the mean of the 27 voxels around places that are close together."""
    low, high = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    box = Box((low[0], low[1], low[2]), (high[0], high[1], high[2])).grow(1)
    box = box.intersect(Box.of(shape))
    values = glow(box).astype(np.float64)
    total = np.zeros(len(places))
    for offset in itertools.product((-1, 0, 1), repeat=3):
        at = np.clip(places + offset, 0, np.subtract(shape, 1)) - box.start
        total += values[tuple(at.T)]
    return total / 27
