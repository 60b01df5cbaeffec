"""How the workers of a prediction share the memory: how many work, and on how large blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from pydantic import ByteSize

from neuroglow.errors import SettingsError
from neuroglow.files.remarks import remark
from neuroglow.network.db_enhance_facts import PATCH
from neuroglow.network.engine import Bytes
from neuroglow.network.patchwork import BYTES_PER_VOXEL, plan_patchwork
from neuroglow.predict.settings import PredictSettings
from neuroglow.space.geometry import (
    Box,
    Zyx,
    count_blocks,
    most_read,
    plan_block_shape,
    voxels_read,
)

__all__ = [
    "CHUNK",
    "CORES",
    "of_second",
    "pair_blocks",
    "plan_blocks",
    "plan_patches",
    "room_of",
    "roomier",
    "share_out",
]

CHUNK = 64
"""Voxels per axis of an output chunk; blocks are whole multiples of it."""


WORTH = 1.1
"""Several workers cost at most so many times what one costs, which uses all cores too."""

CORES = 4
"""Cores that one worker uses: the network runs on all of them, and takes two thirds of the CPU
seconds of a dense volume, while another thread reads and writes. On 2 cores a second one is slower
(measured); on more, this is reasoned."""

START = 4_000_000
"""Voxels that are predicted in the time that a worker takes to start."""

SLOW, MINUTE = 1.3, 120_000_000
"""How many times more voxels are worth a remark, and how many are read in about a minute."""


SECOND = Bytes(7, 2)
"""Bytes per voxel of a second block at once, which is read or written while the network runs."""

SEVERAL = 4
"""Blocks from which two at once pay: of two, the second one's memory cost what was gained."""

DEARER = 1.03
"""Blocks are so much smaller that two of them fit at once as cost at most so many times more."""

GAIN, SAVED = 1.15, 20_000_000
"""More memory than usual is taken where each doubling of it saves so many times the voxels, and all
together so many of them: two CPU seconds in int8."""


def roomier(
    settings: PredictSettings,
    most: int,
    process: int,
    plan: Callable[[int], Zyx],
    cost: Callable[[Zyx], int],
) -> PredictSettings:
    """Double the memory, to `most` bytes, where halos of larger blocks cost clearly less."""

    def read(memory: int) -> int:
        return cost(plan(room_of(memory, settings.processes, process)))

    memory = asked = settings.memory
    with suppress(SettingsError):  # no room for so many workers: share_out sees to it
        now, gain = read(asked), 1.0
        while 2 * asked <= most:
            before, then = read(asked), read(2 * asked)
            asked, gain = 2 * asked, gain * GAIN
            if now - then > SAVED and now > gain * then and before > GAIN * then:
                memory = asked
    if memory == settings.memory:
        return settings
    remark(
        f"{memory / 1e6:.0f} MB of the free memory are used, because larger blocks read fewer "
        "voxels twice; --max-memory changes this"
    )
    return settings.model_copy(update={"max_memory": ByteSize(memory)})


def room_of(memory: int, workers: float, process: int) -> int:
    """Return the bytes that each of so many workers has for its blocks.

    process: bytes of a worker besides its blocks.
    """
    return max(0, int(memory / workers) - process)


def share_out(
    settings: PredictSettings,
    process: int,
    plan: Callable[[int], Zyx],
    cost: Callable[[Zyx], int],
    whole: Zyx | None = None,
    *,
    cores: int | None = None,
) -> tuple[int, Zyx]:
    """Choose how many workers share the memory, at most as many as asked for, and their blocks.

    process: bytes of a worker besides its block. plan: blocks for so many bytes. cost: voxels read.
    whole: shape of what all of them work on, if they are to have a block each. cores: on which the
    network runs, if it runs on those of this machine.
    """

    def blocks_of(workers: float) -> Zyx:
        return plan(room_of(settings.memory, workers, process))

    least = settings.device.count(",") + 1
    best = blocks_of(least)
    worth = WORTH * (cost(best) + START)
    busy = settings.processes if cores is None else max(least, cores // CORES)
    for workers in range(min(settings.processes, busy), least, -1):
        with suppress(SettingsError):  # no room for so many
            shape = blocks_of(workers)
            if whole and count_blocks(whole, shape) < workers:
                continue
            if cost(shape) + workers * START <= worth:
                if workers == busy:
                    _say_busy(settings, busy, cores)
                _say_slow(settings.memory, cost(shape), cost(blocks_of(workers / 2)))
                return workers, shape
    if settings.processes > least:
        few = whole is not None and count_blocks(whole, best) < settings.processes
        if few or cost(best) + 2 * START > worth:
            _say_few(settings)
        elif busy == least:
            _say_busy(settings, busy, cores)
        else:
            _say_small(settings)
    _say_slow(settings.memory, cost(best), cost(blocks_of(least / 2)))
    return least, best


def _say_few(settings: PredictSettings) -> None:
    """Say that there is not enough to do for so many workers."""
    remark(
        f"so few voxels, or blocks, are not worth the start of {settings.processes} workers: "
        "fewer work, on all cores"
    )


def _say_busy(settings: PredictSettings, busy: int, cores: int | None) -> None:
    """Say how many workers the cores keep busy, if more were asked for."""
    if busy < settings.processes:
        remark(
            f"of {settings.processes} workers {busy} work: each uses about {CORES} cores, with two "
            f"blocks at once; more of them on {cores or 1} cores would be slower"
        )


def _say_small(settings: PredictSettings) -> None:
    """Say that the memory is too small for so many workers."""
    remark(
        f"{settings.memory / 1e6:.0f} MB do not suffice for {settings.processes} workers: "
        "their small blocks would read too much twice, so fewer work, on all cores; "
        "a larger --max-memory lets all of them work"
    )


def _say_slow(memory: int, voxels: int, with_twice: int) -> None:
    """Say that small blocks read much twice, if this costs more than a minute.

    voxels, with_twice: that are read in total with this memory, and with twice as much.
    """
    if voxels > SLOW * with_twice and voxels - with_twice > MINUTE:
        remark(
            f"with {memory / 1e6:.0f} MB the blocks are small, and their halos are read again and "
            f"again: --max-memory {2 * memory / 1e6:.0f}MB reads {voxels / with_twice:.1f} times "
            "fewer voxels"
        )


def plan_blocks(each: Bytes, roi: Box, shape: Zyx, budget: int, *, halo: int) -> Zyx:
    """Choose blocks that fit into this memory with their halo; SettingsError if none does.

    each: what the network needs per voxel.
    """
    planned = plan_block_shape(
        roi,
        halo=halo,
        unit=CHUNK,
        voxels=budget // each.read,
        written=each.written / each.read,
        within=Box.of(shape),
    )
    if planned is None:
        needed = each.read * (CHUNK + 2 * halo) ** 3 + each.written * CHUNK**3
        raise _no_room(f"{CHUNK} x {CHUNK} x {CHUNK} voxels and its halo", budget, needed)
    return planned


def pair_blocks(
    planned: Zyx, each: Bytes, roi: Box, shape: Zyx, budget: int, *, halo: int
) -> tuple[int, Zyx]:
    """Choose how many blocks a worker works on at once, 1 or 2, and their shape.

    planned: that of one at a time. See plan_blocks.
    """
    both, whole = Bytes(each.read + SECOND.read, each.written + SECOND.written), Box.of(shape)
    with suppress(SettingsError):
        paired = plan_blocks(both, roi, shape, budget, halo=halo)
        now, then = (voxels_read(roi, s, halo=halo, within=whole) for s in (planned, paired))
        if count_blocks(roi.shape, planned) >= SEVERAL and then <= DEARER * now:
            return 2, paired
    return 1, planned


def of_second(block_shape: Zyx, roi: Box, shape: Zyx, *, halo: int) -> int:
    """Return the bytes of a second block at once, at most; see pair_blocks."""
    read = most_read(roi, block_shape, halo=halo, within=Box.of(shape))
    return SECOND.read * read + SECOND.written * math.prod(block_shape)


def plan_patches(each: Bytes, roi: Box, shape: Zyx, budget: int) -> Zyx:
    """Choose blocks that fit into this memory with a patch of the network, or SettingsError."""
    needed = sum(each) * PATCH**3
    voxels = max(0, budget - needed) // BYTES_PER_VOXEL
    planned = plan_patchwork(roi, shape, unit=CHUNK, voxels=voxels)
    if planned is None:
        raise _no_room(f"a patch of {PATCH}^3 voxels", budget, needed)
    return planned


def _no_room(what: str, budget: int, needed: int) -> SettingsError:
    return SettingsError(
        f"a worker needs memory for one block of {what}",
        found=f"{budget / 1e6:.0f} MB for it; {needed / 1e6:.0f} MB are needed",
        where="--max-memory",
        cure="more memory, fewer --workers, or a smaller --halo",
    )
