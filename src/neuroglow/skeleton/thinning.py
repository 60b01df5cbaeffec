"""Thinning to lines one voxel wide, with steps that depend only on a voxel's neighbours.

Voxels are divided into eight subfields by the parity of their position in the volume. No two of
one subfield touch, so all simple voxels of it can be removed at once without changing the
topology (Bertrand and Aktouf, "A 3D thinning algorithm using subfields", SPIE 2356, 1994). A
voxel is simple if removing it changes no topology (Bertrand and Malandain, "A new
characterization of three-dimensional simple points", Pattern Recognition Letters 15, 1994).

scikit-image's `skeletonize` (Lee et al. 1994) checks voxels one after the other, so that
a distant change can move a line. With subfields, a voxel after n iterations depends exactly on
the voxels within `REACH * n`: blocks with this margin give the same result as the whole volume.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Zyx

__all__ = ["NEIGHBOURS", "REACH", "DenseVoxels", "SparseVoxels", "Voxels", "subfields", "thin"]

Keys = NDArray[np.int64]
Codes = NDArray[np.uint32]
Bools = NDArray[np.bool_]

NEIGHBOURS = np.array([o for o in itertools.product((-1, 0, 1), repeat=3) if any(o)], np.int64)
"""The 26 neighbours of a voxel (zyx): bit i of a code is the i-th of them."""

ORDER = (0, 1, 3, 2, 6, 4, 5, 7)
"""Order of the subfields (4 * odd z + 2 * odd y + odd x): of all orders, the one in which the
result of one iteration depends on the smallest neighbourhood."""

REACH = 4
"""Distance in voxels on which one iteration depends: a chain of subfields, each earlier in
ORDER than the next, changes the parity along an axis at most three times."""

_HALF = 13
"""Bits looked up at once: half of a code."""


class Voxels(Protocol):
    """A set of voxels by their keys: flat indices into a volume with a border of one voxel."""

    steps: Keys

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""

    def remove(self, keys: Keys) -> None:
        """Remove these voxels, which are in the set."""


class DenseVoxels:
    """The detected voxels of a box, as an array."""

    def __init__(self, detected: Bools) -> None:
        self.shape = detected.shape
        padded = np.pad(detected, 1)
        self.steps = key_steps(padded.shape)
        self._detected = padded.reshape(-1)

    def keys(self) -> Keys:
        """Return all keys."""
        return np.flatnonzero(self._detected)

    def places(self, keys: Keys) -> Keys:
        """Return the places (n, 3) in the box."""
        return places_of(keys, self.shape)

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""
        return self._detected[keys]

    def remove(self, keys: Keys) -> None:
        """Take these out of the set."""
        self._detected[keys] = False


class SparseVoxels:
    """A few voxels of a volume of any size, as a sorted list."""

    def __init__(self, keys: Keys, shape: Zyx) -> None:
        self._keys, self._alive = keys, np.ones(len(keys), bool)
        self.steps = key_steps(np.add(shape, 2))

    def keys(self) -> Keys:
        """Return the keys of all remaining voxels."""
        return self._keys[self._alive]

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""
        return find_keys(self._keys, keys, self._alive)[1]

    def remove(self, keys: Keys) -> None:
        """Remove these voxels, which are in the set."""
        self._alive[np.searchsorted(self._keys, keys)] = False


def find_keys(ordered: Keys, keys: Keys, alive: Bools | None = None) -> tuple[Keys, Bools]:
    """Return the positions of keys in an ordered list, and which of them are in it."""
    if not len(ordered):
        return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    found = ordered[at] == keys
    return at, found if alive is None else found & alive[at]


def keys_of(places: Keys, shape: Zyx) -> Keys:
    """Return the keys of places (n, 3) in a volume of this shape."""
    _, y, x = np.add(shape, 2).tolist()
    at = places.astype(np.int64) + 1
    return np.asarray((at[:, 0] * y + at[:, 1]) * x + at[:, 2])


def places_of(keys: Keys, shape: Zyx) -> Keys:
    """Return the places (n, 3) of keys."""
    return np.stack(np.unravel_index(keys, np.add(shape, 2)), axis=1) - 1


def key_steps(padded: tuple[int, ...] | Keys) -> Keys:
    """Return the number to add to a key for each of NEIGHBOURS."""
    _, y, x = (int(n) for n in padded)
    return np.asarray((NEIGHBOURS[:, 0] * y + NEIGHBOURS[:, 1]) * x + NEIGHBOURS[:, 2])


def subfields(places: Keys) -> NDArray[np.uint8]:
    """Return the subfield of places (n, 3) in the volume: their parities."""
    odd = places & 1
    return np.asarray(4 * odd[:, 0] + 2 * odd[:, 1] + odd[:, 2], np.uint8)


def thin(
    voxels: Voxels, keys: Keys, fields: NDArray[np.uint8], *, iterations: int | None = None
) -> None:
    """Thin a set of voxels to lines, in place.

    keys: all voxels of the set. fields: their subfields, by their place in the whole volume.
    iterations: maximum number of layers to peel; None repeats until nothing changes.
    """
    round_ = 0
    while len(keys) and (iterations is None or round_ < iterations):
        border = _is_border(voxels, keys)
        active, theirs = keys[border], fields[border]
        inner = ~is_end(_codes(voxels, active))
        active, theirs = active[inner], theirs[inner]
        gone = [_peel(voxels, active[theirs == field]) for field in ORDER]
        if not sum(map(len, gone)):
            return
        left = voxels.has(keys)
        keys, fields = _near(keys[left], fields[left], np.concatenate(gone), voxels.steps)
        round_ += 1


def _near(
    keys: Keys, fields: NDArray[np.uint8], gone: Keys, steps: Keys
) -> tuple[Keys, NDArray[np.uint8]]:
    """Keep voxels whose neighbourhood has changed: no others can be removed next."""
    if len(steps) * len(gone) > len(keys):
        return keys, fields
    near = np.unique(gone[:, None] + steps)
    at, found = find_keys(keys, near)
    return keys[at[found]], fields[at[found]]


def _is_border(voxels: Voxels, keys: Keys) -> Bools:
    """Return which voxels have a face on the background."""
    faces = np.flatnonzero(np.abs(NEIGHBOURS).sum(axis=1) == 1)
    inside = np.ones(len(keys), bool)
    for face in faces:
        inside &= voxels.has(keys + voxels.steps[face])
    return ~inside


def _peel(voxels: Voxels, keys: Keys) -> Keys:
    """Remove the simple voxels of one subfield; return them."""
    codes = _codes(voxels, keys)
    # voxels that became ends in this iteration also stay, or a line would be eaten from its tip
    gone = keys[is_simple(codes) & ~is_end(codes)]
    voxels.remove(gone)
    return gone


def _codes(voxels: Voxels, keys: Keys) -> Codes:
    """Return which neighbours of each voxel are in the set, one bit each."""
    codes = np.zeros(len(keys), np.uint32)
    for bit, step in enumerate(voxels.steps):
        codes |= voxels.has(keys + step).astype(np.uint32) << np.uint32(bit)
    return codes


def is_end(codes: Codes) -> Bools:
    """Return which voxels end a line: they have at most one neighbour."""
    return np.asarray((codes & (codes - np.uint32(1))) == 0)


def is_simple(codes: Codes) -> Bools:
    """Return where removing the middle of 26 neighbours changes no topology.

    Simple: the detected neighbours are connected (through corners), and so are the undetected ones
    that reach the middle's faces (through faces, within the 18).
    """
    all26, faces, near18 = _adjacency()
    detected = codes & np.uint32((1 << 26) - 1)
    one_object = _flood(detected, detected, all26.tables) == detected
    dark = ~detected & near18
    at_face = dark & faces
    background = _flood(at_face, dark, all26.face_tables)
    one_background = (at_face != 0) & ((at_face & ~background) == 0)
    return np.asarray((detected != 0) & one_object & one_background)


def _flood(seeds: Codes, within: Codes, tables: tuple[Codes, Codes]) -> Codes:
    """Grow from the lowest bit of `seeds` through neighbours in `within`, until nothing changes."""
    low, high = tables
    wet = seeds & (~seeds + np.uint32(1))
    while True:
        grown = wet | ((low[wet & 0x1FFF] | high[wet >> _HALF]) & within)
        if np.array_equal(grown, wet):
            return wet
        wet = grown


class _Tables:
    """Which neighbours touch, in tables for halves of a code: by any contact, and by faces."""

    def __init__(self) -> None:
        apart = np.abs(NEIGHBOURS[:, None] - NEIGHBOURS[None])
        self.tables = self._spread(apart.max(axis=2) == 1)
        self.face_tables = self._spread(apart.sum(axis=2) == 1)

    @staticmethod
    def _spread(touching: Bools) -> tuple[Codes, Codes]:
        bits = np.uint32(1) << np.arange(26, dtype=np.uint32)
        masks = np.where(touching, bits, 0).sum(axis=1).astype(np.uint32)
        halves = []
        for start in (0, _HALF):
            table = np.zeros(1 << _HALF, np.uint32)
            for bit in range(_HALF):
                chosen = (np.arange(1 << _HALF) >> bit) & 1 == 1
                table[chosen] |= masks[start + bit]
            halves.append(table)
        return halves[0], halves[1]


@lru_cache(maxsize=1)
def _adjacency() -> tuple[_Tables, np.uint32, np.uint32]:
    """Return the tables, and the codes of the 6 and of the 18 nearest neighbours."""
    far = np.abs(NEIGHBOURS).sum(axis=1)
    bits = np.uint32(1) << np.arange(26, dtype=np.uint32)
    return _Tables(), bits[far == 1].sum(dtype=np.uint32), bits[far <= 2].sum(dtype=np.uint32)
