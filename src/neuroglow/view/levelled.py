"""A volume with its stored levels, as neuroglancer's own server offers it.

neuroglancer takes means of the finest voxels for a coarse view: of all of them, for a whole brain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neuroglow.view.lazy import LazyArray

__all__ = ["levelled"]

Factors = tuple[int, ...]


def levelled(levels: Sequence[LazyArray], **options: Any) -> Any:
    """Offer a volume, each coarse view of it from the coarsest level that suffices.

    levels: finest first. options: those of neuroglancer.LocalVolume.
    """
    import neuroglancer

    fitting = {f: level for level in levels if (f := _factors(levels[0], level))}
    parts = {f: neuroglancer.LocalVolume(level, **options) for f, level in fitting.items()}
    most = max(math.prod(factors) for factors in parts)

    class Levelled(neuroglancer.LocalVolume):  # type: ignore[misc]  # neuroglancer has no types
        """A volume whose coarse views are those of its levels."""

        def get_encoded_subvolume(
            self, data_format: str, start: Any, end: Any, scale_key: str
        ) -> tuple[bytes, str]:
            asked = [int(factor) for factor in scale_key.split(",")]
            found = _coarsest(list(parts), asked)
            rest = ",".join(str(a // f) for a, f in zip(asked, found, strict=True))
            encoded: tuple[bytes, str] = parts[found].get_encoded_subvolume(
                data_format, start, end, rest
            )
            return encoded

    return Levelled(levels[0], max_downsampling=64 * most, **options)


def _factors(finest: LazyArray, level: LazyArray) -> Factors | None:
    """Tell how many of the finest voxels a level has along each axis; None unless it covers all."""
    factors = tuple(round(n / m) for n, m in zip(finest.shape, level.shape, strict=True))
    whole = tuple(-(-n // f) for n, f in zip(finest.shape, factors, strict=True))
    return factors if whole == level.shape and level.dtype == finest.dtype else None


def _coarsest(known: Sequence[Factors], asked: Sequence[int]) -> Factors:
    """Choose the coarsest level from which an asked one is made by whole steps."""
    fits = [f for f in known if all(a >= n and a % n == 0 for a, n in zip(asked, f, strict=True))]
    return max(fits, key=math.prod, default=known[0])
