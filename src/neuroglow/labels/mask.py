"""The mask of a probability: 1 where it reaches a threshold, else 0; written next to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroglow.errors import OutputError
from neuroglow.files.names import stem_of
from neuroglow.files.record import read_record
from neuroglow.formats.opening import open_volume
from neuroglow.labels.labels import MASK_LEGEND
from neuroglow.runs.unfinished import CONTINUED, Mode, Unfinished
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import VolumeSpec

__all__ = ["mask_path", "needs_mask", "write_mask"]

BLOCK, CHUNK = 128, 64


def mask_path(output: Path) -> Path:
    """Name the mask of a probability: `brain_prob.tif` has `brain_mask.tif`."""
    stem = stem_of(output)
    return output.with_name(f"{stem.removesuffix('_prob')}_mask{output.name[len(stem) :]}")


def needs_mask(output: Path, threshold: float, mode: Mode) -> bool:
    """Return whether the mask still has to be written.

    Raises OutputError if there is a file in its place that this mode does not replace: only
    `restart` replaces a mask, and only one written by a prediction; `resume` keeps its own.
    """
    mask = mask_path(output)
    if not mask.exists():
        return True
    if other := _whose(mask, output):
        raise OutputError(
            "the mask of another output is not overwritten",
            found=f"that of {other.name}",
            where=str(mask),
            cure="another -o",
        )
    left = _threshold(output)
    if mode in CONTINUED and left == threshold:
        return False
    if mode == "restart" and left is not None:
        return True
    raise OutputError(
        "an existing output is not overwritten",
        found="a mask with another threshold" if mode in CONTINUED and left else "it exists",
        where=str(mask),
        cure="another -o" + (", or --restart to replace it" if mode == "new" else ""),
    )


def _whose(mask: Path, output: Path) -> Path | None:
    """Find another output that has this mask: `a_prob.tif` and `a.tif` would share one."""
    stem = stem_of(mask)
    names = (f"{stem.removesuffix('_mask')}{end}{mask.name[len(stem) :]}" for end in ("_prob", ""))
    others = [mask.with_name(name) for name in names if name != output.name]
    return next((o for o in others if o.exists() and _threshold(o) is not None), None)


def _threshold(output: Path) -> float | None:
    """Return the threshold of the mask that a prediction wrote."""
    given = ((read_record(output) or {}).get("settings") or {}).get("threshold")
    return None if given is None else float(given)


def write_mask(output: Path, threshold: float) -> Path:
    """Write the mask of a finished probability (uint8 0..255, or real 0..1), block by block.

    Raises ReadError, WriteError.
    """
    source, mask = open_volume(output), mask_path(output)
    spec = VolumeSpec(
        shape=source.shape,
        dtype=np.dtype(np.uint8),
        voxel_size_um=source.voxel_size_um,
        block_shape=(BLOCK,) * 3,
        chunk_shape=(CHUNK,) * 3,
        origin_vox=getattr(source, "origin_vox", (0, 0, 0)),
        attributes={"neuroglow": {"legend": MASK_LEGEND, "threshold": threshold}},
        coarser="nearest",
    )
    whole = np.float32(255 if source.dtype == np.uint8 else 1)
    unfinished = Unfinished(mask)
    with unfinished.claimed():
        unfinished.empty()
        volume = unfinished.volume(spec)
        for block in tile(Box.of(source.shape), spec.block_shape):
            reached = source.read(block.write).astype(np.float32) / whole >= threshold
            if reached.any():
                volume.write(block.write, reached.astype(np.uint8))
        unfinished.publish(volume, complete=True)
    return mask
