"""Thinning to lines one voxel wide, by steps that look no further than a voxel's neighbours.

Voxels fall into eight subfields by the parity of their place in the volume. No two of one
subfield touch, so all simple ones of it can go at once and the topology stays (Bertrand and
Aktouf, "A 3D thinning algorithm using subfields", SPIE 2356, 1994). A voxel is simple where
its removal changes no topology (Bertrand and Malandain, "A new characterization of
three-dimensional simple points", Pattern Recognition Letters 15, 1994).

scikit-image's `skeletonize` (Lee et al. 1994) checks its voxels one after the other, so that
a change far away can move a line here. With subfields a voxel after n iterations depends on
what lies within `REACH * n` voxels, exactly: blocks that read so much further equal the whole.
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
"""Subfields (4 * odd z + 2 * odd y + odd x) in turn: of all orders, the one in which what
happens in one iteration comes from the least far away."""

REACH = 4
"""Voxels from which one iteration's result comes: a chain of subfields, each earlier in
ORDER than the next, changes the parity of an axis no more than three times."""

_HALF = 13
"""Bits looked up at once: half of a code."""


class Voxels(Protocol):
    """A set of voxels by their keys: flat indices into a volume with a border of one voxel."""

    steps: Keys

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""

    def remove(self, keys: Keys) -> None:
        """Take these, which are in the set, out of it."""


class DenseVoxels:
    """The lit voxels of a box, in an array."""

    def __init__(self, lit: Bools) -> None:
        self.shape = lit.shape
        padded = np.pad(lit, 1)
        self.steps = key_steps(padded.shape)
        self._lit = padded.reshape(-1)

    def keys(self) -> Keys:
        """Return the keys of all."""
        return np.flatnonzero(self._lit)

    def places(self, keys: Keys) -> Keys:
        """Return the places (n, 3) in the box."""
        return places_of(keys, self.shape)

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""
        return self._lit[keys]

    def remove(self, keys: Keys) -> None:
        """Take these out of the set."""
        self._lit[keys] = False


class SparseVoxels:
    """Few voxels of a volume of any size, in a sorted list."""

    def __init__(self, keys: Keys, shape: Zyx) -> None:
        self._keys, self._alive = keys, np.ones(len(keys), bool)
        self.steps = key_steps(np.add(shape, 2))

    def keys(self) -> Keys:
        """Return the keys of all that are left."""
        return self._keys[self._alive]

    def has(self, keys: Keys) -> Bools:
        """Return which of these are in the set."""
        return find_keys(self._keys, keys, self._alive)[1]

    def remove(self, keys: Keys) -> None:
        """Take these, which are in the set, out of it."""
        self._alive[np.searchsorted(self._keys, keys)] = False


def find_keys(ordered: Keys, keys: Keys, alive: Bools | None = None) -> tuple[Keys, Bools]:
    """Return where keys stand in an ordered list, and which of them do at all."""
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
    """Return the places (n, 3) that keys stand for."""
    return np.stack(np.unravel_index(keys, np.add(shape, 2)), axis=1) - 1


def key_steps(padded: tuple[int, ...] | Keys) -> Keys:
    """Return what to add to a key to come to each of NEIGHBOURS."""
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

    keys: all of the set. fields: their subfields, by their place in the whole volume.
    iterations: how many layers are peeled, at most; None goes on until nothing changes.
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
    """Keep those in whose neighbourhood something changed: no others can go next."""
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
    """Remove the simple voxels of one subfield; give them."""
    codes = _codes(voxels, keys)
    # what became an end within this iteration stays too: else a line would be eaten from its tip
    gone = keys[is_simple(codes) & ~is_end(codes)]
    voxels.remove(gone)
    return gone


def _codes(voxels: Voxels, keys: Keys) -> Codes:
    """Return which neighbours of each voxel are in the set, a bit each."""
    codes = np.zeros(len(keys), np.uint32)
    for bit, step in enumerate(voxels.steps):
        codes |= voxels.has(keys + step).astype(np.uint32) << np.uint32(bit)
    return codes


def is_end(codes: Codes) -> Bools:
    """Return which voxels end a line: they have one neighbour, or none."""
    return np.asarray((codes & (codes - np.uint32(1))) == 0)


def is_simple(codes: Codes) -> Bools:
    """Tell where removing the middle of 26 neighbours changes no topology.

    Simple: the lit neighbours hold together (through corners), and so do the dark ones that
    reach the middle's faces (through faces, within the 18).
    """
    all26, faces, near18 = _adjacency()
    lit = codes & np.uint32((1 << 26) - 1)
    one_object = _flood(lit, lit, all26.tables) == lit
    dark = ~lit & near18
    at_face = dark & faces
    background = _flood(at_face, dark, all26.face_tables)
    one_background = (at_face != 0) & ((at_face & ~background) == 0)
    return np.asarray((lit != 0) & one_object & one_background)


def _flood(seeds: Codes, within: Codes, tables: tuple[Codes, Codes]) -> Codes:
    """Grow from the lowest bit of `seeds` through neighbours in `within`, until it holds all."""
    low, high = tables
    wet = seeds & (~seeds + np.uint32(1))
    while True:
        grown = wet | ((low[wet & 0x1FFF] | high[wet >> _HALF]) & within)
        if np.array_equal(grown, wet):
            return wet
        wet = grown


class _Tables:
    """Which neighbours touch, looked up by halves of a code: by any contact, and by faces."""

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
