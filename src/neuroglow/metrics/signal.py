"""Signal of neurites against their surroundings, in each cell of a grid fixed to the volume.

A cell depends only on its own voxels and on the labels close to it, so that processing a volume
in blocks gives the same result as processing it whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.labels.labels import BACKGROUND, NEURITE

__all__ = ["CELL", "CLASSES", "REACH", "CellSignal", "by_class", "measure_cells", "uniformity"]

Array = NDArray[Any]
Mask = NDArray[np.bool_]

CELL = 32
"""Voxels per axis of a cell."""

NEAR, REACH = 2.0, 6.0
"""The shell: background more than NEAR and at most REACH voxels from a labelled neurite."""

FEWEST = 20
"""Numbers of neurite voxels and of shell voxels that a cell needs to be measured."""

CLASSES = (("dim (SNR below 2)", 0.0, 2.0), ("mid (2 to 6)", 2.0, 6.0), ("bright", 6.0, np.inf))


@dataclass(frozen=True)
class CellSignal:
    """One image in one cell: means and standard deviations of neurite and shell, in its units.

    floor: the smallest standard deviation that is accepted (a rounding step).
    """

    voxels: int
    neurite: float
    neurite_sd: float
    shell: float
    shell_sd: float
    floor: float

    @property
    def contrast(self) -> float:
        """Mean of the neurites minus that of the shell."""
        return self.neurite - self.shell

    @property
    def snr(self) -> float:
        """Contrast over the shell's standard deviation (as dF/noise; Welvaert and Rosseel 2013)."""
        return self.contrast / max(self.shell_sd, self.floor)

    @property
    def cnr(self) -> float:
        """Contrast over the root of the mean variance of neurites and shell: Fisher's ratio."""
        both = np.sqrt((self.neurite_sd**2 + self.shell_sd**2) / 2)
        return float(self.contrast / max(both, self.floor))


def measure_cells(
    images: Mapping[str, tuple[Array, float]], label: Array, inner: Sequence[slice]
) -> list[dict[str, CellSignal]]:
    """Measure several images of one block in each cell that contains neurites and a shell.

    images: name -> (voxels of the inner part, floor). label: (zyx) of the whole block, with
    REACH voxels around it; `inner` is the slice of the inner part, which starts on the grid of
    cells.
    """
    neurite = label == NEURITE
    if not images or not neurite.any():
        return []
    shell = (_shell(neurite) & (label == BACKGROUND))[tuple(inner)]
    neurite = neurite[tuple(inner)]
    found = []
    for corner in np.ndindex(*(-(-n // CELL) for n in neurite.shape)):
        at = tuple(slice(c * CELL, (c + 1) * CELL) for c in corner)
        inside, around = neurite[at], shell[at]
        if min(inside.sum(), around.sum()) >= FEWEST:
            found.append(
                {
                    name: _measure(voxels[at], inside, around, floor)
                    for name, (voxels, floor) in images.items()
                }
            )
    return found


def _shell(neurite: Mask) -> Mask:
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~neurite)
    return np.asarray((away > NEAR) & (away <= REACH))


def _measure(voxels: Array, inside: Mask, around: Mask, floor: float) -> CellSignal:
    signal, ground = (voxels[m].astype(np.float64) for m in (inside, around))
    return CellSignal(
        int(signal.size),
        float(signal.mean()),
        float(signal.std()),
        float(ground.mean()),
        float(ground.std()),
        floor,
    )


def by_class(cells: Sequence[Mapping[str, CellSignal]], before: str) -> list[dict[str, Any]]:
    """Return SNR and CNR of each image, by class of SNR in `before`: medians over cells."""
    rows = []
    for title, low, high in CLASSES:
        chosen = [c for c in cells if low <= max(c[before].snr, 0.0) < high]
        row: dict[str, Any] = {"class": title, "cells": len(chosen)}
        for name in cells[0] if cells else ():
            row[f"snr, {name}"] = _median([c[name].snr for c in chosen])
            row[f"cnr, {name}"] = _median([c[name].cnr for c in chosen])
        rows.append(row)
    return rows


def uniformity(cells: Sequence[CellSignal]) -> float:
    """Return the evenness of the background: 1 minus its 90 % range over the mean contrast.

    1 is even; at 0 and below the background varies as much as neurites stand out. The range runs
    from the 5th to the 95th percentile of the cells' shells. After NEMA MS 3 (range over level),
    with the contrast as level, because a camera's offset is not light. NaN for a single cell.
    """
    if len(cells) < 2:
        return float("nan")
    low, high = np.quantile([c.shell for c in cells], [0.05, 0.95])
    contrast = float(np.mean([c.contrast for c in cells]))
    return float(1 - (high - low) / contrast) if contrast > 0 else float("nan")


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")
