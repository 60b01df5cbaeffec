"""Results of a benchmark as values: of each engine, of a whole prediction, of several workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from neuroglow.network.machine import Machine
from neuroglow.space.geometry import Box, Zyx, voxels_read

__all__ = ["BlockTime", "EngineTimes", "WholeTimes", "WorkersTime", "of_shape"]


@dataclass(frozen=True)
class BlockTime:
    """One size of block. write, read: its voxels without and with the halo. memory: bytes at most.

    max_memory: the limit of `predict` for which this block is chosen; None: of none.
    """

    write: Zyx
    read: Zyx
    seconds: float
    memory: int | None
    max_memory: int | None = None

    @property
    def rate(self) -> float:
        """Voxels read a second."""
        return Box.of(self.read).size / self.seconds

    @property
    def net(self) -> float:
        """Voxels written a second."""
        return Box.of(self.write).size / self.seconds


@dataclass(frozen=True)
class EngineTimes:
    """One engine on one device in one precision.

    usual: whether `predict` chooses it by itself. start: seconds until it could begin. peak:
    operations a second of a matrix product. operations: of the network, for one voxel.
    """

    machine: Machine
    usual: bool = False
    start: float | None = None
    peak: float | None = None
    operations: float | None = None
    blocks: Sequence[BlockTime] = field(default=())

    @property
    def name(self) -> str:
        """The engine, its precision, and its device if that is no CPU."""
        device = "" if self.machine.kind == "cpu" else f" on {self.machine.kind}"
        return f"{self.machine.engine} {self.machine.precision}{device}"

    def share(self, block: BlockTime) -> float | None:
        """Return the share of the peak that a block reaches."""
        if not self.peak or not self.operations:
            return None
        return block.rate * self.operations / self.peak


@dataclass(frozen=True)
class WholeTimes:
    """A prediction from a file to a file. Seconds; memory: bytes of the process at most.

    engine: its name. start: until the first small one is done. fixed: of a small one in the same
    process. empty: all skipped, or None if the gate opened. full: the network everywhere.
    """

    engine: str
    shape: Zyx
    block: Zyx
    start: float
    fixed: float
    empty: float | None
    full: float
    memory: int | None

    def rest(self, rate: float, halo: int) -> float:
        """Return the seconds for one voxel read, besides the network, whose rate is given."""
        whole = Box.of(self.shape)
        read = voxels_read(whole, self.block, halo=halo, within=whole)
        return max(0.0, (self.full - self.fixed) / read - 1 / rate)

    @property
    def empty_rate(self) -> float | None:
        """Voxels of empty tissue a second."""
        if self.empty is None or self.empty <= self.fixed:
            return None
        return Box.of(self.shape).size / (self.empty - self.fixed)


@dataclass(frozen=True)
class WorkersTime:
    """Several workers at once: their block, and the voxels that all of them read in a second."""

    count: int
    write: Zyx
    read: Zyx
    rate: float
    memory: int | None


def of_shape(shape: Sequence[int]) -> str:
    """Write a shape as people do: `64 x 128 x 128`."""
    return " x ".join(map(str, shape))
