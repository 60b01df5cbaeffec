"""A volume as an array that is read when it is indexed: what viewers accept as data."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Volume

__all__ = ["LazyArray"]

SHOWN = {np.dtype(k) for k in ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "f4")}
"""Types that viewers draw as they are; others become float32."""

Index = int | slice | Array


@dataclass(frozen=True)
class LazyArray:
    """A volume (zyx) that is read by box when it is indexed.

    Indices are those of NumPy's basic indexing; a list of whole numbers also selects along an
    axis.
    """

    volume: Volume
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y and x."""
        return self.volume.shape

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def size(self) -> int:
        """Number of voxels."""
        return Box.of(self.shape).size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels that an index returns."""
        own = self.volume.dtype
        return own if own in SHOWN else np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        """Read the box around the chosen voxels, and return these."""
        keys = _spelled_out(key)
        spans = [_span(k, n) for k, n in zip(keys, self.shape, strict=True)]
        (z0, z1), (y0, y1), (x0, x1) = ((start, stop) for start, stop, _ in spans)
        box = Box((z0, y0, x0), (z1, y1, x1))
        if not box.size:
            return np.zeros(self.shape, self.dtype)[tuple(keys)]
        with self._lock:  # viewers read in several threads, which not every format allows
            voxels = self.volume.read(box)
        chosen: Array = voxels.astype(self.dtype, copy=False)[tuple(i for _, _, i in spans)]
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001  # NumPy's protocol
        """Read the whole volume."""
        return np.asarray(self[...], dtype)


def _spelled_out(key: Any) -> list[Index]:
    """Return one index for each axis."""
    given = list(key) if isinstance(key, tuple) else [key]
    if any(k is Ellipsis for k in given):
        at = next(i for i, k in enumerate(given) if k is Ellipsis)
        given[at : at + 1] = [slice(None)] * (3 - len(given) + 1)
    if len(given) > 3:
        raise IndexError(f"a volume has 3 axes, not {len(given)}")
    return given + [slice(None)] * (3 - len(given))


def _span(key: Any, length: int) -> tuple[int, int, Any]:
    """Return the range of an axis that is read, and the index of the chosen voxels in it."""
    if isinstance(key, slice):
        chosen = range(length)[key]
        if not chosen:
            return 0, 0, key
        low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
        return low, high + 1, slice(None, None, chosen.step)
    numbers = np.asarray(key)
    if numbers.dtype.kind not in "iu" or ((numbers < -length) | (numbers >= length)).any():
        raise IndexError(f"index {key!r} of an axis of {length} voxels")
    numbers = np.where(numbers < 0, numbers + length, numbers)
    low = int(numbers.min())
    inside = numbers - low
    return low, int(numbers.max()) + 1, int(inside) if inside.ndim == 0 else inside
