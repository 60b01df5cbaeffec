"""Plans of a benchmark: which engines, and which blocks `predict` would choose on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import get_args

from neuroglow.bench.settings import BenchSettings
from neuroglow.errors import SettingsError
from neuroglow.network.engine import Precision
from neuroglow.network.machine import Machine, bytes_per_voxel, choose_machine, process_bytes
from neuroglow.network.model_settings import ModelSettings
from neuroglow.network.stored import StoredModel, read_model
from neuroglow.predict.memory import plan_blocks, room_of
from neuroglow.space.geometry import Box, Zyx, tile

__all__ = ["Plan", "PlannedBlock", "candidates"]

SMALL = 64
"""Voxels per axis of a block that is measured too, and shows what halos cost."""

MULTIPLES = (1, 2, 4)
"""Of the memory limit, as far as the computer has it."""

FREE = 0.7
"""Share of the free memory that is used at most."""


@dataclass(frozen=True)
class PlannedBlock:
    """A block: voxels without and with the halo, and the limit for which `predict` chooses it."""

    write: Zyx
    read: Zyx
    max_memory: int | None


@dataclass(frozen=True)
class Plan:
    """What is measured of one model on this computer. available: bytes."""

    settings: BenchSettings
    model: StoredModel
    available: int | None

    @property
    def halo(self) -> int:
        """Voxels read around a block."""
        return self.model.settings.halo

    def blocks(self, machine: Machine) -> list[PlannedBlock]:
        """List the blocks to measure on a machine, from small to large."""
        chosen = [self._block(self.chosen(machine, m, 1), m) for m in self._limits()]
        small = self._block(_cube(SMALL, self.settings.brain), None)
        known = {b.write: b for b in [small, *reversed(chosen)] if b}  # the least limit counts
        return sorted(known.values(), key=lambda b: Box.of(b.read).size)

    def chosen(self, machine: Machine, max_memory: int, workers: int) -> Zyx | None:
        """Return the block that `predict` writes with this memory; None: it has no room."""
        each = bytes_per_voxel(self.model.settings.network, machine)
        room = room_of(max_memory, workers, process_bytes(machine))
        with suppress(SettingsError):
            whole = Box.of(self.settings.brain)
            return plan_blocks(each, whole, whole.shape, room, halo=self.halo)
        return None

    def read_shape(self, write: Zyx) -> Zyx:
        """Return what a block in the middle of the brain reads."""
        whole = Box.of(self.settings.brain)
        blocks = tile(whole, write, halo=self.halo, align=self.model.stride, within=whole)
        z, y, x = (n // 2 for n in blocks.grid)
        return blocks.at((z * blocks.grid[1] + y) * blocks.grid[2] + x).read.shape

    def _block(self, write: Zyx | None, limit: int | None) -> PlannedBlock | None:
        return write and PlannedBlock(write, self.read_shape(write), limit)

    def _limits(self) -> list[int]:
        most = self._free()
        asked = [int(self.settings.max_memory) * n for n in MULTIPLES]
        return [limit for limit in asked if limit <= most]

    def _free(self) -> float:
        return float("inf") if self.available is None else FREE * self.available


def _cube(side: int, brain: Zyx) -> Zyx:
    z, y, x = (min(side, n) for n in brain)
    return z, y, x


def candidates(settings: BenchSettings) -> tuple[list[Machine], list[str]]:
    """List what the model may run on here, first what `predict` chooses; and what it may not.

    Raises ModelError if there is no such model, SettingsError if the device is not there.
    """
    stored = read_model(settings.model)
    model, int8 = stored.settings, stored.int8_by_default
    usual = choose_machine(
        model, engine="auto", device=settings.device, precision="auto", int8=int8
    )
    machines, absent = [usual], []
    for machine in _others(model, usual, settings.device):
        if isinstance(machine, str):
            absent.append(machine)
        elif not any(_same(machine, known) for known in machines):
            machines.append(machine)
    return machines, absent


def _others(model: ModelSettings, usual: Machine, device: str) -> Iterator[Machine | str]:
    """Give each engine in each precision on each device, or why it cannot run here."""
    devices = dict.fromkeys([usual.kind, "cpu"] if device == "auto" else [usual.kind])
    for where in devices:
        for precision in get_args(Precision):
            if precision == "auto":
                continue
            if where == "cpu":
                try:
                    yield choose_machine(
                        model, engine="openvino", device=where, precision=precision
                    )
                except SettingsError as error:
                    yield f"openvino {precision}: {error.found}"
            if find_spec("torch") is None:
                yield f"torch {precision}: PyTorch is not installed"
            elif precision in ("float32", "bfloat16"):
                yield Machine("torch", where, precision, "it was asked for")
    if device == "auto" and usual.kind == "cpu":
        yield "a GPU: none is used here"


def _same(one: Machine, other: Machine) -> bool:
    return (one.engine, one.kind, one.precision) == (other.engine, other.kind, other.precision)
