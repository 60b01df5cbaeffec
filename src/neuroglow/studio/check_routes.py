"""Routes of checking: doubtful places, decisions, edits, undo, saving, and comparing tracings."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from neuroglow.metrics.differences import compare_trees
from neuroglow.skeleton.editing import Forest, delete, forest_of, roots_of, tree_of
from neuroglow.skeleton.proofreading import Decision, Proofreading, Step
from neuroglow.space.tables import plain
from neuroglow.studio.checking import (
    Check,
    Checks,
    Frame,
    read_trees,
    scale_of,
    tree_payloads,
)
from neuroglow.studio.studio import Studio

__all__ = ["check_routes"]

SomePath = Annotated[str, Query(max_length=2000)]
Path = Annotated[str, Field(max_length=2000)]

ONE = np.ones(3)
"""Scale of trees that are in micrometres already."""


class OfTrace(BaseModel):
    """A trace."""

    path: Path


class Decided(OfTrace):
    """A decision on a doubtful place."""

    place: Annotated[str, Field(max_length=60)]
    decision: Decision
    note: Annotated[str, Field(max_length=2000)] = ""


class Edited(OfTrace):
    """A step of edits."""

    step: Step


class Saved(OfTrace):
    """Where the corrected trees go."""

    out: Path


def check_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router, checks = APIRouter(), Checks(studio.inside, lambda: studio.state.folder)

    @router.get("/api/check")
    def opened(
        path: SomePath, volume: Annotated[str, Query(max_length=2000)] = ""
    ) -> dict[str, Any]:
        """Open a trace: its trees, its doubtful places in order, and what was decided before."""
        check = checks.open(path, _frame(studio, volume))
        trees = tree_payloads(check.work.forest, check.scale)
        return {"trees": trees, "gone": [], **_state(check)}

    @router.post("/api/check/decide")
    def decide(given: Decided) -> dict[str, Any]:
        """Decide on a place; a rejection changes the trees."""
        return _changed(
            *checks.change(
                given.path, lambda work: work.decide(given.place, given.decision, given.note)
            )
        )

    @router.post("/api/check/step")
    def step(given: Edited) -> dict[str, Any]:
        """Edit the trees."""
        return _changed(*checks.change(given.path, lambda work: work.take(given.step)))

    @router.post("/api/check/undo")
    def undo(given: OfTrace) -> dict[str, Any]:
        """Take the last step back."""
        return _changed(*checks.change(given.path, Proofreading.undo))

    @router.post("/api/check/redo")
    def redo(given: OfTrace) -> dict[str, Any]:
        """Do the last undone step again."""
        return _changed(*checks.change(given.path, Proofreading.redo))

    @router.post("/api/check/save")
    def save(given: Saved) -> dict[str, str]:
        """Save the corrected trees and the list of decisions as new files."""
        swc, table = checks.save(given.path, given.out)
        return {"trees": studio.inside.relative(swc), "decisions": studio.inside.relative(table)}

    @router.get("/api/check/compare")
    def compare(
        path: SomePath,
        other: SomePath,
        tolerance: Annotated[float, Query(gt=0, le=1000)] = 2.0,
    ) -> dict[str, Any]:
        """Compare a trace, as it is corrected, with another: what only one of them has."""
        check = checks.open(path)
        tree = read_trees(studio.inside, other)
        forest = replace(forest_of(tree), points=tree.points * scale_of(tree, check.frame))
        return _compared(check, forest, tolerance)

    return router


def _frame(studio: Studio, volume: str) -> Frame | None:
    """Return the frame of a volume, if one is named."""
    if not volume:
        return None
    shown = studio.volumes.show(volume)
    voxel = shown.voxel_size_um or (1.0, 1.0, 1.0)
    z, y, x = ((n - 1) * size for n, size in zip(shown.levels[0].shape, voxel, strict=True))
    return Frame(voxel, (z, y, x))


def _state(check: Check) -> dict[str, Any]:
    work = check.work
    decided = work.decided()
    places = []
    for doubt in work.doubts:
        step = decided.get(doubt.name)
        z, y, x = (doubt.place * check.scale).tolist()
        places.append(
            {
                "name": doubt.name,
                "kind": doubt.kind,
                "at": [x, y, z],
                "node": doubt.node,
                "probability": doubt.probability,
                "said": doubt.said,
                "decision": step.decision if step else "open",
                "note": step.note if step else "",
                "there": bool(work.forest.alive[doubt.node]),
            }
        )
    return {
        "path": check.path,
        "scale": check.scale.tolist(),
        "places": plain(places),
        "steps": len(work.steps),
        "undone": len(work.undone),
    }


def _changed(before: Check, after: Check) -> dict[str, Any]:
    """Return the trees that differ, and the numbers of those that are gone."""
    old, new = before.work.forest, after.work.forest
    count = max(len(old.alive), len(new.alive))
    a, b = _padded(old, count), _padded(new, count)
    nodes = np.flatnonzero((a != b).any(axis=1))
    former, now = (_roots(forest, nodes) for forest in (old, new))
    now |= {root for root in former if new.alive[root] and new.parents[root] < 0}
    trees = tree_payloads(new, after.scale, now)
    return {"trees": trees, "gone": sorted(former - now), **_state(after)}


def _padded(forest: Forest, count: int) -> NDArray[np.float64]:
    """Return all that is drawn of a node as a row; nodes that do not exist are zeros."""
    parts = (forest.points, forest.radii, forest.kinds, forest.parents, forest.alive)
    rows = np.column_stack(parts).astype(np.float64)
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]))])


def _roots(forest: Forest, nodes: NDArray[np.int64]) -> set[int]:
    roots = roots_of(forest)[nodes[nodes < len(forest.alive)]]
    return set(roots[roots >= 0].tolist())


def _compared(check: Check, other: Forest, tolerance: float) -> dict[str, Any]:
    """Compare two tracings in micrometres, and return the stretches that only one has."""
    own = check.work.forest
    pair = [forest_of(tree_of(f)) for f in (replace(own, points=own.points * check.scale), other)]
    result = compare_trees(tree_of(pair[0]), tree_of(pair[1]), tolerance=tolerance)
    marked = (result.only_one, result.only_other)
    apart = [delete(f, np.flatnonzero(~m)) for f, m in zip(pair, marked, strict=True)]
    this, others = (tree_payloads(forest, ONE) for forest in apart)
    found: dict[str, Any] = plain(
        {
            "only_this": this,
            "only_other": others,
            "other": tree_payloads(pair[1], ONE),
            "length_this": result.length_one,
            "length_other": result.length_other,
            "tolerance": tolerance,
            "scores": result.scores,
        }
    )
    return found
