"""The values of a label: counted, told apart, and what to say of them; the same in every verb.

mask   0 and one other value, or one value alone
ids    whole numbers, a neurite each: they lie in pieces
soft   a mask that was resampled or compressed: most voxels at its ends, some between
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.errors import InputError
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import Array, Volume

__all__ = [
    "FEW",
    "Tally",
    "crowded",
    "listed_values",
    "mask_level",
    "refuse_not_finite",
    "refuse_values",
    "tally",
]

FEW = 16
"""A legend has no more values than these."""

SHOWN = 5
BLOCK = 128

PIECES = 0.8
"""Share of neighbours with a value that have the same one, at least, where values are ids."""

ENDS = 0.5
"""Share of voxels at the ends of a soft mask, at least."""


@dataclass(frozen=True)
class Tally:
    """Which values a label has and how often, and the share of labelled neighbours (x) alike."""

    counts: Mapping[float, int]
    alike: float
    dtype: np.dtype[Any]

    @property
    def total(self) -> int:
        """How many voxels were counted."""
        return sum(self.counts.values())

    @property
    def positive(self) -> list[float]:
        """The values above 0, the lowest first."""
        return sorted(value for value in self.counts if value > 0)

    @property
    def is_whole(self) -> bool:
        """Tell whether all values are whole numbers."""
        return all(float(value).is_integer() for value in self.counts)

    @property
    def top(self) -> float:
        """The value that stands for certainty where these are probabilities."""
        return 1.0 if self.dtype.kind == "f" else float(np.iinfo(self.dtype).max)


def tally(volume: Volume, box: Box | None = None) -> Tally:
    """Count the values of a label in a box, block by block, or in all of it.

    Raises InputError for NaN, which has no meaning in a label.
    """
    counts: dict[float, int] = {}
    same = pairs = 0
    for block in tile(box or Box.of(volume.shape), (BLOCK,) * 3):
        voxels = volume.read(block.write)
        refuse_not_finite(voxels, volume.name)
        values, found = np.unique(voxels, return_counts=True)
        for value, count in zip(values.tolist(), found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        left, right = voxels[..., :-1], voxels[..., 1:]
        both = (left > 0) & (right > 0)
        pairs += int(both.sum())
        same += int((both & (left == right)).sum())
    return Tally(counts, same / pairs if pairs else 1.0, volume.dtype)


def refuse_not_finite(voxels: Array, where: str) -> None:
    """Refuse a label that holds NaN or infinity. Raises InputError."""
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise InputError("the values of a label are numbers", found="NaN or infinite", where=where)


def listed_values(counts: Mapping[float, int]) -> str:
    """Name values with their voxels, the most frequent first: `255 (4,210 voxels), 7 (3)`."""
    often = sorted(counts, key=lambda value: -counts[value])
    first = [f"{v:g} ({counts[v]:,} voxels)" for v in often[:SHOWN]]
    more = len(often) - len(first)
    return ", ".join(first) + (f" and {more} more values" if more else "")


def mask_level(found: Tally, where: str, option: str) -> tuple[float, str]:
    """Give the value from which voxels are neurite where there is no legend, and what to say.

    Any value above 0 is; of a soft mask half of its highest. Raises InputError for values below
    0, and for those of an image.
    """
    if min(found.counts, default=0) < 0:
        raise _without_meaning(found, where, option)
    positive = found.positive
    if len(positive) <= 1 and found.is_whole:
        return 0.0, ""
    if found.is_whole and len(positive) <= FEW:
        said = f"values {', '.join(f'{v:g}' for v in positive)} and no {option}"
        return 0.0, f"{said}: all are taken as neurite"
    if found.is_whole and found.alike >= PIECES and found.counts.get(0.0, 0):
        return 0.0, f"{len(positive)} values, taken as numbers of neurites: all are neurite"
    ends = found.counts.get(0.0, 0) + found.counts.get(found.top, 0)
    probable = found.dtype in (np.uint8, np.float16, np.float32, np.float64)
    if probable and positive[-1] <= found.top and ends >= ENDS * found.total:
        half = found.top / 2
        return half, f"values between 0 and {found.top:g}: neurite from {half:g} on"
    raise InputError(
        "a label is a mask, numbers of neurites, or has a legend",
        found=f"{len(found.counts)} values, {min(found.counts):g} to {positive[-1]:g}, which "
        "change from voxel to voxel as in an image",
        where=where,
        cure="another label; a mask is 0 and one other value",
    )


def _without_meaning(found: Tally, where: str, option: str) -> InputError:
    parts = [
        f"{v:g}={'ignore' if v < 0 else 'neurite' if v else 'background'}"
        for v in sorted(found.counts)[: SHOWN + 1]
    ]
    return InputError(
        "without a legend the values of a label are 0 and above",
        found=listed_values(found.counts),
        where=where,
        cure=f"{option} {','.join(parts)} where the negative ones are not annotated",
    )


def refuse_values(
    found: Tally, unknown: list[float], legend: Mapping[int, int], where: str, option: str
) -> InputError:
    """Say which values a legend does not name, and give a legend that does.

    Values that the label has keep their meaning; the unknown one is neurite where it alone
    is the only one besides the background, as in Fiji's 0 and 255; else it is ignored.
    """
    words = {0: "background", 1: "neurite", 2: "ignore"}
    meanings = {value: words[meaning] for value, meaning in legend.items()}
    alone = sorted(found.counts.keys() - {0.0}) == unknown and len(unknown) == 1
    whole = [value for value in unknown if float(value).is_integer()]
    meanings |= {int(value): "ignore" if value else "background" for value in whole[:FEW]}
    if alone and whole:
        meanings = {0: "background", int(unknown[0]): "neurite"}
    better = ",".join(f"{v}={word}" for v, word in sorted(meanings.items()))
    possible = whole == unknown and len(unknown) <= FEW
    other = " (or what it means)" if not alone else ""
    return InputError(
        "the legend names each value of a label",
        found=f"{listed_values({v: found.counts[v] for v in unknown})}; it names "
        + ", ".join(str(v) for v in sorted(legend)),
        where=where,
        cure=f"{option} {better}{other}" if possible else f"no {option}, if these are not labels",
    )


def crowded(
    neurites: int, background: int, cure: str = "--label-map says what its values mean"
) -> str:
    """Doubt a label that is mostly neurites, as an inverted mask is; empty where it is not.

    neurites, background: voxels; those that are ignored do not count.
    """
    if neurites <= background:
        return ""
    share = neurites / (neurites + background)
    return (
        f"{share:.0%} of the known voxels are neurites, as in an inverted mask; where they are "
        f"not, {cure}"
    )
