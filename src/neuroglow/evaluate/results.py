"""A study as numbers: rows of volumes, their mean and spread, the comparison of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroglow.evaluate.study import PREDICTION, Study, VolumeScore
from neuroglow.metrics.intervals import summary
from neuroglow.metrics.signal import by_class

__all__ = ["compare", "merge_rows", "ranked", "results_of", "summarise", "table_rows"]

COMPARED = (
    "dice",
    "average_precision",
    "cldice",
    "skeleton_f1",
    "skeleton_recall",
    "skeleton_precision",
    "tree_recovered",
    "tree_false",
    "tree_splits",
    "tree_merges",
    "tree_erl",
)
"""Scores for comparing methods, where they have them; of lines at one tolerance."""


def ranked(study: Study) -> list[VolumeScore]:
    """Return the volumes, the worst first: by the F1 of lines, otherwise of trees or voxels."""

    def key(volume: VolumeScore) -> tuple[float, str]:
        row = volume.rows[PREDICTION]
        names = (f"skeleton_f1_{study.tolerance:g}", "tree_recovered", "dice")
        known = [row[n] for n in names if np.isfinite(row.get(n, np.nan))]
        return (known[0] if known else 2.0, volume.case.name)

    return sorted(study.volumes, key=key)


def summarise(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, spread and interval of each score over volumes."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: summary(row.get(name, np.nan) for row in rows) for name in names}


def compare(study: Study) -> list[dict[str, Any]]:
    """Return one row per method: its threshold, how it was chosen, and the means over volumes."""
    rows = []
    for method in study.methods:
        found = summarise([v.rows[method.name] for v in study.volumes])
        row: dict[str, Any] = {
            "method": method.name,
            "threshold": method.threshold,
            "chosen": "own best" if method.own_best else "given",
        }
        for name in COMPARED:
            one = found.get(f"{name}_{study.tolerance:g}") or found.get(name)
            if one and one["n"]:
                row |= {name: one["mean"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
        rows.append(row)
    return rows


def results_of(study: Study) -> dict[str, Any]:
    """Return all numbers of a study as plain values."""
    cells = [cell for volume in study.volumes for cell in volume.cells]
    counts = study.counts.get(PREDICTION)
    graded = counts is not None and counts.levels.count > 2
    return {
        "kinds": study.kinds,
        "tolerance": study.tolerance,
        "summary": summarise([v.rows[PREDICTION] for v in study.volumes]),
        "methods": compare(study) if len(study.methods) > 1 else [],
        "signal_by_class": by_class(cells, "raw") if cells else [],
        "reliability": counts.reliability() if counts and graded else [],
        "best_threshold": counts.best_threshold() if counts and graded else None,
        "volumes": [
            {
                "volume": v.case.name,
                "shape": v.case.shape,
                "voxel_size_um": v.case.unit_um if v.case.sized else None,
                "notes": v.case.notes,
                "scores": v.rows,
                "merges": merge_rows(v),
            }
            for v in ranked(study)
        ],
    }


def merge_rows(volume: VolumeScore) -> list[dict[str, float]]:
    """Return one row per merge: its place in the trees' coordinates, and the length it joins."""
    unit = volume.case.unit_um
    return [
        {
            **{
                axis: round(float(v), 1)
                for axis, v in zip("xyz", (m.place * unit)[::-1], strict=True)
            },
            "joined length": round(m.length, 1),
        }
        for m in volume.merges
    ]


def table_rows(study: Study) -> list[dict[str, Any]]:
    """Return the rows of the table: one per volume and method, the worst volume first."""
    return [
        {"volume": volume.case.name, "method": method, **scores}
        for volume in ranked(study)
        for method, scores in volume.rows.items()
    ]
