"""Bodies: thick, compact and bright parts of a volume, whichever block they are found in.

A volume is searched in tiles of a fixed grid, at a coarse resolution: at several levels of
brightness, the highest first, for places deep inside what is at least as bright. Each is measured
at half of its own brightness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.deep_places import CORE, LONG, Deep, deep_places, filled
from neuroglow.skeleton.middles import ReadBox
from neuroglow.space.geometry import Block, Blocks, Box, Zyx, tile

__all__ = ["Body", "BodySearch", "without_doubles"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

GRAIN = 0.42
"""Side of the voxels of the search, at most, over the least radius."""

LENIENT = 0.8
"""Share of the least radius from which a place is measured: at half of its own brightness, a body
is larger."""

TILE, HALO = 160, 32
"""Voxels of the search: side of a tile, and what is read around it."""

LAYERS, SLAB = 32, 2**24
"""Layers of the search that are read at a time: at least so many, and up to so many voxels."""

BRIGHT = 0.8
"""Quantile of the brightness within a body that tells its own: a hollow one is mostly dark."""

AROUND = 2.5
"""Half the side of the box in which a body is measured, over its radius."""

BALLS = 64
"""Balls by which a body is described, at most."""

CORNERS = np.array([(a, b, c) for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
"""Steps to the corners of a box, zyx."""


@dataclass(frozen=True)
class Body:
    """A body as a union of balls, the largest first: (k, 3) places and (k,) radii, um.

    lines: the number of lines that must run to it if it is to be a soma.
    """

    places: Floats
    radii: Floats
    lines: int = 0

    @property
    def centre(self) -> Floats:
        """The centre of the largest ball that fits in."""
        return np.asarray(self.places[0])

    @property
    def radius(self) -> float:
        """The radius of the largest ball that fits in."""
        return float(self.radii[0])

    @property
    def reach(self) -> float:
        """Distance of the farthest place inside from the centre."""
        away = np.linalg.norm(self.places - self.centre, axis=1)
        return float((away + self.radii).max())

    def depths(self, points: Floats) -> Floats:
        """Return how deep points (n, 3; um) lie inside; negative outside."""
        away = np.linalg.norm(points[:, None] - self.places, axis=2)
        return np.asarray((self.radii - away).max(axis=1))

    def overlaps(self, other: Body) -> bool:
        """Return whether the centre of either lies in the other."""
        return bool(other.depths(self.places[:1])[0] >= 0 or self.depths(other.places[:1])[0] >= 0)


def any_body(body: Body) -> bool:
    """Accept any body."""
    return True


@dataclass(frozen=True)
class BodySearch:
    """A search for bodies in a volume; keeps what it has found.

    begin: gives what reads the brightness of a box (zyx, float32), once for each tile. levels: of
    brightness, the highest first. unit_um: size of a voxel. least: radius of the largest ball in a
    body, um. lines: those that must run to a body (Body). lenient: share of the least radius from
    which a place is measured. accept: whether a thick, compact body is one.
    """

    begin: Callable[[], ReadBox]
    levels: Sequence[float]
    shape: Zyx
    unit_um: Floats
    least: float
    lines: int = 0
    lenient: float = LENIENT
    accept: Callable[[Body], bool] = any_body
    _found: dict[int, list[Body]] = field(default_factory=dict, compare=False)

    @property
    def factors(self) -> Integers:
        """Voxels along each axis of a voxel of the search."""
        return np.maximum(1, np.floor(GRAIN * self.least / self.unit_um)).astype(np.int64)

    @property
    def tiles(self) -> Blocks:
        """The tiles of the grid, in voxels of the search; each is read with a halo."""
        z, y, x = (-(-n // f) for n, f in zip(self.shape, self.factors.tolist(), strict=True))
        return tile(Box.of((z, y, x)), (TILE,) * 3, halo=HALO)

    def around(self, places: Floats) -> list[Block]:
        """Return the tiles whose box with its halo holds any of the places (n, 3; voxels zyx)."""
        tiles = self.tiles
        cells = np.unique(np.floor(places / (self.factors * HALO)).astype(np.int64), axis=0)
        near = (cells[:, None] + CORNERS) * HALO // TILE
        inside = near[((near >= 0) & (near < tiles.grid)).all(axis=-1)]
        numbers = np.unique(np.ravel_multi_index(inside.T, tiles.grid))
        return [tiles.at(number) for number in numbers.tolist()]

    def in_tile(self, part: Block) -> list[Body]:
        """Find the bodies whose centre, as first seen, lies in a tile."""
        return list(_in_tile(self, part))

    def near(self, places: Floats) -> list[Body]:
        """Find the bodies in the tiles around places (n, 3; voxels zyx)."""
        found: list[Body] = []
        for part in self.around(places):
            if part.index not in self._found:
                self._found[part.index] = self.in_tile(part)
            found += self._found[part.index]
        return without_doubles(found)


def _finer(box: Box, factors: Integers, shape: Zyx) -> Box:
    """Return the voxels of a box of the search."""
    z, y, x = np.multiply(box.start, factors).tolist()
    c, b, a = np.minimum(np.multiply(box.stop, factors), shape).tolist()
    return Box((z, y, x), (c, b, a))


def _in_tile(search: BodySearch, part: Block) -> Iterator[Body]:
    """Find the bodies whose centre, as first seen, lies in a tile."""
    inner, unit = part.inner, search.unit_um * search.factors
    values = _coarse(search.begin(), part.read, search.factors, search.shape)
    if values.max() < search.levels[-1]:
        return
    seen = np.zeros((0, 4))
    for level in search.levels:
        for deep in deep_places(values >= level, unit, search.lenient * search.least, inner):
            near = np.linalg.norm(seen[:, :3] - deep.at * unit, axis=1)
            if (near < np.maximum(seen[:, 3], deep.depth)).any():
                continue
            seen = np.vstack([seen, [*(deep.at * unit), deep.depth]])
            if ((deep.at >= inner.start) & (deep.at < inner.stop)).all():
                body = _measured(values, deep, level, unit, search.levels[-1])
                if body is not None and body.radius >= search.least:
                    first = (
                        np.multiply(part.read.start, unit)
                        + (search.factors - 1) * search.unit_um / 2
                    )
                    placed = Body(body.places + first, body.radii, search.lines)
                    if search.accept(placed):
                        yield placed


def _coarse(read: ReadBox, box: Box, factors: Integers, shape: Zyx) -> NDArray[np.float32]:
    """Read means over the voxels of the search, some layers at a time; the last may be cut."""
    layers = []
    few = max(LAYERS, SLAB // (box.shape[1] * box.shape[2] * int(factors.prod())))
    for start in range(box.start[0], box.stop[0], few):
        stop = min(start + few, box.stop[0])
        some = Box((start, *box.start[1:]), (stop, *box.stop[1:]))
        values = read(_finer(some, factors, shape))
        for axis, factor in enumerate(factors.tolist()):
            if factor > 1:
                values = np.moveaxis(_means(np.moveaxis(values, axis, 0), factor), 0, axis)
        layers.append(values)
    return np.concatenate(layers)


def _means(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return means of so many layers along the first axis; the last may be of fewer."""
    sums = values[::count].copy()
    for k in range(1, count):
        some = values[k::count]
        sums[: len(some)] += some
    sizes = np.minimum(count, len(values) - np.arange(0, len(values), count))
    return np.asarray(sums / sizes.astype(np.float32)[:, None, None])


def _measured(
    values: NDArray[np.float32], seen: Deep, level: float, unit: Floats, least: float
) -> Body | None:
    """Measure a body at half of its own brightness; None if it is not compact.

    level: of brightness, at which it was seen. least: the lowest.
    """
    from scipy.ndimage import distance_transform_edt, label

    reach = np.ceil(AROUND * seen.depth / unit).astype(np.int64) + 1
    low, high = np.maximum(seen.at - reach, 0), np.minimum(seen.at + reach + 1, values.shape)
    values = values[tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))]
    sides = np.meshgrid(*(np.arange(n) for n in values.shape), indexing="ij", sparse=True)
    ways = zip(sides, (seen.at - low).tolist(), unit.tolist(), strict=True)
    inside = np.sqrt(sum(np.square((side - at) * size) for side, at, size in ways)) <= seen.depth
    brightness = max(float(np.quantile(values[inside], BRIGHT)) / 2, least)
    if seen.sprawls and brightness == level:
        return None
    mask = filled(values >= brightness)
    if mask.all() or not mask[inside].any():
        return None
    deep = distance_transform_edt(mask, sampling=unit)
    top = np.unravel_index(int(np.argmax(np.where(inside, deep, 0))), deep.shape)
    parts, _ = label(deep >= CORE * deep[top])
    own = parts == parts[top]
    places, centre = (np.argwhere(own) + low) * unit, (np.array(top) + low) * unit
    radius = float(deep[top])
    if np.linalg.norm(places - centre, axis=1).max() > LONG * radius:
        return None
    return _as_balls(places, deep[own], centre, radius)


def _as_balls(places: Floats, depths: Floats, centre: Floats, radius: float) -> Body:
    """Describe a body by few balls, evenly spread over places with their depths."""
    step = radius / 4
    while True:
        cells = np.rint((places - centre) / step).astype(np.int64)
        cells -= cells.min(axis=0)
        numbers = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
        _, first = np.unique(numbers, return_index=True)
        if len(first) < BALLS:
            break
        step *= 1.5
    return Body(np.concatenate([centre[None], places[first]]), np.append(radius, depths[first]))


def without_doubles(found: Sequence[Body]) -> list[Body]:
    """Leave out bodies whose centre lies in a larger one, or the reverse: seen from two tiles."""
    kept: list[Body] = []
    for body in sorted(found, key=lambda b: (-b.radius, b.centre.tolist())):
        if not any(body.overlaps(other) for other in kept):
            kept.append(body)
    return kept
