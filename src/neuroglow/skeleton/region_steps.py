"""The steps of the tracer on one region: read what is around it, do the step, keep what is its own.

lines -> untangled -> cleaned -> bridges -> tidied -> junctions; between them, what crosses faces
is joined (region_joins.py). Each step is that of the tracer of a whole volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroglow.skeleton.bridges import Bricks, Bridge, bridges_from, join_bridges, tips_of
from neuroglow.skeleton.graph import lines_of
from neuroglow.skeleton.light import with_light
from neuroglow.skeleton.meetings import Decision
from neuroglow.skeleton.middle_blocks import MiddleBlock
from neuroglow.skeleton.middles import Middles, ReadBox, finish_middles
from neuroglow.skeleton.partition import CELL_VOX, CELLS, Junctions, among, find_junctions
from neuroglow.skeleton.regions import Regions
from neuroglow.skeleton.tracer import FindBodies, Rules, cleaned, tidied, untangled
from neuroglow.space.geometry import Block, Blocks, Box

__all__ = [
    "STEPS",
    "RegionStep",
    "RegionTask",
    "read_bridges",
    "read_cuts",
    "read_junctions",
    "write_bridges",
]


Step = Literal["lines", "untangled", "cleaned", "bridges", "tidied", "junctions"]
STEPS: Sequence[Step] = ("lines", "untangled", "cleaned", "bridges", "tidied", "junctions")

AROUND_VOX, AROUND = 48, 4
"""The margin around a region: coarsest voxels, and how many spurs or radii of somata."""

KEPT, PARTS, LOOPS, CHOSEN, CUTS = "kept", "labels", "loops", "chosen", "cuts"
"""What is found of all regions together, between the steps."""


@dataclass(frozen=True)
class RegionTask:
    """What a trace by regions needs; picklable.

    middles, blocks: the middle lines that were found. evidence: gives what reads it, once for each
    region, so that nothing grows with the volume. bodies: finds those near places. glow: gives
    what reads the raw image, as evidence does; none without one (Views). margin: voxels
    (zyx) around a region that decide on what is in it.
    """

    regions: Regions
    middles: MiddleBlock
    blocks: Blocks
    read: ReadBox
    evidence: Callable[[], ReadBox]
    bodies: FindBodies
    glow: Callable[[], ReadBox] | None
    rules: Rules
    margin: tuple[int, int, int]

    @classmethod
    def margin_of(cls, rules: Rules, unit_um: Sequence[float]) -> tuple[int, int, int]:
        """Return the margin (voxels, zyx) for these rules."""
        reach = (
            AROUND_VOX * max(unit_um) + AROUND * max(rules.spur, rules.soma) + rules.gap.length_um
        )
        z, y, x = (int(np.ceil(reach / unit)) for unit in unit_um)
        return z, y, x

    @property
    def loops(self) -> Path:
        """The file of the edges of loops that are cut."""
        return self.regions.folder / LOOPS / "edges.npy"


@dataclass(frozen=True)
class RegionStep:
    """The work of one step on one region."""

    task: RegionTask
    step: Step

    def __call__(self, block: Block) -> Literal["done", "skipped"]:
        """Do the step; skipped if there is nothing in the region."""
        file = self.task.regions.file(self.step, block.index)
        file.unlink(missing_ok=True)
        _DO[self.step](self.task, block)
        return "done" if file.exists() else "skipped"

    def files(self, block: Block) -> list[Path]:
        """Name the file of a region."""
        return [self.task.regions.file(self.step, block.index)]


def _lines(task: RegionTask, block: Block) -> None:
    regions, box = task.regions, task.regions.around(block, task.margin)
    near = list(_blocks_in(task.blocks, box))
    middles = Middles.joined([*task.middles.found(near)])
    inside = ((middles.places >= box.start) & (middles.places < box.stop)).all(axis=1)
    middles = finish_middles(middles.where(np.flatnonzero(inside)), regions.shape)
    if len(middles.places):
        graph = lines_of(middles, regions.shape, task.middles.unit_um)
        regions.save("lines", block.index, graph, peak=middles.peak)


def _blocks_in(blocks: Blocks, box: Box) -> Iterator[Block]:
    """Return the blocks that a box touches."""
    low = np.array(box.start) // blocks.shape
    high = -(-np.array(box.stop) // blocks.shape)
    for at in np.ndindex(*(high - low).tolist()):
        yield blocks.at(int(np.ravel_multi_index(tuple(low + at), blocks.grid)))


def _untangled(task: RegionTask, block: Block) -> None:
    graph, _ = task.regions.gather("lines", task.regions.around(block, task.margin), KEPT)
    if len(graph.places):
        graph = with_light(graph, task.glow() if task.glow else None, task.regions.shape)
        graph, cuts = untangled(graph, task.rules, task.bodies, task.regions.shape)
        task.regions.save("untangled", block.index, graph.as_forest().in_order())
        places = np.array([cut.place for cut in cuts]).reshape(-1, 3)
        own = task.regions.owners(places / graph.unit_um) == block.index
        odds = np.array([cut.probability for cut in cuts])
        task.regions.keep(CUTS, block.index, places=places[own], odds=odds[own])


def _cleaned(task: RegionTask, block: Block) -> None:
    graph, _ = task.regions.gather("untangled", task.regions.around(block, task.margin))
    if len(graph.places):
        loops = among(graph.names[graph.edges], np.load(task.loops))
        forest = graph.with_edges(~loops)
        graph = cleaned(forest, task.rules, task.read, task.regions.shape)
        task.regions.save("cleaned", block.index, graph)


def _bridges(task: RegionTask, block: Block) -> None:
    regions, gap = task.regions, task.rules.gap
    graph, part = regions.gather("cleaned", regions.around(block, task.margin), PARTS)
    tips = tips_of(graph)
    own = tips[regions.owners(graph.places[tips]) == block.index]
    if gap.length_um and len(own):
        read = Bricks(task.evidence(), regions.shape).read
        found = bridges_from(graph, part, own, read, regions.shape, gap)
        write_bridges(regions, "bridges", block.index, dict(enumerate(found)))


def _tidied(task: RegionTask, block: Block) -> None:
    regions, box = task.regions, task.regions.around(block, task.margin)
    graph, _ = regions.gather("cleaned", box)
    if not len(graph.places):
        return
    chosen: dict[int, Bridge] = {}
    for index in regions.touching(box):
        chosen |= read_bridges(regions, CHOSEN, index)
    names = set(graph.names.tolist())
    inside = {n: b for n, b in sorted(chosen.items()) if b.tip in names and b.other in names}
    graph = tidied(join_bridges(graph, inside), task.rules)
    regions.save("tidied", block.index, graph)


def _junctions(task: RegionTask, block: Block) -> None:
    regions = task.regions
    reach = CELL_VOX * CELLS + CELL_VOX // 2
    box = regions.around(block, tuple(max(m, reach) for m in task.margin))
    graph, _ = regions.gather("tidied", box)
    if not len(graph.places):
        return
    graph = regions.follow("tidied", graph, box)
    own = regions.owners(graph.places) == block.index
    found = find_junctions(graph, regions.shape, own)
    regions.keep(
        "junctions", block.index, **{f.name: getattr(found, f.name) for f in fields(found)}
    )


_DO: Mapping[Step, Callable[[RegionTask, Block], None]] = {
    "lines": _lines,
    "untangled": _untangled,
    "cleaned": _cleaned,
    "bridges": _bridges,
    "tidied": _tidied,
    "junctions": _junctions,
}

SHORT = ("tip", "other", "parts", "facing", "cost")
LONG = ("places", "evidence", "radii")
"""What a bridge has once, and its arrays, with a value for each voxel."""


def write_bridges(regions: Regions, step: str, index: int, bridges: Mapping[int, Bridge]) -> None:
    """Keep the bridges of a region, by their numbers."""
    found = list(bridges.values())
    none = {"places": np.empty((0, 3), np.int64)}
    regions.keep(
        step,
        index,
        numbers=np.array(list(bridges), np.int64),
        sizes=np.array([len(b.places) for b in found], np.int64),
        **{name: np.array([getattr(b, name) for b in found]) for name in SHORT},
        **{
            name: np.concatenate([none.get(name, np.empty(0)), *(getattr(b, name) for b in found)])
            for name in LONG
        },
    )


def read_bridges(
    regions: Regions, step: str, index: int, *, ends: bool = False
) -> dict[int, Bridge]:
    """Read the bridges of a region by their numbers. ends: without their voxels."""
    if not regions.file(step, index).exists():
        return {}
    with np.load(regions.file(step, index)) as kept:
        stops = np.cumsum(kept["sizes"])[:-1]
        count = len(kept["sizes"])
        none = np.empty((0, 3), np.int64), np.empty(0), np.empty(0)
        long = [
            [n] * count if ends else np.split(kept[k], stops)[:count]
            for k, n in zip(LONG, none, strict=True)
        ]
        numbers = kept["numbers"].tolist()
        rows = zip(*(kept[name].tolist() for name in SHORT), strict=True)
        found = [
            Bridge(tip, other, (parts[0], parts[1]), facing, cost, *voxels)
            for (tip, other, parts, facing, cost), *voxels in zip(rows, *long, strict=True)
        ]
    return dict(zip(numbers, found, strict=True))


def read_cuts(regions: Regions) -> list[Decision]:
    """Read what was cut apart at the crossings of all regions."""
    cuts: list[Decision] = []
    for index in range(len(regions.blocks)):
        if regions.file(CUTS, index).exists():
            with np.load(regions.file(CUTS, index)) as kept:
                found = zip(kept["places"], kept["odds"].tolist(), strict=True)
                cuts += [Decision(place, odds, joined=False) for place, odds in found]
    return cuts


def read_junctions(regions: Regions) -> Junctions:
    """Read the junctions of all regions."""
    parts: list[Junctions] = []
    for index in range(len(regions.blocks)):
        if regions.file("junctions", index).exists():
            with np.load(regions.file("junctions", index)) as kept:
                held: dict[str, Any] = {f.name: kept[f.name] for f in fields(Junctions)}
                parts.append(Junctions(**held))
    return Junctions.joined(parts)
