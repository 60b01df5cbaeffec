"""An OME-Zarr that is written to a store elsewhere; ledger and record stay in the current folder.

It has no group metadata, and is no image, before all of it is written and read back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from neuroglow.blocks.executors import Workers
from neuroglow.errors import OutputError
from neuroglow.files.remote import RemotePath
from neuroglow.files.writing import hash_of
from neuroglow.formats.levels import create_array, write_levels_elsewhere
from neuroglow.formats.ome_zarr import metadata_of
from neuroglow.formats.remote_zarr import RemoteStore
from neuroglow.progress import Tell, say_nothing
from neuroglow.runs.unfinished import Mode, Unfinished
from neuroglow.space.geometry import Box
from neuroglow.space.pyramid import plan_levels
from neuroglow.space.volume import Array, Specified, VolumeSpec, check_inside

__all__ = ["RemoteUnfinished"]


@dataclass(frozen=True)
class RemoteOmeZarr(Specified):
    """An OME-Zarr 0.5 that is being written at an address; picklable."""

    place: RemotePath

    @property
    def name(self) -> str:
        """The address, without secrets."""
        return str(self.place)

    @property
    def identity(self) -> str:
        """The address: the unfinished volume has no other hash."""
        return hash_of(str(self.place))

    def read(self, box: Box) -> Array:
        """Read back a box."""
        check_inside(box, self.shape)
        array: Any = zarr.open_array(RemoteStore(self.place / "0"), mode="r")
        return np.ascontiguousarray(array[box.slices], self.dtype)

    def write(self, box: Box, voxels: Array) -> None:
        """Write whole shards."""
        check_inside(box, self.shape)
        array: Any = zarr.open_array(RemoteStore(self.place / "0"), mode="r+")
        array[box.slices] = voxels

    def files(self, box: Box) -> Sequence[Path]:
        """Name no files on this machine."""
        return ()

    def finish(self, workers: Workers | None, tell: Tell | None) -> None:
        """Build the coarser levels; then write the metadata that make it an image."""
        levels = plan_levels(self.spec)
        for finer, level in itertools.pairwise(levels):
            write_levels_elsewhere(
                self.place, finer, level, self.spec, workers=workers, tell=tell or say_nothing
            )
        ome = metadata_of(levels, self.spec, Path(self.place.name))
        zarr.create_group(
            RemoteStore(self.place),
            zarr_format=3,
            attributes={"ome": ome, **self.spec.attributes},
        )


@dataclass(frozen=True)
class RemoteUnfinished(Unfinished):
    """An unfinished output elsewhere; `output` is its name, here, where its record will lie."""

    elsewhere: RemotePath

    def refuse_existing(self, mode: Mode, beside: Sequence[Path] = ()) -> None:
        """Refuse to write into an image that is there."""
        if (self.elsewhere / "zarr.json").exists() or (self.elsewhere / ".zattrs").exists():
            raise OutputError(
                "an existing output is not overwritten",
                found="an image at this address",
                where=str(self.elsewhere),
                cure="another -o, or remove it by the store's own tool",
            )
        super().refuse_existing(mode, beside)

    def volume(self, spec: VolumeSpec, *, anew: bool = False) -> Any:
        """Open the voxels so far, or create their description."""
        if not (self.elsewhere / "0/zarr.json").exists():
            create_array(RemoteStore(self.elsewhere / "0"), spec.shape, spec.block_shape, spec)
        array: Any = zarr.open_array(RemoteStore(self.elsewhere / "0"), mode="r")
        stored = (array.shape, array.shards, np.dtype(array.dtype))
        if stored != (spec.shape, spec.block_shape, spec.dtype):
            raise OutputError(
                "the unfinished volume belongs to another run",
                found=f"shape, shards and type {stored}",
                where=str(self.elsewhere),
                cure="another -o, or remove it by the store's own tool",
            )
        return RemoteOmeZarr(place=self.elsewhere, spec=spec)

    def publish(
        self,
        volume: Any,
        *,
        complete: bool,
        workers: Workers | None = None,
        tell: Tell | None = None,
        state: str = "",
    ) -> None:
        """Complete the image; `state` is of local files only."""
        volume.finish(workers, tell)
        if complete:
            self.discard()
