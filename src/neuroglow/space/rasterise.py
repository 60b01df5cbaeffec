"""Trees drawn into voxels: 1 neurite, 2 ignored margin, 0 background.

The value of a voxel depends only on the tree and the voxel, so blocks equal the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import SettingsError
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.labels import IGNORE, NEURITE
from neuroglow.space.swc import Tree
from neuroglow.space.volume import VoxelSize

__all__ = ["rasterise"]

Floats = NDArray[np.float64]

PIECE = 12.0
"""Voxels of an edge that are processed together: a slanting edge fills little of its box."""


def rasterise(
    tree: Tree,
    shape: Zyx,
    voxel_size_um: VoxelSize,
    *,
    radius_um: float | None = None,
    margin_vox: float = 1.0,
    box: Box | None = None,
) -> NDArray[np.uint8]:
    """Draw trees into a volume: 0 background, 1 neurite, 2 ignored margin (zyx, uint8).

    tree: micrometres, zyx; the centre of voxel i lies at i * voxel_size_um.
    shape: zyx voxels of the volume. box: the part of it that is drawn, by default all.
    radius_um: of every neurite, instead of the tree's own radii, which are often dummies.
    margin_vox: width of the ignored margin, in voxels of the finest axis.

    A voxel is neurite if its centre lies within the radius of an edge (the radius changes
    linearly from node to node), and wherever the line itself passes through: a neurite has no gaps,
    however thin it is. Missing radii are half of the finest voxel.
    Raises SettingsError if the radius or the margin is negative or not a number.
    """
    if not (margin_vox >= 0 and (radius_um is None or 0 <= radius_um < np.inf)):
        raise SettingsError(
            "radius and margin are positive numbers, or 0", found=f"{radius_um}, {margin_vox}"
        )
    part = Box.of(shape) if box is None else box
    unit = np.asarray(voxel_size_um, np.float64)
    drawn = np.zeros(part.shape, np.uint8)
    edges = _Edges.of(tree, unit, radius_um)
    margin = margin_vox * float(unit.min())
    for edge, window in edges.pieces_near(part, margin):
        _draw(drawn[window.relative_to(part).slices], window, edge, margin)
    for at in edges.lines(part):
        drawn[tuple((at - part.start).T)] = NEURITE
    return drawn


class _Edges:
    """The edges of a tree, each from a node to its parent, in voxels, with radii in um.

    A root is an edge from itself to itself, so that a lone node is drawn too.
    """

    def __init__(self, start: Floats, stop: Floats, radii: Floats, unit: Floats) -> None:
        self.start, self.stop, self.radii, self.unit = start, stop, radii, unit
        length = np.sqrt(np.square(stop - start).sum(axis=1))
        self.counts = np.maximum(1, np.ceil(length / PIECE)).astype(np.int64)

    @classmethod
    def of(cls, tree: Tree, unit: Floats, radius_um: float | None) -> _Edges:
        """Take the edges of a tree."""
        parents = np.where(tree.parents < 0, np.arange(len(tree.parents)), tree.parents)
        own = np.nan_to_num(tree.radii) if radius_um is None else np.full(len(parents), radius_um)
        own = np.maximum(own, unit.min() / 2)
        points = tree.points / unit
        return cls(points, points[parents], np.stack([own, own[parents]], axis=1), unit)

    def pieces_near(self, box: Box, margin: float) -> Iterator[tuple[_Edge, Box]]:
        """Return edges that come near a box, with windows of the box that contain their pieces."""
        reach = (self.radii.max(axis=1)[:, None] + margin) / self.unit + 1
        for index, low, high in self._ranges(box, reach):
            edge = _Edge(self.start[index], self.stop[index], self.radii[index], self.unit)
            for piece in range(low, high):
                ends = edge.at(np.array([piece, piece + 1]) / self.counts[index])
                first = np.floor(ends.min(axis=0) - reach[index]).astype(np.int64)
                last = np.ceil(ends.max(axis=0) + reach[index]).astype(np.int64) + 1
                window = _box(first, last).intersect(box)
                if window.size:
                    yield edge, window

    def lines(self, box: Box) -> Iterator[NDArray[np.int64]]:
        """Return the voxels (n, 3) of a box that edges pass through."""
        steps = np.arange(int(PIECE) * 4 + 1) / (int(PIECE) * 4)
        for index, low, high in self._ranges(box, np.ones((len(self.start), 3))):
            shares = (np.arange(low, high)[:, None] + steps) / self.counts[index]
            way = self.stop[index] - self.start[index]
            at = np.rint(self.start[index] + shares.reshape(-1, 1) * way).astype(np.int64)
            yield at[((at >= box.start) & (at < box.stop)).all(axis=1)]

    def _ranges(self, box: Box, reach: Floats) -> Iterator[tuple[int, int, int]]:
        """Return each edge that comes near a box, and which of its pieces do."""
        low, high = np.array(box.start) - reach, np.array(box.stop) + reach
        way = self.stop - self.start
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (low - self.start) / way, (high - self.start) / way
        still = way == 0
        beside = still & ((self.start < low) | (self.start > high))
        enter = np.where(still, 0, np.minimum(a, b)).max(axis=1)
        leave = np.where(still, 1, np.maximum(a, b)).min(axis=1)
        near = (enter <= leave) & (enter <= 1) & (leave >= 0) & ~beside.any(axis=1)
        first = np.clip(np.floor(np.clip(enter, 0, 1) * self.counts) - 1, 0, None)
        last = np.clip(np.ceil(np.clip(leave, 0, 1) * self.counts) + 1, None, self.counts)
        for index in np.flatnonzero(near):
            yield int(index), int(first[index]), int(last[index])


class _Edge:
    """One edge: its ends in voxels, its radii in um."""

    def __init__(self, start: Floats, stop: Floats, radii: Floats, unit: Floats) -> None:
        self.start, self.stop, self.radii, self.unit = start, stop, radii, unit

    def at(self, shares: Floats) -> Floats:
        """Return the points (n, 3) at given shares of the length."""
        return np.asarray(self.start + shares[:, None] * (self.stop - self.start))

    def depth(self, window: Box) -> Floats:
        """Return the depth of each voxel of a window inside the neurite (um; negative outside).

        Only sums and products voxel by voxel: the same in every window.
        """
        way = (self.stop - self.start) * self.unit
        grid = np.ogrid[window.slices]
        z, y, x = (
            (g - s) * u for g, s, u in zip(grid, self.start.tolist(), self.unit, strict=True)
        )
        square = float(way[0] * way[0] + way[1] * way[1] + way[2] * way[2])
        along = (z * way[0] + y * way[1] + x * way[2]) / (square or 1.0)
        share = np.clip(along, 0, 1)
        apart = (z - share * way[0]) ** 2 + (y - share * way[1]) ** 2 + (x - share * way[2]) ** 2
        radius = self.radii[0] + share * (self.radii[1] - self.radii[0])
        return np.asarray(radius - np.sqrt(apart))


def _draw(part: NDArray[np.uint8], window: Box, edge: _Edge, margin: float) -> None:
    """Draw an edge into a window; neurite wins over margin."""
    depth = edge.depth(window)
    part[(depth >= -margin) & (part == 0)] = IGNORE
    part[depth >= 0] = NEURITE


def _box(first: NDArray[np.int64], last: NDArray[np.int64]) -> Box:
    return Box(
        (int(first[0]), int(first[1]), int(first[2])), (int(last[0]), int(last[1]), int(last[2]))
    )
