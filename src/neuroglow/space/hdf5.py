"""HDF5 and Imaris .ims, read by box (extra `neuroglow[hdf5]`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, ReadError
from neuroglow.space.axes import Axes, choose_axes
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Choice, VoxelSize, check_dtype, check_inside
from neuroglow.space.writing import hash_of

__all__ = ["Hdf5Volume", "open_hdf5"]

GUESSED_AXES = {2: "YX", 3: "ZYX", 4: "CZYX", 5: "TCZYX"}


@dataclass(frozen=True)
class Hdf5Volume:
    """One dataset of an HDF5 file; the file is open only while it is read."""

    path: Path
    dataset: str
    axes: Axes
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str

    @property
    def name(self) -> str:
        """The file and its dataset."""
        return f"{self.path}::{self.dataset}"

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.axes.shape

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError where the file is damaged."""
        check_inside(box, self.shape)
        spatial = iter(box.slices)
        index = tuple(next(spatial) if i is None else i for i in self.axes.index)
        with _opened(self.path) as file:
            return np.ascontiguousarray(file[self.dataset][index], self.dtype)


def open_hdf5(source: str, choice: Choice) -> Hdf5Volume:
    """Open `file.h5`, `file.h5::/dataset` or `file.ims`."""
    name, _, dataset = source.partition("::")
    path = Path(name)
    with _opened(path) as file:
        if path.suffix.lower() == ".ims":
            return _open_imaris(path, file, choice)
        chosen = dataset or _only_dataset(file, path)
        if chosen not in file:
            raise InputError(
                "the dataset must be in the file",
                found=f"no {chosen!r}; there are {', '.join(_datasets(file))}",
                where=str(path),
            )
        data = file[chosen]
        letters = GUESSED_AXES.get(data.ndim, "?" * data.ndim)
        axes = choose_axes(letters, data.shape, choice, str(path))
        size = data.attrs.get("element_size_um")
        voxel_size = tuple(float(v) for v in size) if size is not None and len(size) == 3 else None
        return _volume(path, chosen, axes, data.dtype, choice.voxel_size_um or voxel_size)


def _open_imaris(path: Path, file: Any, choice: Choice) -> Hdf5Volume:
    try:
        levels = file["DataSet/ResolutionLevel 0"]
        times, channels = len(levels), len(levels["TimePoint 0"])
        info = file["DataSetInfo/Image"].attrs
        shape = tuple(int(_text(info[axis])) for axis in "ZYX")
        low = [float(_text(info[f"ExtMin{i}"])) for i in (2, 1, 0)]
        high = [float(_text(info[f"ExtMax{i}"])) for i in (2, 1, 0)]
    except (KeyError, ValueError) as error:
        raise InputError(
            "an .ims file has Imaris' layout", found=str(error), where=str(path)
        ) from None
    picked = choose_axes("TCZYX", (times, channels, *shape), choice, str(path))
    dataset = "/DataSet/ResolutionLevel 0/TimePoint {}/Channel {}/Data".format(*picked.index[:2])
    size = tuple((b - a) / n for a, b, n in zip(low, high, shape, strict=True))
    axes = Axes((None, None, None), picked.shape)  # Imaris pads the data beyond the image
    return _volume(path, dataset, axes, file[dataset].dtype, choice.voxel_size_um or size)


def _volume(path: Path, dataset: str, axes: Axes, dtype: Any, voxel_size: Any) -> Hdf5Volume:
    stat = path.stat()
    identity = hash_of(path.name, stat.st_size, stat.st_mtime_ns, dataset, axes.index, axes.shape)
    return Hdf5Volume(path, dataset, axes, check_dtype(dtype, str(path)), voxel_size, identity)


def _only_dataset(file: Any, path: Path) -> str:
    names = _datasets(file)
    if len(names) != 1:
        raise InputError(
            "one dataset of several must be chosen" if names else "the file must hold a volume",
            found=", ".join(names) or "no dataset of three axes or more",
            where=str(path),
            cure=f"{path}::{names[0]}, for example" if names else "",
        )
    return names[0]


def _datasets(file: Any) -> list[str]:
    import h5py

    found: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 3:
            found.append(f"/{name}")

    file.visititems(look)
    return found


def _text(value: Any) -> str:
    """Imaris writes texts as arrays of single bytes."""
    return b"".join(np.asarray(value).astype("S1").ravel()).decode()


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
            "the HDF5 file must be whole", found=str(error)[:200], where=str(path)
        ) from error
