"""Passes of an evaluation, block by block: in this thread, or as runs whose blocks run anywhere.

    OUTPUT.partial/passes/2-counting-voxels.jsonl    which blocks of a pass are done
    OUTPUT.partial/passes/2-counting-voxels/         what each of them found

A pass is one function for each volume, from a block to named arrays. It goes over all volumes at
once, so that many small ones are one run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.executors import Workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import refuse_failures, resumable
from neuroglow.evaluate.census import See
from neuroglow.files.writing import writing
from neuroglow.progress import Progress, Tell
from neuroglow.runs.unfinished import CONTINUED, Mode, Unfinished, check_ended
from neuroglow.space.geometry import Block, Blocks

__all__ = ["Found", "KeptPasses", "Part", "RunPass", "Task", "in_this_thread"]

Found = Mapping[str, NDArray[Any]]
Part = Callable[[Block], Found]


@dataclass(frozen=True)
class Task:
    """A pass over one volume: its name, the function of a block, what is called after each."""

    name: str
    part: Part
    blocks: Blocks
    see: See


RunPass = Callable[[str, Sequence[Task]], Iterator[Iterator[Found]]]
"""Runs a pass; returns for each volume what its blocks found, in order, to be read to its end."""


def in_this_thread(_: str, tasks: Sequence[Task]) -> Iterator[Iterator[Found]]:
    """Run a pass here, block after block; nothing is kept."""
    for task in tasks:
        yield _one_by_one(task)


def _one_by_one(task: Task) -> Iterator[Found]:
    for block in task.blocks:
        yield task.part(block)
        task.see(block.write)


@dataclass
class KeptPasses:
    """Passes as runs of blocks that leave files: run by any workers, and resumed.

    fingerprint: everything that determines what the blocks find. mode: whether earlier ones count.
    """

    output: Path
    fingerprint: Mapping[str, str]
    workers: Workers
    mode: Mode
    begun: int = 0

    def __call__(self, name: str, tasks: Sequence[Task]) -> Iterator[Iterator[Found]]:
        """Run a pass over all volumes, then read what was found."""
        self.begun += 1
        blocks = _Joined(tuple(task.blocks for task in tasks))
        named = f"{self.begun}-{name.replace(' ', '-')}"
        folder = Unfinished(self.output).folder / "passes" / named
        work = _KeepBlock(tuple(task.part for task in tasks), blocks, folder)
        with resumable(Unfinished(self.output).folder):
            report = run_blocks(
                work,
                blocks,
                ledger=self._ledger(folder.with_name(f"{named}.jsonl"), name, blocks),
                workers=self.workers,
                on_progress=_seen_in_order(tasks),
            )
        refuse_failures(report, _name_of(tasks, blocks), folder)
        for first, task in zip(blocks.firsts, tasks, strict=False):
            yield map(work.found, range(first, first + len(task.blocks)))

    def _ledger(self, path: Path, name: str, blocks: _Joined) -> Ledger:
        with writing(path):
            path.with_suffix("").mkdir(parents=True, exist_ok=True)
        fingerprint = {**self.fingerprint, "pass": name}
        if self.mode in CONTINUED and path.exists():
            ledger = Ledger.resume(path, fingerprint)
            check_ended(ledger, self.mode, len(blocks))
            return ledger
        about = {"kind": "evaluation", "pass": name, "blocks": len(blocks)}
        if len(blocks.parts) == 1:
            about |= {"grid": list(blocks.parts[0].grid)}
        return Ledger.create(path, fingerprint, about)


def _name_of(tasks: Sequence[Task], blocks: _Joined) -> Callable[[int], str]:
    """Name blocks by their volume and place."""

    def name(index: int) -> str:
        return f"{tasks[blocks.volume_of(index)].name} [{blocks[index].write}]"

    return name


def _seen_in_order(tasks: Sequence[Task]) -> Tell:
    """Tell as many boxes as blocks are done, in the order of the volumes."""
    boxes = ((task.see, block.write) for task in tasks for block in task.blocks)
    told = 0

    def hear(progress: Progress) -> None:
        nonlocal told
        while progress.work == "blocks" and told < int(progress.done):
            see, box = next(boxes)
            see(box)
            told += 1

    return hear


@dataclass(frozen=True)
class _Joined(Sequence[Block]):
    """The blocks of several volumes, numbered one after another; computed, not listed."""

    parts: tuple[Blocks, ...]

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """The number of each volume's first block; and how many there are."""
        return (0, *accumulate(map(len, self.parts)))

    def volume_of(self, index: int) -> int:
        """Return the volume to which a block belongs."""
        return bisect_right(self.firsts, index) - 1

    def __len__(self) -> int:
        return self.firsts[-1]

    @overload
    def __getitem__(self, at: int) -> Block: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Block]: ...
    def __getitem__(self, at: int | slice) -> Block | Sequence[Block]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        volume = self.volume_of(at)
        return replace(self.parts[volume][at - self.firsts[volume]], index=at)


@dataclass(frozen=True)
class _KeepBlock:
    """The work on a block of any volume: leave what was found in FOLDER/00000012.npz."""

    parts: tuple[Part, ...]
    blocks: _Joined
    folder: Path

    def __call__(self, block: Block) -> str:
        """Find, and write."""
        found = self.parts[self.blocks.volume_of(block.index)](block)
        with writing(file := self._file(block.index)):
            np.savez_compressed(file, **found)  # type: ignore[arg-type]  # its stubs want a bool
        return "done"

    def files(self, block: Block) -> list[Path]:
        """Name the file of a block."""
        return [self._file(block.index)]

    def found(self, index: int) -> Found:
        """Read what a block found."""
        with np.load(self._file(index)) as kept:
            return dict(kept)

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:08d}.npz"
