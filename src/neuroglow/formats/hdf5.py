"""HDF5, including BigDataViewer's, and Imaris .ims, read by box (extra `neuroglow[hdf5]`)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, ReadError
from neuroglow.files.remarks import listed
from neuroglow.files.writing import file_stats, hash_of
from neuroglow.formats.bigdataviewer import bdv_voxel_size
from neuroglow.space.axes import Axes, InFile, choose_axes, letters_of, unnamed_axes
from neuroglow.space.geometry import Box
from neuroglow.space.units import read_voxel_size
from neuroglow.space.volume import Array, Choice, VoxelSize, check_dtype, check_inside

__all__ = ["Hdf5Volume", "open_hdf5"]

CELLS = re.compile(r"/?t(\d{5,})/s(\d{2,})/(\d+)/cells")
"""BigDataViewer's path of one time point, one setup and one level."""

_UNSIGNED = np.dtype(np.uint16)


@dataclass(frozen=True)
class Hdf5Volume(InFile):
    """One dataset of an HDF5 file; the file is open only while it is read.

    stored: shape of the whole dataset when it was opened. piece_bytes: of a chunk, decoded whole.
    """

    path: Path
    dataset: str
    axes: Axes
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str
    stored: tuple[int, ...]
    piece_bytes: int = 0

    @property
    def name(self) -> str:
        """The file and its dataset."""
        return f"{self.path}::{self.dataset}"

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if the file is damaged, or has been replaced."""
        check_inside(box, self.shape)
        with _opened(self.path) as file:
            data = file.get(self.dataset)
            if data is None or data.shape != self.stored:
                raise ReadError(
                    "a file must not change while it is read",
                    found="a different dataset than when it was opened",
                    where=f"{self.name} [{box}]",
                )
            voxels = data[self.axes.window(box)]
        if voxels.dtype.kind == "i" and self.dtype.kind == "u":
            voxels = voxels.view(self.dtype)  # BigDataViewer: the same bits
        return self.axes.arranged(voxels, self.dtype)


def open_hdf5(source: str, choice: Choice) -> Hdf5Volume:
    """Open `file.h5`, `file.h5::/dataset` or `file.ims`."""
    name, _, dataset = source.partition("::")
    path = Path(name)
    with _opened(path) as file:
        if path.suffix.lower() == ".ims" and not dataset:
            return _open_imaris(path, file, choice)
        chosen = dataset or _only_dataset(file, path, choice)
        if chosen not in file or not hasattr(file[chosen], "shape"):
            raise InputError(
                "the dataset must be in the file",
                found=f"no {chosen!r}; there are {listed(_datasets(file))}",
                where=str(path),
            )
        cells = CELLS.fullmatch(chosen)
        if cells:
            return _open_cells(path, file[chosen], chosen, choice)
        data = file[chosen]
        where = f"{path}::{chosen}"
        axes = choose_axes(_names(data, where), data.shape, choice, where)
        size = choice.voxel_size_um or _element_size(data, where)
        return _volume(path, chosen, axes, data, size)


def _names(data: Any, where: str) -> str:
    """Find the names of the axes: ilastik's axistags, HDF5's own labels, or a guess."""
    tags = data.attrs.get("axistags")
    if tags is not None:
        try:
            names = [axis["key"] for axis in json.loads(tags)["axes"]]
        except (ValueError, KeyError, TypeError):
            names = []
        if len(names) == data.ndim:
            return letters_of(names, where)
    labels = [dimension.label for dimension in data.dims]
    letters = letters_of(labels, where) if all(labels) else "?"
    return unnamed_axes(data.shape, where) if set(letters) == {"?"} else letters


def _element_size(data: Any, where: str) -> VoxelSize | None:
    """Read Fiji's attribute `element_size_um`, zyx."""
    size = data.attrs.get("element_size_um")
    if size is None or np.size(size) != 3:
        return None
    return read_voxel_size(dict(zip("zyx", np.ravel(size).tolist(), strict=True)), "um", where)


def _open_cells(path: Path, data: Any, dataset: str, choice: Choice) -> Hdf5Volume:
    """Open one array of BigDataViewer: int16 stands for uint16 there, unless stated otherwise."""
    found = CELLS.fullmatch(dataset)
    assert found is not None
    where = f"{path}::{dataset}"
    axes = choose_axes("ZYX" if data.ndim == 3 else "?" * data.ndim, data.shape, choice, where)
    size = choice.voxel_size_um or bdv_voxel_size(path, int(found[2]), _factors(data, found))
    signed = _text(data.attrs.get("dataType", b"")).lower() == "int16"
    volume = _volume(path, dataset, axes, data, size)
    return volume if signed or volume.dtype != np.int16 else replace(volume, dtype=_UNSIGNED)


def _factors(data: Any, place: re.Match[str]) -> tuple[float, ...]:
    """Return how many of the finest voxels one of this level has, zyx."""
    table = data.file.get(f"s{place[2]}/resolutions")
    level = int(place[3])
    if table is None or level >= len(table):
        return (1.0, 1.0, 1.0) if level == 0 else (np.nan,) * 3
    return tuple(float(v) for v in np.asarray(table)[level][::-1])


def _open_imaris(path: Path, file: Any, choice: Choice) -> Hdf5Volume:
    try:
        levels = file["DataSet/ResolutionLevel 0"]
        times, channels = len(levels), len(levels["TimePoint 0"])
        info = file["DataSetInfo/Image"].attrs
        shape = tuple(int(_text(info[axis])) for axis in "ZYX")
        low = [float(_text(info[f"ExtMin{i}"])) for i in (2, 1, 0)]
        high = [float(_text(info[f"ExtMax{i}"])) for i in (2, 1, 0)]
        unit = _text(info["Unit"]) if "Unit" in info else "um"
        picked = choose_axes("TCZYX", (times, channels, *shape), choice, str(path))
        dataset = "/DataSet/ResolutionLevel 0/TimePoint {}/Channel {}/Data".format(
            *picked.index[:2]
        )
        data = file[dataset]
    except (KeyError, ValueError) as error:
        raise InputError(
            "an .ims file must have Imaris' layout", found=str(error), where=str(path)
        ) from None
    if any(a < n for a, n in zip(data.shape, shape, strict=True)):
        raise ReadError(
            "an .ims file must be complete",
            found=f"data of {data.shape} for an image of {shape}",
            where=str(path),
        )
    sizes = {a: (b - c) / n for a, b, c, n in zip("zyx", high, low, shape, strict=True)}
    size = choice.voxel_size_um or read_voxel_size(sizes, unit, str(path))
    axes = Axes((None, None, None), picked.shape)  # Imaris pads the data beyond the image
    return _volume(path, dataset, axes, data, size)


def _volume(
    path: Path, dataset: str, axes: Axes, data: Any, voxel_size: VoxelSize | None
) -> Hdf5Volume:
    places = (dataset, axes.index, axes.shape, axes.order)
    return Hdf5Volume(
        path,
        dataset,
        axes,
        check_dtype(data.dtype, str(path)),
        voxel_size,
        hash_of([file_stats(f) for f in (path, *_sources(data, path))], *places),
        tuple(data.shape),
        math.prod(data.chunks or (0,)) * data.dtype.itemsize,
    )


def _only_dataset(file: Any, path: Path, choice: Choice) -> str:
    names = _datasets(file)
    cells = [found for found in map(CELLS.fullmatch, names) if found]
    if cells:
        return _only_cells(cells, path, choice)
    if len(names) != 1:
        raise InputError(
            "one dataset of several must be chosen" if names else "the file must hold a volume",
            found=", ".join(names) or "no dataset of three axes or more",
            where=str(path),
            cure=f"{path}::{names[0]}, for example" if names else "",
        )
    return names[0]


def _only_cells(cells: list[re.Match[str]], path: Path, choice: Choice) -> str:
    """Choose the finest level of the one setup, at the chosen time."""
    finest = [found for found in cells if int(found[3]) == 0]
    times = sorted({found[1] for found in finest})
    setups = sorted({found[2] for found in finest})
    if len(setups) != 1:
        names = [f"::{found[0]}" for found in finest]
        raise InputError(
            "one setup of several (channel, angle or tile) must be chosen"
            if names
            else "the file must hold the finest level",
            found=listed(names) or listed([found[0] for found in cells]),
            where=str(path),
            cure=f"{path}{names[0]}, for example" if names else "",
        )
    at = choose_axes("TZYX", (len(times), 1, 1, 1), Choice(time=choice.time), str(path)).index[0]
    chosen = next(f for f in finest if f[1] == times[at or 0])
    return chosen[0]


def _datasets(file: Any) -> list[str]:
    import h5py

    found: list[str] = []
    seen: set[tuple[str, int]] = set()

    def look(group: Any) -> None:
        for name in group:
            item = group.get(name)  # links are followed, also into other files; None if broken
            if item is None:
                continue
            key = (item.file.filename, h5py.h5o.get_info(item.id).addr)
            if key in seen:
                continue
            seen.add(key)
            if isinstance(item, h5py.Group):
                look(item)
            elif isinstance(item, h5py.Dataset) and item.ndim >= 3 and item.dtype.kind in "uifb":
                found.append(f"{group.name.rstrip('/')}/{name}")

    look(file)
    return found


def _sources(data: Any, path: Path) -> list[Path]:
    """List the other files that hold voxels of a dataset.

    Raises InputError if one is missing: HDF5 would read zeros instead.
    """
    named = [(name, "") for name, _, _ in data.external or ()]
    if data.is_virtual:
        named += [(source.file_name, source.dset_name) for source in data.virtual_sources()]
    home = Path(data.file.filename)
    found = {home} if home.resolve() != path.resolve() else set()
    for name, dataset in named:
        if name == "." or "%" in name:
            continue
        file = next((f for f in (home.parent / name, Path(name)) if f.is_file()), None)
        if file is None or (dataset and not _holds(file, dataset)):
            raise InputError(
                "all files that hold the voxels of a dataset must be there",
                found=f"no {name}" + (f" with {dataset}" if file else ""),
                where=f"{path}::{data.name}",
                cure="the file at its place, next to this one",
            )
        found.add(file)
    return sorted(found)


def _holds(path: Path, dataset: str) -> bool:
    with _opened(path) as file:
        return dataset in file


def _text(value: Any) -> str:
    """Imaris stores texts as arrays of single bytes."""
    if isinstance(value, str):
        return value
    return b"".join(np.asarray(value).astype("S").ravel()).decode("utf-8", "replace")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise InputError(
            "reading HDF5 and Imaris needs h5py",
            found="it is not installed",
            where=str(path),
            cure='pip install "neuroglow[hdf5]"',
        ) from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise ReadError(
            "the HDF5 file must be complete", found=str(error)[:200], where=str(path)
        ) from error
