"""OME-Zarr: 0.4 and 0.5 read, 0.5 written (sharded, multiscale); bare zarr arrays read."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.blocks.executors import Workers
from neuroglow.errors import InputError, NeuroglowError, OutputError, ReadError
from neuroglow.files.names import stem_of
from neuroglow.files.remote import Place, RemotePath
from neuroglow.files.writing import file_stats, hash_of, writing
from neuroglow.formats.chunked import Chunked
from neuroglow.formats.levels import create_array, write_levels
from neuroglow.formats.ngff import ZarrImage, image_here, image_in, level_names, transforms_of
from neuroglow.formats.zarr_arrays import open_array, stored, write_shards
from neuroglow.formats.zarr_chunks import LocalArray, attributes_of, open_local, write_group
from neuroglow.progress import Tell
from neuroglow.space.axes import Axes, choose_axes
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.pieces import together
from neuroglow.space.pyramid import Level, plan_levels
from neuroglow.space.volume import (
    Array,
    Choice,
    Specified,
    VolumeSpec,
    VoxelSize,
    check_dtype,
    check_inside,
)

__all__ = [
    "NewOmeZarr",
    "OmeZarrVolume",
    "coarser_levels",
    "create_ome_zarr",
    "metadata_of",
    "open_ome_zarr",
]


TOGETHER = 10
"""Chunks that are decoded at once, if they are small: zarr's own number."""


@dataclass(frozen=True)
class OmeZarrVolume(Chunked):
    """The finest level of an OME-Zarr image, or a bare zarr array. chunks: as stored, all axes."""

    path: Place
    array: str
    axes: Axes
    stored: tuple[tuple[int, ...], np.dtype[Any]]
    voxel_size_um: VoxelSize | None
    origin_vox: Zyx = (0, 0, 0)
    chunks: tuple[int, ...] = ()

    @property
    def kept_dtype(self) -> np.dtype[Any]:
        """Type of the voxels as they are stored."""
        return self.stored[1]

    @property
    def kept_chunk(self) -> tuple[int, ...]:
        """Shape of a chunk as it is stored."""
        return self.chunks

    @cached_property
    def identity(self) -> str:
        """Hash of its path and of each chunk's size and time, computed when first needed."""
        place = self.path / self.array
        stats = file_stats(place) if isinstance(place, Path) else _stats_elsewhere(place)
        return hash_of(self.path.name, self.array, stats, self.axes.index, self.axes.order)

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if a chunk is damaged, or if the array has been replaced."""
        check_inside(box, self.shape)
        try:
            array = open_array(self.path / self.array)  # it can change
            if (array.shape, np.dtype(array.dtype)) != self.stored:
                raise ReadError("changed", found=f"{array.shape} {array.dtype} since it was opened")
            voxels = self._read(array, box)
        except Exception as error:  # each codec fails in its own way
            if isinstance(error, NeuroglowError) and error.where:  # a store elsewhere said why
                raise ReadError(
                    error.rule, found=error.found, where=error.where, cure=error.cure
                ) from error
            found = (
                error.found if isinstance(error, ReadError) else f"{type(error).__name__}: {error}"
            )
            raise ReadError(
                "every chunk must be complete and undamaged",
                found=found[:200],
                where=f"{self.path} [{box}]",
            ) from error
        return np.require(np.transpose(voxels, self.axes.order), self.dtype, ("C", "W"))

    def _read(self, array: Any, box: Box) -> Array:
        """Read a box of the array as it is stored."""
        window = self.axes.window(box)
        if isinstance(array, LocalArray):
            return array[window]
        import zarr

        with zarr.config.set({"async.concurrency": together(self.piece_bytes, TOGETHER)}):
            return np.asarray(array[tuple(window)])


def _stats_elsewhere(place: RemotePath) -> list[Any]:
    """Describe the files of an array in a store that cannot be listed: its metadata, some chunks.

    They are the first, the middle and the last one, which may be missing if they are empty.
    """
    array = open_array(place)
    each = array.shards or array.chunks
    counts = [-(-n // m) for n, m in zip(array.shape, each, strict=True)]
    at = ([0] * len(counts), [n // 2 for n in counts], [n - 1 for n in counts])
    names = [array.metadata.encode_chunk_key(tuple(index)) for index in at]
    found = [(name, (place / name).found()) for name in (*names, "zarr.json", ".zarray")]
    return [str(array.metadata.to_dict()), *found]


def open_ome_zarr(path: Place, choice: Choice) -> OmeZarrVolume:
    """Open a zarr group with an image in it, or a zarr array; see open_volume."""
    image = (image_here(path) if isinstance(path, Path) else None) or _image(path)
    array = open_array(image.group / image.array)
    check_dtype(np.dtype(array.dtype), str(path))
    return OmeZarrVolume(
        path=image.group,
        array=image.array,
        axes=choose_axes(image.letters, array.shape, choice, str(path)),
        stored=(tuple(array.shape), np.dtype(array.dtype)),
        voxel_size_um=choice.voxel_size_um or image.voxel_size_um,
        origin_vox=image.origin_vox,
        chunks=tuple(array.chunks),
    )


def _image(path: Place) -> ZarrImage:
    """Find the image of a place by zarr."""
    import zarr  # takes long

    try:
        node = zarr.open(stored(path), mode="r")
    except NeuroglowError:
        raise
    except Exception as error:
        raise InputError(
            "the zarr store must be readable", found=str(error)[:200], where=str(path)
        ) from None
    return image_in(path, node)


def coarser_levels(volume: OmeZarrVolume) -> list[OmeZarrVolume]:
    """Return the coarser levels of an image, of the same channel and time, finest first.

    They end before the first that is damaged. A level that was opened itself has none.
    """
    names = level_names(volume.path) if volume.array else []
    found: list[OmeZarrVolume] = []
    for name in names[1:] if volume.array in names[:1] else []:
        try:
            array = open_array(volume.path / name)
            found.append(_level(volume, name, array))
        except Exception:  # each codec fails in its own way, and the finer levels suffice
            break
    return found


def _level(volume: OmeZarrVolume, name: str, array: Any) -> OmeZarrVolume:
    spatial = [n for n, i in zip(array.shape, volume.axes.index, strict=True) if i is None]
    z, y, x = (spatial[place] for place in volume.axes.order)
    return replace(
        volume,
        array=name,
        axes=replace(volume.axes, shape=(z, y, x)),
        stored=(tuple(array.shape), np.dtype(array.dtype)),
        voxel_size_um=None,
        chunks=tuple(array.chunks),
    )


@dataclass(frozen=True)
class NewOmeZarr(Specified):
    """An OME-Zarr 0.5 that is being written at `path.partial`; finish() lets it appear."""

    path: Path

    @property
    def partial(self) -> Path:
        """The path of the voxels until finish()."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The path: the unfinished volume has no other hash."""
        return hash_of(str(self.path))

    def read(self, box: Box) -> Array:
        """Read back a box; voxels that were never written are zero."""
        check_inside(box, self.shape)
        here = self.partial if self.partial.exists() else self.path
        return np.ascontiguousarray(open_array(here / "0")[box.slices], self.dtype)

    def write(self, box: Box, voxels: Array) -> None:
        """Write whole shards; raises ValueError for a box that cuts one."""
        check_inside(box, self.shape)
        near = [round(a / b) * b for a, b in zip(box.start, self.block_shape, strict=True)]
        cut = any(
            a % b or (stop % b and stop != n)
            for a, stop, b, n in zip(box.start, box.stop, self.block_shape, self.shape, strict=True)
        )
        if cut:
            raise ValueError(
                f"box {box} cuts a shard of {self.block_shape}; the nearest starts at {near}"
            )
        with writing(self.path):
            write_shards(self.partial / "0", box, np.asarray(voxels))

    def files(self, box: Box) -> list[Path]:
        """Name the shards of a box; a shard of zeros is not there."""
        spans = zip(box.start, box.stop, self.block_shape, strict=True)
        numbers = itertools.product(*(range(a // n, -(-b // n)) for a, b, n in spans))
        return [Path(f"{self.partial}/0/c/{z}/{y}/{x}") for z, y, x in numbers]

    def finish(
        self,
        output: Path | None = None,
        *,
        workers: Workers | None = None,
        tell: Tell | None = None,
        state: str = "",
    ) -> Path:
        """Build the coarser levels, write the metadata, and let the volume appear at `path`.

        output: where it will lie in the end, which names it; by default at `path`.
        workers: where the levels are built; by default in this thread. state: a hash of what was
        written, with which levels that were begun by an earlier start are continued.
        """
        with writing(self.path):
            levels = plan_levels(self.spec)
            write_levels(self.partial, levels, self.spec, workers=workers, tell=tell, state=state)
            ome = metadata_of(levels, self.spec, output or self.path)
            write_group(self.partial, {"ome": ome, **self.spec.attributes})
            for stray in self.partial.rglob("*.partial"):
                stray.unlink()
            self.partial.rename(self.path)
        return self.path


def create_ome_zarr(path: Path, spec: VolumeSpec, *, resume: bool = False) -> NewOmeZarr:
    """Create an OME-Zarr 0.5; see create_volume."""
    new = NewOmeZarr(path=path, spec=spec)
    if path.exists():
        raise OutputError("an existing volume is not overwritten", where=str(path))
    stored = _unfinished(new) if resume else None
    if stored not in (None, (spec.shape, spec.dtype, spec.block_shape)):
        raise OutputError("the unfinished volume belongs to another run", where=str(new.partial))
    if stored is None:
        with writing(path):
            if not resume:
                shutil.rmtree(new.partial, ignore_errors=True)
            _begin(new)
    return new


def _unfinished(new: NewOmeZarr) -> tuple[Any, ...] | None:
    """Return shape, type and shard of the voxels so far; None if their description is lost."""
    stored = open_local(new.partial / "0")
    if stored is None or attributes_of(new.partial) is None:
        return None
    return stored.shape, stored.dtype, stored.shards


def _begin(new: NewOmeZarr) -> None:
    """Write the descriptions of an empty volume, each at once; shards that are there are kept."""
    create_array(new.partial / "0", new.shape, new.block_shape, new.spec)
    write_group(new.partial, {})


def metadata_of(levels: list[Level], spec: VolumeSpec, path: Path) -> dict[str, Any]:
    """Return the `ome` attributes of OME-NGFF 0.5."""
    size = spec.voxel_size_um
    unit = {"unit": "micrometer"} if size else {}
    base = np.array(size or (1.0, 1.0, 1.0))
    origin = np.array(spec.origin_vox) * base
    datasets = []
    for level in levels:
        transforms = transforms_of(level.factors, base, origin)
        datasets.append({"path": level.name, "coordinateTransformations": transforms})
    axes = [{"name": axis, "type": "space", **unit} for axis in "zyx"]
    image = {"name": stem_of(path), "axes": axes, "datasets": datasets}
    image["type"] = spec.coarser
    label = {"image-label": {"version": "0.5"}} if spec.coarser == "nearest" else {}
    return {"version": "0.5", "multiscales": [image], **label}
