"""A trace by regions: each step of the tracer is a run over them, which can be resumed.

OUTPUT.partial/regions/SIDE-SETTINGS/STEP.jsonl    which regions are done
OUTPUT.partial/regions/SIDE-SETTINGS/STEP/         what belongs to each of them after the step
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import block_names, refuse_failures, resumable
from neuroglow.errors import SettingsError
from neuroglow.files.remarks import remark
from neuroglow.files.writing import hash_of, writing
from neuroglow.progress import Progress
from neuroglow.skeleton.bridges import choose_bridges
from neuroglow.skeleton.middle_blocks import MiddleBlock
from neuroglow.skeleton.partition import Decision, decide
from neuroglow.skeleton.region_joins import Labels, find_loops, join_labels, keep_reaching
from neuroglow.skeleton.region_steps import (
    CHOSEN,
    KEPT,
    PARTS,
    STEPS,
    RegionStep,
    RegionTask,
    Step,
    read_bridges,
    read_cuts,
    read_junctions,
    write_bridges,
)
from neuroglow.skeleton.region_trees import Cut, whole_parts
from neuroglow.skeleton.regions import Regions
from neuroglow.skeleton.tracer import Rules, grown
from neuroglow.space.geometry import Block, Blocks
from neuroglow.trace.middle_run import MiddleRun
from neuroglow.trace.searches import Searches
from neuroglow.trace.source import Source
from neuroglow.trace.tree_store import TreeStore

__all__ = ["RegionRun", "choose_side", "say_torn"]

LINE_BYTES, PROCESS_BYTES = 1000, 350_000_000
"""Memory of a voxel of line in the tracer, and of a process with one block
(docs/lab-notebook/costs.md)."""

SIDES = [2**n for n in range(12, -1, -1)]
"""Blocks along a side of a region."""

VOXEL_BYTES = 48
"""Size of a voxel of line in the file of a block."""


def choose_side(
    run: MiddleRun, work: MiddleBlock, blocks: Blocks, margin: tuple[int, int, int]
) -> int | None:
    """Choose the side of regions whose lines fit into the memory; None if all lines do.

    Raises SettingsError if not even the lines of a region of one block do.
    """
    counts = np.array([_bytes_of(work, block) for block in blocks]).reshape(blocks.grid)
    counts = counts // VOXEL_BYTES
    if counts.sum() <= _room(run, 1):
        return None
    room = _room(run, run.settings.workers)
    for steps in (s for s in SIDES if s < max(blocks.grid)):
        if _most(counts, steps, blocks.shape[0], margin) <= room:
            return int(steps * blocks.shape[0])
    raise SettingsError(
        "the lines of a region must fit into the memory",
        found=f"room for {room:,} voxels of line in each process; a region of "
        f"{blocks.shape[0]} has up to {_most(counts, 1, blocks.shape[0], margin):,}",
        where="--max-memory",
        cure="more memory, fewer --workers, or a smaller --block",
    )


def _room(run: MiddleRun, workers: int) -> int:
    """Return the voxels of line that fit into the memory of one process."""
    return max(0, int(run.settings.memory / workers) - PROCESS_BYTES) // LINE_BYTES


def _bytes_of(work: MiddleBlock, block: Block) -> int:
    (file,) = work.files(block)
    return file.stat().st_size if file.exists() else 0


def _most(counts: NDArray[np.int64], steps: int, side: int, margin: tuple[int, int, int]) -> int:
    """Return the most voxels of line that a region of so many blocks has with its margin."""
    wide = [-(-m // side) for m in margin]
    found = 0
    for at in np.ndindex(*(-(-n // steps) for n in counts.shape)):
        near = tuple(
            slice(max(0, i * steps - w), (i + 1) * steps + w) for i, w in zip(at, wide, strict=True)
        )
        found = max(found, int(counts[near].sum()))
    return found


@dataclass(frozen=True)
class RegionRun:
    """A trace by regions, after its middle lines were found.

    tell: called with the name of the work and its share.
    """

    middles: MiddleRun
    work: MiddleBlock
    blocks: Blocks
    source: Source
    rules: Rules
    side: int
    tell: Callable[[str, float], object]

    @cached_property
    def regions(self) -> Regions:
        """The regions, and where they are kept."""
        name = f"{self.side}-{self._decides[:8]}"
        return Regions(self.blocks.roi.shape, self.side, self.middles.folder / "regions" / name)

    @cached_property
    def _decides(self) -> str:
        """A hash of all that decides on the lines of a region, besides the middle lines."""
        margin = RegionTask.margin_of(self.rules, self.work.unit_um)
        return hash_of(asdict(self.rules), margin, self.source.identity)

    def trace(self) -> tuple[TreeStore, list[Decision], int]:
        """Trace all regions and join them: trees, decisions, and places where two sides differ."""
        rules, regions = self.rules, self.regions
        with resumable(self.middles.folder):
            self._step("lines")
            keep_reaching(regions, "lines", KEPT, rules.peak)
            self._step("untangled")
            self._cut_loops()
            self._step("cleaned")
            labels = join_labels(regions, "cleaned")
            self._keep_labels(labels)
            self._step("bridges")
            self._choose_bridges()
            self._step("tidied")
            cut: Cut | None = None
            decisions = read_cuts(regions)
            if rules.crossing:
                self._step("junctions")
                edges, more = decide(read_junctions(regions), max(self.work.unit_um))
                decisions += more
                cut = Cut.of(regions, "tidied", edges)
            return self._trees(cut), decisions, labels.torn

    def _step(self, step: Step) -> None:
        """Do one step in all regions."""
        regions, number = self.regions, STEPS.index(step)

        def hear(progress: Progress) -> None:
            share = progress.done / (progress.total or 1)
            self.tell("regions", (number + share) / (len(STEPS) + 1))

        with writing(regions.folder):
            (regions.folder / step).mkdir(parents=True, exist_ok=True)
        report = run_blocks(
            RegionStep(self._task(), step),
            regions.blocks,
            ledger=self._ledger(step),
            workers=self.middles.workers(ceil(self.side / self.middles.settings.block) ** 3),
            on_progress=hear,
        )
        refuse_failures(report, block_names(regions.blocks), self.middles.folder)

    @cached_property
    def _bodies(self) -> Searches:
        return Searches.of(self.source, self.rules)

    def _task(self) -> RegionTask:
        margin = RegionTask.margin_of(self.rules, self.work.unit_um)
        seen = self.source.reader, self.source.evidence.begin, self._bodies, self._bodies.glow
        made = self.work, self.blocks, *seen
        return RegionTask(self.regions, *made, self.rules, margin)

    def _ledger(self, step: Step) -> Ledger:
        blocks, number = self.regions.blocks, STEPS.index(step) + 1
        about = {"blocks": len(blocks), "grid": list(blocks.grid)}
        about |= {"pass": f"regions, step {number} of {len(STEPS)} ({step})"}
        fingerprint = {"settings": self._decides, "grid": f"{self.side}"}
        return self.middles.ledger_of(self.regions.folder / f"{step}.jsonl", fingerprint, about)

    def _cut_loops(self) -> None:
        task = self._task()
        with writing(task.loops):
            task.loops.parent.mkdir(exist_ok=True)
            np.save(task.loops, find_loops(self.regions, "untangled"))

    def _keep_labels(self, labels: Labels) -> None:
        for part in self.regions.parts("cleaned"):
            self.regions.keep(PARTS, part.index, values=labels.of(part))

    def _choose_bridges(self) -> None:
        """Choose among the bridges of all regions; each is kept with the region that found it."""
        regions = self.regions
        found = [
            bridge
            for index in range(len(regions.blocks))
            for bridge in read_bridges(regions, "bridges", index, ends=True).values()
        ]
        numbers = {(b.tip, b.other): n for n, b in enumerate(choose_bridges(found), start=1)}
        for index in range(len(regions.blocks)):
            own = read_bridges(regions, "bridges", index).values()
            named = {numbers[b.tip, b.other]: b for b in own if (b.tip, b.other) in numbers}
            write_bridges(regions, CHOSEN, index, named)

    def _trees(self, cut: Cut | None) -> TreeStore:
        most = max(_room(self.middles, 1), 1)
        store = TreeStore(self.middles.folder)
        for graph in whole_parts(self.regions, "tidied", cut, most):
            for tree in grown(graph, self.rules):
                store.add(tree)
        store.finish()
        return store


def say_torn(torn: int) -> list[str]:
    """Say how many places at faces were decided differently from both sides."""
    if not torn:
        return []
    said = f"{torn} places at faces of regions look different from both sides: larger regions?"
    remark(said)
    return [said]
