"""A folder of single-plane TIFF files as one volume: in the order of the numbers in their names.

Odd files are left out, with a remark; gaps, or several sets, are refused.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError
from neuroglow.files.names import is_tiff, natural
from neuroglow.files.remarks import listed, remark
from neuroglow.files.writing import file_stats, hash_of
from neuroglow.formats.tiff import TiffVolume, files_of, is_stack, open_tiff
from neuroglow.formats.tiff_planes import decoding, handles, parsed, piece_bytes_of, plane_window
from neuroglow.space.axes import choose_axes
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import KINDS, Array, Choice, VoxelSize, check_dtype, check_inside

__all__ = ["SliceFolder", "open_slices", "tiffs_in"]

NUMBER = re.compile(r"(\d+)")
ODD_SHARE = 0.2
"""Maximum share of files with other names that are left out; more of them are another set."""


@dataclass(frozen=True)
class SliceFolder:
    """A folder of single-plane TIFF files, one per plane."""

    path: Path
    files: tuple[Path, ...]
    shape: Zyx
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str
    piece_bytes: int = 0

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if a slice is damaged."""
        check_inside(box, self.shape)
        out = np.empty(box.shape, self.dtype)
        for k, z in enumerate(range(box.start[0], box.stop[0])):
            with decoding(self.files[z], box):
                out[k] = plane_window(handles.get(self.files[z]).series[0], 0, box)
        return out


def open_slices(path: Path, choice: Choice) -> SliceFolder | TiffVolume:
    """Open a folder of slices; see open_volume."""
    files = tiffs_in(path)
    if not files:
        raise InputError(
            "a folder must hold TIFF slices",
            found=_kinds_in(path),
            where=str(path),
            cure=f"known: {KINDS}; save slices in another format as TIFF first",
        )
    if is_stack(files[0]):
        if set(files) <= set(files_of(files[0])):
            return open_tiff(files[0], choice)
        raise InputError(
            "a folder of slices contains one plane per file",
            found=f"several planes in {files[0].name}: a folder of volumes?",
            where=str(path),
        )
    files = _planes_of(files, choice, path)
    first = _plane_type(files[0])
    for file in files[1:]:
        if _plane_type(file) != first:
            raise InputError(
                "all slices have the same size and type",
                found=f"{_words(file)}, but {_words(files[0])}",
                where=str(path),
                cure="remove or convert the odd one",
            )
    (height, width), dtype = first
    shape = (len(files), height, width)
    identity = hash_of([file_stats(f) for f in files], shape)
    with parsed(files[0]) as opened:
        piece = piece_bytes_of(opened.series[0])
    return SliceFolder(path, tuple(files), shape, dtype, choice.voxel_size_um, identity, piece)


def tiffs_in(folder: Path) -> list[Path]:
    """List the TIFF files of a folder in natural order: 2 before 10."""
    found = [f for f in folder.iterdir() if is_tiff(f) and f.is_file()]
    return sorted((f for f in found if not f.name.startswith(".")), key=natural)


def _kinds_in(folder: Path) -> str:
    """Describe the content of a folder without slices."""
    kinds = Counter(f.suffix.lower() or "no suffix" for f in folder.iterdir() if f.is_file())
    folders = [f.name for f in folder.iterdir() if f.is_dir()]
    words = [f"{n} {kind}" for kind, n in sorted(kinds.items())]
    words += [f"folders {listed(sorted(folders))}"] if folders else []
    return ", ".join(words) or "no file"


def _planes_of(files: Sequence[Path], choice: Choice, folder: Path) -> list[Path]:
    """Find the files that are the planes, in order; see the top of this file."""
    forms: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        forms[NUMBER.sub("#", file.stem.lower())].append(file)
    if all(len(same) == 1 for same in forms.values()) and len(files) > 1:
        remark(f"{folder}: its {len(files)} files have no numbers to order them; sorted by name")
        return list(files)
    main = max(forms.values(), key=len)
    odd = [f for same in forms.values() if same is not main for f in same]
    if len(odd) > max(1, ODD_SHARE * len(files)):
        return _of_sets(forms, choice, folder)
    if odd:
        remark(
            f"{folder}: left out, since {len(main)} others are numbered {_example(main)}: "
            f"odd names {listed([f.name for f in odd])}"
        )
    return _ordered(main, choice, folder)


def _of_sets(sets: Mapping[str, list[Path]], choice: Choice, folder: Path) -> list[Path]:
    """Choose one of several sets of slices, as channels are; refuse if they are not channels."""
    order = sorted(sets)
    if len({len(files) for files in sets.values()}) != 1:
        words = [f"{_example(sets[form])} ({len(sets[form])} files)" for form in order]
        raise InputError(
            "a folder of slices contains one set of numbered names",
            found=f"{len(order)} sets of odd numbers: {listed(words)}",
            where=str(folder),
            cure="a folder for each",
        )
    at = _channel([sets[form] for form in order], choice, folder)
    return _ordered(sets[order[at]], Choice(), folder)


def _channel(sets: Sequence[Sequence[Path]], choice: Choice, folder: Path) -> int:
    count = len(sets)
    if choice.channel is None:
        raise InputError(
            "one channel of several must be chosen",
            found=f"{count} sets of slices: {listed([_example(files) for files in sets])}",
            where=str(folder),
            cure=f"--channel 0 to --channel {count - 1} where this option exists; elsewhere a "
            "folder for each",
        )
    return choose_axes("CZYX", (count, 1, 1, 1), choice, str(folder)).index[0] or 0


def _example(files: Sequence[Path]) -> str:
    return f"{files[0].name} ... {files[-1].name}" if len(files) > 1 else files[0].name


def _ordered(files: Sequence[Path], choice: Choice, folder: Path) -> list[Path]:
    """Order files whose names differ only in their numbers; several numbers are several sets."""
    rows = np.array([[int(n) for n in NUMBER.findall(f.stem)] for f in files], object)
    varying = [k for k in range(rows.shape[1]) if len(set(rows[:, k])) > 1] if rows.size else []
    if not varying:
        return list(files)
    z = _plane_field(rows, varying, files[0].stem)
    if z is None:
        names = _example(files)
        raise InputError(
            "one of the numbers in the names of slices counts the planes",
            found=f"{len(varying)} numbers that differ, but none that does: {names}",
            where=str(folder),
            cure="a folder for each channel, tile or time",
        )
    others = [k for k in varying if k != z]
    sets: dict[tuple[int, ...], list[tuple[int, Path]]] = defaultdict(list)
    unique = len(set(rows[:, z])) == len(rows)
    for row, file in zip(rows, files, strict=True):
        sets[() if unique else tuple(row[others])].append((row[z], file))
    keys = sorted(sets)
    at = 0
    if len(keys) > 1:
        at = _channel([[f for _, f in sets[k]] for k in keys], choice, folder)
    elif choice.channel:
        choose_axes("ZYX", (len(files), 1, 1), choice, str(folder))
    chosen = sorted(sets[keys[at]])
    _refuse_gap([number for number, _ in chosen], folder)
    return [file for _, file in chosen]


def _plane_field(rows: Any, varying: Sequence[int], stem: str) -> int | None:
    """Return which number is the plane's: the only one, one after a `z`, or the one that varies."""
    if len(varying) == 1:
        return varying[0]
    before = NUMBER.split(stem.lower())[0::2]
    for k in varying:
        if re.search(r"(^|[^a-z])(z|zslice|slice|plane|section|img_z)[^a-z]*$", before[k]):
            return k
    channels = [k for k in varying if re.search(r"(^|[^a-z])(c|ch|channel|w)[^a-z]*$", before[k])]
    left = [k for k in varying if k not in channels]
    if channels and len(left) == 1:
        return left[0]
    unique = [k for k in varying if len(set(rows[:, k])) == len(rows)]
    return unique[-1] if unique else None


def _refuse_gap(numbers: Sequence[int], folder: Path) -> None:
    """Refuse a sequence of numbers with gaps or duplicates."""
    steps = np.diff(np.array(numbers, np.float64))
    if not len(steps):
        return
    step = float(np.median(steps))
    if (steps == 0).any():
        twice = numbers[int(np.argmin(steps))]
        found = f"number {twice} twice"
    elif (steps > 1.5 * step).any():
        wide = np.flatnonzero(steps > 1.5 * step).tolist()
        gaps = [f"{numbers[i]} is followed by {numbers[i + 1]}" for i in wide]
        found = f"numbers are missing: {listed(gaps)}"
    else:
        return
    raise InputError(
        "the numbers of slices must count the planes without a gap",
        found=found,
        where=str(folder),
        cure="add the missing planes from their source; if there are none, renumber the files "
        "or add planes of zeros, which count as not imaged",
    )


def _plane_type(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    with parsed(path) as file:
        page = file.pages.first
        if len(page.shape) != 2:
            choose_axes("YXS", page.shape, Choice(), str(path))
        return (page.shape[0], page.shape[1]), check_dtype(np.dtype(page.dtype), str(path))


def _words(path: Path) -> str:
    (height, width), dtype = _plane_type(path)
    return f"{path.name} has {height} x {width} {dtype}"
