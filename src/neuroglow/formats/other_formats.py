"""Volumes of other fields and of microscopes: NRRD, NIfTI, MRC, Vaa3D, and through BioIO.

Each is opened by its own permissively licensed library (extras `neuroglow[formats]` and
`neuroglow[microscopes]`), as an array that is read by box, with the names of its axes and
its voxel size. An array that cannot be read by box (compressed NRRD and NIfTI, .v3dpbd)
is kept in memory while it is the last one that was read.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, NeuroglowError, ReadError
from neuroglow.files.remarks import listed, remark
from neuroglow.files.writing import file_stats, hash_of
from neuroglow.formats.pbd_runs import check_runs
from neuroglow.space.axes import Axes, InFile, choose_axes
from neuroglow.space.geometry import Box
from neuroglow.space.units import read_voxel_size
from neuroglow.space.volume import Array, Choice, VoxelSize, check_dtype, check_inside

__all__ = ["OtherVolume", "open_other"]


IMOD = 1146047817
"""The stamp of IMOD in an MRC header."""

HEADER = 1 << 16
"""Bytes of a header that are searched for the names of other files."""


@dataclass(frozen=True)
class Opened:
    """An open file: an array, the names of its axes, and sizes with their units by axis."""

    array: Any
    names: Sequence[str]
    sizes: Mapping[str, object]
    units: Mapping[str, object] | object


@dataclass(frozen=True)
class OtherVolume(InFile):
    """A volume in a format with its own library."""

    path: Path
    scene: str
    axes: Axes
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if the file is damaged."""
        check_inside(box, self.shape)
        with _reading(self.path):
            voxels = np.asarray(_kept.get(self.path, self.scene).array[self.axes.window(box)])
        if voxels.ndim != 3:
            raise ReadError("a volume has three axes", found=str(voxels.shape), where=self.name)
        return self.axes.arranged(voxels, self.dtype)


def open_other(path: Path, choice: Choice, scene: str = "") -> OtherVolume:
    """Open a file by its ending.

    scene: the number of one, where a file of a microscope has several.
    Raises InputError where its library is not installed, with the way there, or where no volume
    is in it; ReadError where it is damaged.
    """
    with _reading(path):
        opened = _kept.get(path, scene)
        dtype = check_dtype(np.dtype(opened.array.dtype), str(path))
    axes = choose_axes(list(opened.names), opened.array.shape, choice, str(path))
    size = choice.voxel_size_um or read_voxel_size(opened.sizes, opened.units, str(path))
    identity = hash_of(
        [file_stats(f) for f in _files(path)], scene, axes.index, axes.order, axes.shape
    )
    return OtherVolume(path, scene, axes, dtype, size, identity)


class _Kept:
    """The file read last in this process; replaced by another file, and when it has changed."""

    def __init__(self) -> None:
        self._key: object = None
        self._opened: Opened | None = None
        self._lock = threading.Lock()

    def get(self, path: Path, scene: str) -> Opened:
        """Return an open file."""
        stat = path.stat()
        key = (path, scene, stat.st_ctime_ns, stat.st_ino, *map(file_stats, _files(path)))
        with self._lock:
            if self._opened is None or self._key != key:
                self._opened = None  # before reading the next: both may not fit into memory
                self._opened = _open(path, scene)
                self._key = key
            return self._opened


_kept = _Kept()


def _files(path: Path) -> list[Path]:
    """List the files of a volume: a detached header of NRRD names others, which lie next to it."""
    if _kind_of(path) != "nhdr":
        return [path]
    text = path.read_bytes()[:HEADER].decode("ascii", "replace")
    words = {word for line in text.splitlines() for word in line.replace(":", " ").split()}
    return [path, *sorted(f for f in path.parent.iterdir() if f.name in words and f != path)]


def _kind_of(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _open(path: Path, scene: str) -> Opened:
    kind = _kind_of(path)
    if kind in _OPENERS:
        return _OPENERS[kind](path)
    return _open_bioio(path, scene, kind)


def _library(name: str, package: str, extra: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(
            f"reading {path.suffix} needs {package}",
            found="it is not installed",
            where=str(path),
            cure=f'pip install "neuroglow[{extra}]", or save it as OME-TIFF or OME-Zarr',
        ) from None


def _open_nrrd(path: Path) -> Opened:
    nrrd = _library("nrrd", "pynrrd", "formats", path)
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        start = file.tell()
    array = _raw_nrrd(path, header, start)
    if array is None:
        array = nrrd.read(str(path), index_order="C")[0]
    count = array.ndim
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    spatial = [k for k in range(count) if _is_spatial(kinds, k)]
    names = ["c"] * count
    labels = [str(v).strip().lower() for v in header.get("labels", [])]
    for letter, k in zip("xyz", spatial, strict=False):
        names[k] = letter
    if len(labels) == count and {"x", "y", "z"} <= set(labels):
        names = labels
    sides, units = _nrrd_sizes(header, names)
    return Opened(array, names[::-1], sides, units)


def _is_spatial(kinds: Sequence[str], axis: int) -> bool:
    return len(kinds) <= axis or kinds[axis] in ("domain", "space", "none", "???")


def _raw_nrrd(path: Path, header: Mapping[str, Any], start: int) -> Any:
    """Map an uncompressed NRRD into memory, so that only boxes are read; None if compressed."""
    names = {"float": "f4", "double": "f8", "uint8": "u1", "int8": "i1", "uint16": "u2"}
    names |= {"int16": "i2", "uint32": "u4", "int32": "i4", "short": "i2", "ushort": "u2"}
    names |= {"unsigned short": "u2", "unsigned char": "u1", "uchar": "u1", "uint16_t": "u2"}
    kind = names.get(str(header.get("type")))
    skips = {"byte skip", "line skip", "byteskip", "lineskip", "data file", "datafile"}
    if header.get("encoding") != "raw" or kind is None or skips & set(header):
        return None
    order = ">" if header.get("endian") == "big" else "<"
    shape = tuple(int(n) for n in header["sizes"])[::-1]
    return np.memmap(path, np.dtype(order + kind), "r", start, shape)


def _nrrd_sizes(
    header: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, object], dict[str, object]]:
    """Read spacings or the lengths of space directions, and their units."""
    steps = header.get("spacings")
    if steps is None and header.get("space directions") is not None:
        rows = np.asarray(header["space directions"], float).reshape(-1, 3)
        steps = np.sqrt((rows**2).sum(1))
    units = list(header.get("space units", header.get("units", [])))
    spatial = [name for name in names if name in ("x", "y", "z")]
    if len(units) == len(names) != len(spatial):
        units = [unit for unit, name in zip(units, names, strict=True) if name in spatial]
    sizes: dict[str, object] = {}
    for name, step in zip(names, np.ravel(steps) if steps is not None else (), strict=False):
        if name in spatial and np.isfinite(step):
            sizes[name] = float(step)
    return sizes, dict(zip(spatial, units, strict=False))


def _open_nifti(path: Path) -> Opened:
    nibabel = _library("nibabel", "nibabel", "formats", path)
    image = nibabel.load(path)
    header = image.header
    names = ["x", "y", "z", "t", "c", "?", "?"][: len(image.shape)]
    unit = header.get_xyzt_units()[0]
    sizes = dict(zip("xyz", map(float, header.get_zooms()[:3]), strict=False))
    plain = (image.dataobj.slope, image.dataobj.inter) == (1, 0)  # a read header has lost them
    array = image.dataobj.get_unscaled() if plain and path.suffix == ".gz" else None
    if array is None:
        array = _Unscaled(image.dataobj) if plain else np.asanyarray(image.dataobj)
    return Opened(array, names, sizes, unit)


class _Unscaled:
    """NIfTI's array proxy, without its scaling by one, which would convert integers to floats."""

    def __init__(self, proxy: Any) -> None:
        self._proxy, self.dtype, self.shape = proxy, proxy.dtype, proxy.shape

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self._proxy[index]).astype(self.dtype, copy=False)


def _open_mrc(path: Path) -> Opened:
    mrcfile = _library("mrcfile", "mrcfile", "formats", path)
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        file = mrcfile.mmap(path, mode="r", permissive=True)
    with file:
        said = "; ".join(str(doubt.message) for doubt in doubts)
        if file.data is None:
            raise ReadError(
                "an MRC file must be complete and undamaged", found=said[:300], where=str(path)
            )
        array, header = file.data, file.header
        sides = {a: float(file.voxel_size[a]) for a in "xyz"}
        letters = {1: "x", 2: "y", 3: "z"}
        order = [letters.get(int(header[f"map{a}"])) for a in "src"]
    if said:
        remark(f"{path}: {said}")
    if array.dtype == np.int8 and _is_unsigned(header.tobytes()):
        array = array.view(np.uint8)
    names = [a or b for a, b in zip(order, "zyx", strict=True)] if array.ndim == 3 else list("tzyx")
    if len(set(names)) < len(names):
        names = list("zyx")
    sizes = _stated({a: v for a, v in sides.items() if v > 0}, "1 angstrom", path)
    return Opened(array, names[-array.ndim :], sizes, "angstrom")


def _stated(sizes: dict[str, Any], one: str, path: Path) -> dict[str, Any]:
    """Leave out sizes that are all 1, which programs write where they know none."""
    if set(sizes.values()) != {1.0}:
        return sizes
    remark(f"{path}: its voxel size of {one} stands where none is known, and is not used")
    return {}


def _is_unsigned(header: bytes) -> bool:
    """Tell whether bytes are unsigned, as IMOD's flags in a header (its stamp, then bits) say."""
    stamps = (np.frombuffer(header, order + "i4", 2, 152) for order in "<>")
    return any(stamp == IMOD and not flags & 1 for stamp, flags in stamps)


V3D = b"raw_image_stack_by_hpeng"


def _open_v3draw(path: Path) -> Opened:
    """Map Vaa3D's raw format: magic text, byte order, bytes per voxel, x y z c, and the voxels."""
    with path.open("rb") as file:
        head = file.read(len(V3D) + 3 + 16)
    order = {b"L": "<", b"B": ">"}.get(head[len(V3D) : len(V3D) + 1])
    if not head.startswith(V3D) or order is None:
        raise ReadError("a .v3draw file must be Vaa3D's", found=repr(head[:24]), where=str(path))
    size = int(np.frombuffer(head, order + "i2", 1, len(V3D) + 1)[0])
    kind = {1: "u1", 2: "u2", 4: "f4"}.get(size)
    for start, number in ((len(V3D) + 3, "i4"), (len(V3D) + 3, "i2")):  # older files: 16 bits
        x, y, z, c = (int(n) for n in np.frombuffer(head, order + number, 4, start))
        at = start + 4 * np.dtype(number).itemsize
        if kind and min(x, y, z, c) > 0 and at + x * y * z * c * size == path.stat().st_size:
            array = np.memmap(path, np.dtype(order + kind), "r", at, (c, z, y, x))
            return Opened(array, "czyx", {}, None)
    raise ReadError(
        "a .v3draw file must be complete", found=f"{path.stat().st_size} bytes", where=str(path)
    )


def _open_v3dpbd(path: Path) -> Opened:
    loaders = _library("v3dpy.loaders", "v3d-py-helper (Python 3.11 and 3.12)", "formats", path)
    check_runs(path)  # the library does not check what it reads
    array = np.asarray(loaders.PBD().load(str(path)))
    return Opened(array.view(array.dtype.newbyteorder("=")), "czyx", {}, None)


_OPENERS: dict[str, Callable[[Path], Opened]] = {
    "nrrd": _open_nrrd,
    "nhdr": _open_nrrd,
    "nii": _open_nifti,
    "mrc": _open_mrc,
    "v3draw": _open_v3draw,
    "v3dpbd": _open_v3dpbd,
}

_CURES = {
    "nd2": 'pip install "neuroglow[microscopes]"',
    "lif": 'pip install "neuroglow[microscopes]"',
    "czi": "pip install bioio bioio-czi (GPL-3, so neuroglow does not install it)",
}


def _open_bioio(path: Path, scene: str, kind: str) -> Opened:
    """Open a microscope's file through BioIO and the installed plugin for it."""
    try:
        logging.getLogger("bioio").setLevel(logging.CRITICAL)  # it logs what it raises, too
        bioio = importlib.import_module("bioio")
        image = bioio.BioImage(path)
    except Exception as error:
        if (
            not isinstance(error, ImportError)
            and "UnsupportedFileFormat" not in type(error).__name__
        ):
            raise
        if importlib.util.find_spec(f"bioio_{kind}"):
            raise ReadError(
                "the file must be complete and undamaged",
                found=f"bioio-{kind} does not know it as .{kind}",
                where=str(path),
            ) from None
        raise InputError(
            f"reading .{kind} needs BioIO and its plugin for it",
            found=f"bioio-{kind} is not installed",
            where=str(path),
            cure=f"{_CURES[kind]}, or export it as OME-TIFF (Fiji's Bio-Formats does)",
        ) from None
    scenes = list(image.scenes)
    if scene or len(scenes) > 1:
        if not scene.isdecimal() or int(scene) >= len(scenes):
            raise InputError(
                "one scene of several must be chosen",
                found=f"{len(scenes)}: {listed([f'{i} {s}' for i, s in enumerate(scenes)])}",
                where=str(path),
                cure=f"{path}::0 to {path}::{len(scenes) - 1}",
            )
        image.set_scene(int(scene))
    steps = image.physical_pixel_sizes
    sizes = {a: getattr(steps, a.upper()) for a in "zyx"}
    if kind == "nd2":
        sizes = _stated(sizes, "1 um", path)
    return Opened(_Lazy(image.dask_data), list(image.dims.order), sizes, "um")


class _Lazy:
    """A dask array of which windows are computed on request, in this thread."""

    def __init__(self, array: Any) -> None:
        self._array, self.dtype, self.shape = array, array.dtype, array.shape

    def __getitem__(self, index: Any) -> Any:
        return self._array[index].compute(scheduler="synchronous")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any exception of a library into ReadError with the file."""
    try:
        yield
    except NeuroglowError:
        raise
    except Exception as error:
        raise ReadError(
            "the file must be complete and undamaged",
            found=f"{type(error).__name__}: {error}"[:300],
            where=str(path),
        ) from error
