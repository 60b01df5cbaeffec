"""Trees drawn into voxels: 1 neurite, 2 ignored margin, 0 background.

The value of a voxel depends only on the tree and the voxel, so blocks equal the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import SettingsError
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.swc import Tree

__all__ = ["rasterise"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Bools = NDArray[np.bool_]

PIECE = 12.0
"""Voxels of an edge that are processed together: a slanting edge fills little of its box."""

MANY = 1 << 16
"""Voxels of windows that are processed together: as many as stay in the cache of a processor."""


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
    edges = _Edges.of(tree, unit, radius_um)
    margin = margin_vox * float(unit.min())
    near, inside = np.zeros(part.shape, bool), np.zeros(part.shape, bool)
    for edge, corner, window in edges.pieces_near(part, margin):
        _mark(near, inside, edges.depth(edge, corner, window), corner - part.start, margin)
    for at in edges.lines(part):
        inside[tuple((at - part.start).T)] = True
    return np.where(inside, NEURITE, np.where(near, IGNORE, 0)).astype(np.uint8)


class _Edges:
    """The edges of a tree, each from a node to its parent, in voxels, with radii in um.

    A root is an edge from itself to itself, so that a lone node is drawn too. Many are worked on at
    once: the tree of a neuron has an edge for nearly every voxel of its way.
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

    def pieces_near(self, box: Box, margin: float) -> Iterator[tuple[Whole, Whole, Zyx]]:
        """Return edges (n,) that come near a box, the first corners (n, 3) of windows of the box
        that contain a piece of each, and the shape of these windows.
        """
        reach = (self.radii.max(axis=1)[:, None] + margin) / self.unit + 1
        edge, piece = self._pieces(box, reach)
        ends = np.stack([self._at(edge, (piece + end) / self.counts[edge]) for end in (0, 1)])
        first = np.floor(ends.min(axis=0) - reach[edge]).astype(np.int64)
        last = np.ceil(ends.max(axis=0) + reach[edge]).astype(np.int64) + 1
        first, last = np.maximum(first, box.start), np.minimum(last, box.stop)
        there = (last > first).all(axis=1)
        edge, first, sides = edge[there], first[there], (last - first)[there]
        for shape, same in _alike(sides):
            z, y, x = shape
            for some in _parts(same, MANY // (z * y * x)):
                yield edge[some], first[some], shape

    def lines(self, box: Box) -> Iterator[Whole]:
        """Return the voxels (n, 3) of a box that edges pass through."""
        steps = np.arange(int(PIECE) * 4 + 1) / (int(PIECE) * 4)
        edge, piece = self._pieces(box, np.ones((len(self.start), 3)))
        for some in _parts(np.arange(len(edge)), MANY // len(steps)):
            shares = (piece[some][:, None] + steps) / self.counts[edge[some]][:, None]
            at = self._at(np.repeat(edge[some], len(steps)), shares.ravel())
            voxels = np.rint(at).astype(np.int64)
            yield voxels[((voxels >= box.start) & (voxels < box.stop)).all(axis=1)]

    def depth(self, edge: Whole, corner: Whole, window: Zyx) -> Floats:
        """Return the depth of each voxel of windows (n, z, y, x) inside the neurite of its edge
        (um; negative outside). corner: the first voxel of each window.

        Only sums and products voxel by voxel: the same in every window.
        """
        way = (self.stop - self.start)[edge] * self.unit
        z, y, x = (self._offsets(edge, corner, window, axis) for axis in range(3))
        square = way[:, 0] * way[:, 0] + way[:, 1] * way[:, 1] + way[:, 2] * way[:, 2]
        a, b, c = (way[:, axis, None, None, None] for axis in range(3))
        along = (z * a + y * b + x * c) / np.where(square, square, 1.0)[:, None, None, None]
        share = np.clip(along, 0, 1)
        apart = (z - share * a) ** 2 + (y - share * b) ** 2 + (x - share * c) ** 2
        first, last = (self.radii[edge, end][:, None, None, None] for end in (0, 1))
        return np.asarray(first + share * (last - first) - np.sqrt(apart))

    def _offsets(self, edge: Whole, corner: Whole, window: Zyx, axis: int) -> Floats:
        """Return how far the voxels of windows lie from the starts of their edges (um)."""
        at = corner[:, axis, None] + np.arange(window[axis])
        offsets: Floats = (at - self.start[edge, axis, None]) * self.unit[axis]
        return offsets.reshape(-1, *(window[axis] if a == axis else 1 for a in range(3)))

    def _at(self, edge: Whole, shares: Floats) -> Floats:
        """Return the points (n, 3) of edges at given shares of their lengths."""
        return np.asarray(self.start[edge] + shares[:, None] * (self.stop - self.start)[edge])

    def _pieces(self, box: Box, reach: Floats) -> tuple[Whole, Whole]:
        """Return all pieces that come near a box: the edge of each, and its number in the edge."""
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
        edges = np.flatnonzero(near)
        counts = (last - first)[edges].astype(np.int64)
        before = np.repeat(np.cumsum(counts) - counts, counts)
        piece = np.arange(counts.sum()) - before + np.repeat(first[edges], counts).astype(np.int64)
        return np.repeat(edges, counts), piece


def _mark(near: Bools, inside: Bools, depth: Floats, corner: Whole, margin: float) -> None:
    """Mark the voxels of windows that lie within the margin of their edges, and inside them."""
    z, y, x = depth.shape[1:]
    steps = np.array([near.shape[1] * near.shape[2], near.shape[2], 1])  # voxels along each axis
    offsets = np.add.outer(
        np.add.outer(np.arange(z) * steps[0], np.arange(y) * steps[1]), np.arange(x)
    )
    places = (corner @ steps)[:, None] + offsets.ravel()
    flat = depth.reshape(places.shape)
    for marked, least in ((near, -margin), (inside, 0.0)):
        marked.reshape(-1)[places[flat >= least]] = True


def _alike(sides: Whole) -> Iterator[tuple[Zyx, Whole]]:
    """Return each shape that occurs among windows, and which windows have it."""
    shapes, kind = np.unique(sides, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    borders = np.searchsorted(kind.ravel()[order], np.arange(1, len(shapes)))
    sizes = ((z, y, x) for z, y, x in shapes.tolist())
    yield from zip(sizes, np.split(order, borders), strict=False)  # no window: no shape


def _parts(numbers: Whole, most: int) -> Iterator[Whole]:
    """Cut a list into parts of so many at most."""
    size = max(1, most)
    for begin in range(0, len(numbers), size):
        yield numbers[begin : begin + size]
