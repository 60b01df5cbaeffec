"""Routes of checking: doubtful places, decisions, edits, undo, saving, and comparing tracings."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from neuroglow.files.tables import plain
from neuroglow.metrics.differences import compare_trees
from neuroglow.skeleton.editing import Forest, delete, forest_of, tree_of
from neuroglow.skeleton.proofreading import Decision, Proofreading, Step
from neuroglow.studio.check_answers import changed, frame_of, state_of
from neuroglow.studio.checking import (
    Check,
    Checks,
    read_trees,
    scale_of,
    tree_payloads,
)
from neuroglow.studio.growing_routes import growing_routes
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
        check = checks.open(path, frame_of(studio, path, volume))
        return {"trees": check.payloads(), "gone": [], **state_of(check)}

    @router.post("/api/check/decide")
    def decide(given: Decided) -> dict[str, Any]:
        """Decide on a place; a rejection changes the trees."""
        return changed(
            *checks.change(
                given.path, lambda work: work.decide(given.place, given.decision, given.note)
            )
        )

    @router.post("/api/check/step")
    def step(given: Edited) -> dict[str, Any]:
        """Edit the trees."""
        return changed(*checks.change(given.path, lambda work: work.take(given.step)))

    @router.post("/api/check/undo")
    def undo(given: OfTrace) -> dict[str, Any]:
        """Take the last step back."""
        return changed(*checks.change(given.path, Proofreading.undo))

    @router.post("/api/check/redo")
    def redo(given: OfTrace) -> dict[str, Any]:
        """Do the last undone step again."""
        return changed(*checks.change(given.path, Proofreading.redo))

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

    router.include_router(growing_routes(studio, checks))
    return router


def _compared(check: Check, other: Forest, tolerance: float) -> dict[str, Any]:
    """Compare two tracings in micrometres, and return the stretches that only one has."""
    own = check.work.forest
    pair = [forest_of(tree_of(f)) for f in (replace(own, points=own.points * check.scale), other)]
    result = compare_trees(tree_of(pair[0]), tree_of(pair[1]), tolerance=tolerance)
    marked = (result.only_one, result.only_other)
    apart = [delete(f, np.flatnonzero(~m)) for f, m in zip(pair, marked, strict=True)]
    origin = check.frame.origin
    this, others = (tree_payloads(forest, ONE, origin=origin) for forest in apart)
    found: dict[str, Any] = plain(
        {
            "only_this": this,
            "only_other": others,
            "other": tree_payloads(pair[1], ONE, origin=origin),
            "length_this": result.length_one,
            "length_other": result.length_other,
            "tolerance": tolerance,
            "scores": result.scores,
        }
    )
    return found
