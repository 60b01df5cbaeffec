"""The SWC files of a trace, written tree by tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

from neuroglow.trace.settings import TraceSettings
from neuroglow.trace.source import Source
from neuroglow.trace.tree_store import Each
from neuroglow.trees.swc import Tree, join_trees, swc_header, swc_rows

__all__ = ["swc_texts"]

COMMENT = """neuroglow {version}: {source}
unit: {unit}; x y z are those of the volume, the centre of its first voxel at 0
kind: 1 soma, 0 not known; probability: mean along the line; bridge: number of the bridge that
leads from the parent to the node, 0 where the line was seen"""


def swc_texts(
    trees: Sequence[Tree], settings: TraceSettings, source: Source, *, one: bool
) -> dict[str, Iterable[str]]:
    """Return the texts of the SWC files by name, each in pieces that are made when needed."""
    unit = "micrometres" if settings.unit == "um" and source.sized else "voxels"
    about = COMMENT.format(version=version("neuroglow"), source=source.volume.name, unit=unit)
    if settings.unit == "voxel":
        trees = Each(trees, lambda _, tree: replace(tree, unit="voxel"))
    if one:
        return {"": _joined(trees, f"{about}\ntrees: {len(trees)}")}
    digits = max(3, len(str(len(trees))))
    return {
        f"tree_{i + 1:0{digits}d}.swc": _joined(trees, about, range(i, i + 1))
        for i in range(len(trees))
    }


def _joined(trees: Sequence[Tree], about: str, some: range | None = None) -> Iterator[str]:
    """Give the lines of one file with some trees, by default all."""
    first, some = 1, range(len(trees)) if some is None else some
    head = trees[some[0]] if len(some) else join_trees([])
    yield "\n".join(swc_header(head, about)) + "\n"
    for tree in (trees[i] for i in some):
        yield "".join(f"{row}\n" for row in swc_rows(tree, first=first))
        first += len(tree.points)
