"""The page of a trace: how many trees, how they lie, how long they are, which gaps are bridged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.pictures.colours import Rgb
from neuroglow.report import Page
from neuroglow.skeleton.trees import SOMA, tree_length
from neuroglow.trace.pictures import draw_trees, length_classes, stack_of, tree_colours
from neuroglow.trace.source import Source
from neuroglow.trace.summary import Bridge, summarise
from neuroglow.trees.swc import Tree

__all__ = ["Found", "make_page"]

SHOWN = 30
"""Rows of trees and of bridges on the page."""

DEFINITIONS = {
    "length": "of all edges of a tree, bridges among them",
    "tips": "ends of a tree, besides its soma",
    "branch points": "nodes from which two or more branches go on",
    "bridges": "gaps that were closed along the best path through the probability",
    "probability": "mean along the line",
}


@dataclass(frozen=True)
class Found:
    """What was traced of a source; micrometres.

    threshold: from which on neurites are kept. picture: PNG, of the trees in their colours.
    """

    trees: Sequence[Tree]
    bridges: Sequence[Bridge]
    source: Source
    threshold: float
    block: int
    picture: bytes

    @property
    def unit(self) -> str:
        """The unit of lengths."""
        return "µm" if self.source.sized else "voxels"


def make_page(
    title: str,
    said: str,
    found: Found,
    notes: Sequence[str],
    record: Mapping[str, Any],
) -> Page:
    """Make the page. said: the trace in one line."""
    page = Page(title, DEFINITIONS).verdict(_verdict(said, found))
    if found.trees:
        _add_pictures(page, found)
        page.heading("Trees, the longest first")
        page.table(_rows(found), _about(len(found.trees), "trees", "; colour: as in the picture"))
        page.heading("Lengths of trees")
        page.table(_lengths(found), "colour: as in the picture of lengths")
    if found.bridges:
        page.heading("Bridges: look at these first")
        rows = sorted(found.bridges, key=lambda b: b.probability)[:SHOWN]
        table = [_bridge_row(bridge, found.unit) for bridge in rows]
        page.table(table, _about(len(found.bridges), "bridges", ", the least certain first"))
    page.heading("Assumptions")
    for note in notes:
        page.paragraph(note)
    return page.settings(str(record["command"]), record["settings"])


def _add_pictures(page: Page, found: Found) -> None:
    colours = tree_colours(len(found.trees))
    page.picture(
        found.picture,
        "A colour a tree, bridges white, somata as rings; behind them the probability. Pieces of "
        "one neurite in several colours are splits; two neurites in one colour, a merge.",
        title="Trees",
    )
    stack = stack_of(found.trees, found.source, found.threshold, colours, found.block)
    page.stack(
        stack,
        "Maxima of slabs of planes along z: orange reaches the threshold, thin lines are trees.",
        title="Plane by plane",
    )
    if len(found.trees) > 1:
        colours, legend = length_classes(found.trees, found.unit)
        lengths = draw_trees(
            found.trees, found.bridges, found.source, colours=colours, legend=legend
        )
        page.picture(lengths, "The same trees, coloured by their length.", title="Length of trees")


def _verdict(said: str, found: Found) -> str:
    if not found.trees:
        return said + "."
    lengths = [tree_length(tree) for tree in found.trees]
    return (
        f"{said}. The longest tree has {lengths[0]:,.0f} {found.unit}, "
        f"{lengths[0] / max(sum(lengths), 1e-9):.0%} of the whole length."
    )


def _about(count: int, what: str, more: str) -> str:
    first = f"the first {SHOWN} of {count} {what}" if count > SHOWN else f"{count} {what}"
    return first + more


def _rows(found: Found) -> list[dict[str, Any]]:
    colours: Sequence[Rgb] = tree_colours(len(found.trees))
    rows = []
    for number, (tree, colour) in enumerate(zip(found.trees[:SHOWN], colours, strict=False), 1):
        counts = summarise([tree], [])
        bridges = sum(bridge.tree == number for bridge in found.bridges)
        rows.append(
            {
                "tree": number,
                "colour": colour,
                f"length, {found.unit}": f"{tree_length(tree):,.1f}",
                "tips": counts["tips"],
                "branch points": counts["branch_points"],
                "soma": "yes" if tree.kinds[0] == SOMA else "",
                "bridges": bridges,
                "probability": float(np.mean(tree.columns["probability"])),
            }
        )
    return rows


def _bridge_row(bridge: Bridge, unit: str) -> dict[str, Any]:
    z, y, x = bridge.line[len(bridge.line) // 2]
    return {
        "bridge": bridge.number,
        "tree": bridge.tree,
        f"length, {unit}": f"{bridge.length_um:.1f}",
        "probability": bridge.probability,
        **{f"{name}, {unit}": f"{at:.1f}" for name, at in zip("xyz", (x, y, z), strict=True)},
    }


def _lengths(found: Found) -> list[dict[str, Any]]:
    """Count the trees of each class of length, and what they have of the whole length."""
    lengths = np.array([tree_length(tree) for tree in found.trees])
    colours, legend = length_classes(found.trees, found.unit)
    rows = []
    for colour, words in legend:
        own = lengths[[c == colour for c in colours]]
        share = f"{own.sum() / max(lengths.sum(), 1e-9):.0%}"
        span = words.rpartition(":")[0]
        rows.append({"length": span, "colour": colour, "trees": len(own), "of the length": share})
    return rows
