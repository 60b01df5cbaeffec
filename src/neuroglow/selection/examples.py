"""Which cubes of a survey stand for it: typical ones, the most different ones, the hardest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import Cube
from neuroglow.selection.rules import quantiles
from neuroglow.selection.survey_table import FREE, numbers

__all__ = ["Example", "pick_examples"]

Floats = NDArray[np.float64]

EACH = 4
"""Cubes of each kind."""

MEANINGS = {
    "typical": "nearest to the median of all indicators",
    "diverse": "as unlike each other as cubes of this survey are, in all indicators",
    "hard": "with neurites, and the highest mean rank of low-SNR ratio, density and noise",
}

Example = tuple[str, list[int]]
"""A kind of cube, and the rows of its examples."""


def pick_examples(cubes: Sequence[Cube], each: int = EACH) -> list[Example]:
    """Pick `each` cubes of each kind (MEANINGS), by indicators that need no label; none twice.

    Ties go to the first row, so that the same survey gives the same cubes.
    """
    columns = [numbers(cubes, name) for name in FREE]
    known = [c for c in columns if np.isfinite(c).any()]
    if not known or not cubes:
        return []
    ranks = quantiles(known)
    far = np.abs(ranks - 0.5).mean(axis=1)
    hard = quantiles([numbers(cubes, name) for name in FREE[:3]]).mean(axis=1)
    hard[~(numbers(cubes, FREE[0]) > 0)] = -1
    found: list[Example] = []
    taken: set[int] = set()
    for kind, order in (
        ("typical", np.argsort(far, kind="stable").tolist()),
        ("hard", [i for i in np.argsort(-hard, kind="stable").tolist() if hard[i] >= 0]),
        ("diverse", _far_apart(ranks, 3 * each)),
    ):
        rows = [int(i) for i in order if i not in taken][:each]
        taken.update(rows)
        if rows:
            found.append((kind, rows))
    return found


def _far_apart(points: Floats, count: int) -> list[int]:
    """Order rows so that each is as far as can be from those before it."""
    chosen = [int(np.argmax(np.abs(points - 0.5).mean(axis=1)))]
    apart = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen
