"""Edits of trees as values: what a person did, in order, so that it can be undone and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from neuroglow.errors import InputError
from neuroglow.skeleton import editing
from neuroglow.skeleton.editing import Forest, Part
from neuroglow.skeleton.trees import SOMA

__all__ = ["Edit", "Point", "apply_edit", "apply_edits"]

Operation = Literal[
    "cut",
    "join",
    "root",
    "delete",
    "drop",
    "draw",
    "move",
    "type",
    "radius",
    "smooth",
    "soma",
    "reject_bridge",
]

NEEDS = {
    "cut": ("node",),
    "join": ("node", "other"),
    "root": ("node",),
    "delete": ("node",),
    "drop": ("node",),
    "draw": ("at",),
    "move": ("node", "at"),
    "type": ("node", "kind"),
    "radius": ("node", "radius"),
    "smooth": ("node",),
    "soma": ("node",),
    "reject_bridge": ("bridge",),
}
"""What an edit names besides itself."""

Whole = Annotated[int, Field(ge=0, le=2**31)]
Coordinate = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
Point = tuple[Coordinate, Coordinate, Coordinate]


class Edit(BaseModel):
    """One edit: an operation, and the nodes, place and values that it needs.

    at: x, y, z in the unit of the trees. node: for `draw` the parent, if there is one.
    part: which nodes delete, type, radius and smooth change.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: Operation
    node: Whole | None = None
    other: Whole | None = None
    at: Point | None = None
    kind: Annotated[int, Field(ge=0, le=99)] | None = None
    radius: Annotated[FiniteFloat, Field(ge=0, le=1e6)] | None = None
    bridge: Annotated[int, Field(ge=1, le=2**31)] | None = None
    part: Part = "node"


def apply_edits(forest: Forest, edits: Iterable[Edit]) -> Forest:
    """Apply edits in order. Raises InputError for one that is not possible."""
    for edit in edits:
        forest = apply_edit(forest, edit)
    return forest


def apply_edit(forest: Forest, edit: Edit) -> Forest:
    """Apply one edit; returns a new forest. Raises InputError if it is not possible."""
    missing = [name for name in NEEDS[edit.op] if getattr(edit, name) is None]
    if missing:
        raise InputError(
            f"the edit {edit.op} names {', '.join(NEEDS[edit.op])}",
            found=f"no {missing[0]}",
        )
    if edit.op == "draw":
        return _draw(forest, edit)
    if edit.op == "reject_bridge":
        return editing.reject_bridge(forest, edit.bridge or 0)
    return _apply_to(forest, edit, edit.node or 0)


def _draw(forest: Forest, edit: Edit) -> Forest:
    return editing.draw(
        forest,
        np.array(edit.at)[::-1],
        parent=-1 if edit.node is None else edit.node,
        radius=edit.radius or 0.0,
        kind=edit.kind or 0,
    )


def _apply_to(forest: Forest, edit: Edit, node: int) -> Forest:
    """Apply an edit of a node."""
    single: dict[str, Callable[[], Forest]] = {
        "cut": lambda: editing.cut(forest, node),
        "join": lambda: editing.join(forest, node, edit.other or 0),
        "root": lambda: editing.reroot(forest, node),
        "drop": lambda: editing.drop(forest, node),
        "move": lambda: editing.move(forest, node, np.array(edit.at)[::-1]),
        "soma": lambda: _soma(forest, edit, node),
    }
    if edit.op in single:
        return single[edit.op]()
    nodes = editing.nodes_of(forest, node, edit.part)
    several: dict[str, Callable[[], Forest]] = {
        "delete": lambda: editing.delete(forest, nodes),
        "type": lambda: editing.set_kind(forest, nodes, edit.kind or 0),
        "radius": lambda: editing.set_radius(forest, nodes, edit.radius or 0.0),
        "smooth": lambda: editing.smooth(forest, nodes),
    }
    return several[edit.op]()


def _soma(forest: Forest, edit: Edit, node: int) -> Forest:
    """Make a node the soma of its tree: the root, of type 1."""
    turned = editing.set_kind(editing.reroot(forest, node), np.array([node]), SOMA)
    if edit.radius is None:
        return turned
    return editing.set_radius(turned, np.array([node]), edit.radius)
