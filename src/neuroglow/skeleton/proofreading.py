"""Proofreading: a trace, its doubtful places, and what a person decided; all of it can be undone.

A decision may change the trees: rejecting a bridge removes it. The steps are kept, not their
result, so that they can be undone, done again, and told.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from neuroglow.errors import InputError
from neuroglow.skeleton.doubts import FAINT, Doubt
from neuroglow.skeleton.editing import Forest, edges_of, roots_of
from neuroglow.skeleton.edits import Edit, Point, apply_edits

__all__ = ["Decision", "Proofreading", "Step", "consequences", "decision_rows"]

Decision = Literal["accepted", "rejected", "noted"]

REACH = 25.0
"""Distance, in units of the trees, within which the other side of a cut crossing is searched."""


class Step(BaseModel):
    """What is done, and undone, at once: a decision on a place, edits, or both; or a mark.

    mark: x, y, z in the unit of the trees: a place to look at again, of which `note` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    place: str = Field(default="", max_length=60)
    decision: Decision = "noted"
    note: str = Field(default="", max_length=2000)
    edits: tuple[Edit, ...] = Field(default=(), max_length=10_000)
    mark: Point | None = None


@dataclass(frozen=True)
class Proofreading:
    """Trees under correction.

    forest: as it is after `steps`. doubts: of the trees as they were traced. undone: steps that
    were taken back, the next to redo last.
    """

    traced: Forest
    doubts: Sequence[Doubt]
    forest: Forest
    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()

    @classmethod
    def of(
        cls, traced: Forest, doubts: Sequence[Doubt], steps: Sequence[Step] = ()
    ) -> Proofreading:
        """Begin, or go on after steps that were kept."""
        edits = itertools.chain.from_iterable(step.edits for step in steps)
        return cls(traced, doubts, apply_edits(traced, edits), tuple(steps))

    def take(self, step: Step) -> Proofreading:
        """Take a step. Raises InputError if it is not possible, or names no place."""
        if step.place:
            self.doubt(step.place)
        forest = apply_edits(self.forest, step.edits)
        return replace(self, forest=forest, steps=(*self.steps, step), undone=())

    def decide(self, place: str, decision: Decision, note: str = "") -> Proofreading:
        """Decide on a place; a rejection changes the trees as `consequences` says."""
        doubt = self.doubt(place)
        edits = consequences(self.forest, doubt) if decision == "rejected" else []
        return self.take(Step(place=place, decision=decision, note=note, edits=tuple(edits)))

    def undo(self) -> Proofreading:
        """Take the last step back. Raises InputError if there is none."""
        if not self.steps:
            raise _nothing("undo")
        last = self.steps[-1]
        before = Proofreading.of(self.traced, self.doubts, self.steps[:-1])
        return replace(before, undone=(*self.undone, last))

    def redo(self) -> Proofreading:
        """Do the last undone step again. Raises InputError if there is none."""
        if not self.undone:
            raise _nothing("redo")
        left = self.undone[:-1]
        return replace(self.take(self.undone[-1]), undone=left)

    def doubt(self, name: str) -> Doubt:
        """Return the place of this name. Raises InputError if there is none."""
        for doubt in self.places():
            if doubt.name == name:
                return doubt
        raise InputError(
            "a decision is on one of the doubtful places of the trace", found=repr(name)
        )

    def places(self) -> list[Doubt]:
        """List the doubtful places of the trace, then those that a person marked."""
        marks = [step for step in self.steps if step.mark is not None]
        return [*self.doubts, *(_marked(n, step) for n, step in enumerate(marks, start=1))]

    def decided(self) -> dict[str, Step]:
        """Return the last decision on each place."""
        return {step.place: step for step in self.steps if step.place}


def _marked(number: int, step: Step) -> Doubt:
    place = np.array(step.mark, float)[::-1]
    return Doubt(f"mark-{number}", "mark", place, -1, float("nan"), said=step.note)


def _nothing(word: str) -> InputError:
    return InputError(f"there must be a step to {word}", found="none")


def consequences(forest: Forest, doubt: Doubt) -> list[Edit]:
    """Return the edits that follow from rejecting what the tracer did at a place.

    A bridge is removed; a faint stretch is deleted; at a crossing that was joined, only the
    straightest pair stays together; the sides of one that was cut are joined. An end that is
    rejected is left: a person has to show where it goes on; so is a mark.
    """
    if doubt.kind == "mark":
        return []
    if doubt.kind == "bridge":
        numbers = forest.columns["bridge"][forest.alive]
        return [Edit(op="reject_bridge", bridge=doubt.bridge)] if doubt.bridge in numbers else []
    if not forest.alive[doubt.node]:
        return []
    if doubt.kind == "faint":
        return [Edit(op="delete", node=node) for node in _stretch(forest, doubt.node)]
    if doubt.kind == "crossing":
        return _part(forest, doubt) if doubt.said == "joined" else _rejoin(forest, doubt)
    return []


def _stretch(forest: Forest, node: int) -> list[int]:
    """Return the nodes around one that are faint, as doubts are."""
    low = forest.alive & (forest.columns["probability"] < FAINT)
    near: dict[int, list[int]] = {}
    for a, b in edges_of(forest).tolist():
        if low[a] and low[b]:
            near.setdefault(a, []).append(b)
            near.setdefault(b, []).append(a)
    found, waiting = {node}, [node]
    while waiting:
        fresh = set(near.get(waiting.pop(), ())) - found
        found |= fresh
        waiting += sorted(fresh)
    return sorted(found)


def _part(forest: Forest, doubt: Doubt) -> list[Edit]:
    """Cut the arms of a branch point that do not belong to its straightest pair."""
    edges = edges_of(forest)
    degrees = np.bincount(edges.ravel(), minlength=len(forest.alive))
    branched = np.flatnonzero(forest.alive & (degrees > 2))
    if not len(branched):
        return [Edit(op="cut", node=doubt.node)] if forest.parents[doubt.node] >= 0 else []
    away = np.linalg.norm(forest.points[branched] - doubt.place, axis=1)
    node = int(branched[np.argmin(away)])
    parent = int(forest.parents[node])
    arms = edges[edges[:, 1] == node, 0].tolist() + ([parent] if parent >= 0 else [])
    ways = forest.points[arms] - forest.points[node]
    ways /= np.maximum(np.linalg.norm(ways, axis=1), 1e-9)[:, None]
    pairs = itertools.combinations(range(len(arms)), 2)
    straight = min(pairs, key=lambda pair: float(ways[pair[0]] @ ways[pair[1]]))
    others = [arm for i, arm in enumerate(arms) if i not in straight]
    return [Edit(op="cut", node=node if arm == parent else arm) for arm in others]


def _rejoin(forest: Forest, doubt: Doubt) -> list[Edit]:
    """Join the two trees that come closest to the place, if both are within reach."""
    roots = roots_of(forest)
    away = np.linalg.norm(forest.points - doubt.place, axis=1)
    nearest: dict[int, int] = {}
    for node in np.argsort(away, kind="stable").tolist():
        if away[node] > REACH or len(nearest) == 2:
            break
        if forest.alive[node]:
            nearest.setdefault(int(roots[node]), node)
    if len(nearest) < 2:
        return []
    one, other = nearest.values()
    return [Edit(op="join", node=one, other=other)]


def decision_rows(work: Proofreading) -> str:
    """Return the list of decisions as CSV, in the order of the places; then edits without one."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["place", "kind", "x", "y", "z", "probability", "said", "decision", "edits", "note"]
    )
    decided = work.decided()
    for doubt in work.places():
        step = decided.get(doubt.name)
        place = [f"{v:.3f}" for v in doubt.place[::-1]]
        known = "" if np.isnan(doubt.probability) else f"{doubt.probability:.3f}"
        row = [doubt.name, doubt.kind, *place, known, doubt.said]
        table.writerow([*row, *_told(step)])
    for step in work.steps:
        if not step.place and step.mark is None:
            table.writerow(["", "edit", *[""] * 5, *_told(step)])
    return text.getvalue()


def _told(step: Step | None) -> list[str]:
    if step is None:
        return ["open", "", ""]
    edits = "; ".join(edit.model_dump_json(exclude_defaults=True) for edit in step.edits)
    return [step.decision if step.place else "edited", edits, step.note]
