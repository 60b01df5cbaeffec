"""Pyramid: a volume without coarser levels -> the same one with them, in place.

find the image -> write each level from the next finer one, in parallel -> describe them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field

from neuroglow.blocks.cluster import work_at
from neuroglow.errors import InputError, OutputError
from neuroglow.face import given, spelled_out
from neuroglow.files.locks import locked
from neuroglow.files.writing import file_stats, hash_of, writing
from neuroglow.formats.levels import write_levels
from neuroglow.formats.ngff import ZarrImage, image_in, transforms_of
from neuroglow.formats.zarr_arrays import stored
from neuroglow.printed import Printed
from neuroglow.progress import Tell
from neuroglow.runs.unfinished import lock_path
from neuroglow.settings import check_settings
from neuroglow.space.geometry import Zyx
from neuroglow.space.pyramid import Level, plan_levels
from neuroglow.space.volume import VolumeSpec, VoxelSize

__all__ = ["PyramidReport", "PyramidSettings", "pyramid"]

CHUNK = 64


class PyramidSettings(BaseModel):
    """All settings of a pyramid, besides its volume.

    coarser: `mean`, or `nearest` for labels, which cannot be averaged. voxel_size: micrometres
    along z, y, x, if the metadata state none: axes with coarser voxels are halved later.
    workers: number of processes. scheduler: a cluster instead, as in predict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    coarser: Literal["mean", "nearest"] = "mean"
    voxel_size: tuple[float, float, float] | None = None
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None


@dataclass(frozen=True, repr=False)
class PyramidReport(Printed):
    """The result: the image, and the shapes (zyx) of its levels, the finest first."""

    output: Path
    levels: Sequence[Zyx]

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        yield str(self.output)
        for number, shape in enumerate(self.levels):
            yield f"level {number}  {' x '.join(map(str, shape))}"


@spelled_out(PyramidSettings)
def pyramid(
    source: str | Path,
    *,
    coarser: Literal["mean", "nearest"] = "mean",
    voxel_size: Sequence[float] | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> PyramidReport:
    """Add coarser levels to an OME-Zarr that has one level, or to the one array of a zarr group.

    source: the folder. Its voxels stay as they are; levels are written next to them, and described
        at the end. A run that was stopped is continued by repeating it.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        PyramidSettings.

    Raises InputError if there is no such image, OutputError if it has levels already,
    BlocksFailedError if voxels could not be read, StoppedError on Ctrl-C.
    """
    chosen = check_settings(PyramidSettings, given())
    image, group = _image_without_levels(Path(source))
    array: Any = zarr.open_array(stored(image.group / image.array), mode="r")
    levels, folder = _plan(image, array, chosen), image.group
    assert isinstance(folder, Path)
    with locked(lock_path(folder), folder), writing(folder), work_at(chosen.scheduler) as place:
        write_levels(
            folder,
            levels,
            _spec(image, array, chosen),
            workers=place.workers(chosen.workers),
            tell=on_progress,
            state=hash_of(chosen.coarser, file_stats(folder / image.array)),
            create=partial(_create, array),
        )
        _describe(group, image, levels, chosen)
        for stray in folder.glob(".level-*.partial"):
            stray.unlink()
    return PyramidReport(folder, [level.shape for level in levels])


def _image_without_levels(path: Path) -> tuple[ZarrImage, zarr.Group]:
    """Find the image of a folder, and the group that will hold its levels."""
    try:
        node = zarr.open(path, mode="r")
    except Exception as error:  # each kind of store fails in its own way
        raise InputError(
            "a pyramid is added to a zarr store on this machine",
            found=str(error)[:200] if path.exists() else "nothing there",
            where=str(path),
            cure="neuroglow convert makes an OME-Zarr with a pyramid of any other volume",
        ) from None
    if isinstance(node, zarr.Array):
        raise _bare(path)
    arrays = [name for name, _ in node.arrays()]
    attributes: Any = node.attrs.asdict()
    if not attributes.get("ome", attributes).get("multiscales") and len(arrays) == 1:
        inner = image_in(path / arrays[0], node[arrays[0]])
        image = ZarrImage(path, arrays[0], inner.letters)
    else:
        image = image_in(path, node)
    group = zarr.open_group(stored(image.group), mode="r+")
    _refuse_levels(group, image)
    return image, group


def _bare(path: Path) -> OutputError:
    return OutputError(
        "levels are written next to an array, into the group that holds it",
        found="an array without a group",
        where=str(path),
        cure=f"neuroglow convert {path} -o {path.with_suffix('')}.ome.zarr",
    )


def _refuse_levels(group: zarr.Group, image: ZarrImage) -> None:
    attributes: Any = group.attrs.asdict()
    scales = attributes.get("ome", attributes).get("multiscales") or [{"datasets": []}]
    count = len(scales[0]["datasets"])
    if count > 1:
        raise OutputError(
            "a pyramid is added to a volume that has none",
            found=f"{count} levels",
            where=str(image.group),
        )
    if image.letters[-3:] != "ZYX" or group.metadata.zarr_format not in (2, 3):
        raise InputError(
            "a pyramid is added to an array whose last axes are z, y and x",
            found=image.letters,
            where=str(image.group),
            cure="neuroglow convert",
        )


def _plan(image: ZarrImage, array: Any, settings: PyramidSettings) -> list[Level]:
    """Plan the levels; their names follow that of the finest: 0, 1, 2 or s0, s1, s2."""
    stem = image.array.rstrip("0123456789") if image.array[-1:].isdigit() else f"{image.array}_"
    planned = plan_levels(_spec(image, array, settings))
    names = [image.array, *(f"{stem}{number}" for number in range(1, len(planned)))]
    return [
        Level(name, level.shape, level.factors) for name, level in zip(names, planned, strict=True)
    ]


def _size(image: ZarrImage, settings: PyramidSettings) -> VoxelSize | None:
    return settings.voxel_size or image.voxel_size_um


def _spec(image: ZarrImage, array: Any, settings: PyramidSettings) -> VolumeSpec:
    z, y, x = array.shape[-3:]
    return VolumeSpec(
        shape=(z, y, x),
        dtype=np.dtype(array.dtype),
        voxel_size_um=_size(image, settings),
        block_shape=(2 * CHUNK,) * 3,
        chunk_shape=(CHUNK,) * 3,
        coarser=settings.coarser,
    )


def _create(array: Any, path: Path, shape: Zyx, shards: Zyx) -> None:
    """Create an empty level of the format and the type of the finest one."""
    lead = (1,) * (array.ndim - 3)
    third = array.metadata.zarr_format == 3
    zarr.create_array(
        store=path,
        shape=(*array.shape[:-3], *shape),
        shards=(*lead, *shards) if third else None,
        chunks=(*lead, *(n // 2 for n in shards)),
        dtype=array.dtype,
        zarr_format=array.metadata.zarr_format,
        chunk_key_encoding=None if third else {"name": "v2", "separator": "/"},
        dimension_names=getattr(array.metadata, "dimension_names", None) if third else None,
        overwrite=True,
    )


def _describe(
    group: zarr.Group, image: ZarrImage, levels: Sequence[Level], settings: PyramidSettings
) -> None:
    """Write the levels into the metadata of the group, in its own version of OME-NGFF."""
    attributes: Any = group.attrs.asdict()
    third = group.metadata.zarr_format == 3
    ome = dict(attributes.get("ome", {"version": "0.5"})) if third else attributes
    known = ome.get("multiscales")
    lead = len(image.letters) - 3
    scales = [dict(known[0])] if known else [_fresh(image, settings, third=third)]
    finest = (scales[0].get("datasets") or [{}])[0].get("coordinateTransformations")
    scales[0]["datasets"] = [
        {
            "path": level.name,
            "coordinateTransformations": _transforms(finest, level, lead, _size(image, settings)),
        }
        for level in levels
    ]
    scales[0].setdefault("type", settings.coarser)
    ome["multiscales"] = [*scales, *(known or [])[1:]]
    group.attrs.update({"ome": ome} if third else ome)


def _fresh(image: ZarrImage, settings: PyramidSettings, *, third: bool) -> dict[str, Any]:
    """Describe an image that had no description: its axes."""
    unit = {"unit": "micrometer"} if settings.voxel_size else {}
    kinds = {"T": "time", "C": "channel"}
    axes = [
        {"name": letter.lower(), "type": kinds.get(letter, "space")}
        | (unit if letter in "ZYX" else {})
        for letter in image.letters
    ]
    version = {} if third else {"version": "0.4"}
    return {**version, "name": image.group.name.split(".")[0], "axes": axes}


def _transforms(
    finest: Sequence[Any] | None, level: Level, lead: int, size: VoxelSize | None
) -> list[dict[str, Any]]:
    """Scale and position of a level: those of the finest, times its factors along z, y and x."""
    scale, origin = [1.0] * lead + [*(size or (1.0,) * 3)], [0.0] * (lead + 3)
    for transform in finest or ():
        scale = transform.get("scale", scale)
        origin = transform.get("translation", origin)
    factors: Any = (1,) * lead + level.factors
    return transforms_of(factors, scale, origin)
