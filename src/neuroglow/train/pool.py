"""The pool: each cube's network input and label, made once, then read by box.

CACHE/pool.json          the settings and data it was made from
CACHE/00000-image.npy    float16, noise units (or the fixed input), zyx, memory-mapped
CACHE/00000-label.npy    uint8, BACKGROUND, NEURITE or IGNORE
CACHE/00000-spots.npy    places of neurite voxels (a sample, if there are many)
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import Cube, Split, box_of, open_image, open_labels
from neuroglow.errors import InputError
from neuroglow.files.writing import appearing, file_sha256, hash_of, writing
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits, say_holes
from neuroglow.imaging.polarity import Polarity, say_of
from neuroglow.labels.label_doubts import Doubts
from neuroglow.labels.labels import BACKGROUND, NEURITE, LabelReader
from neuroglow.network.model_settings import FixedInput, NoiseUnitsInput, refuse_inverted
from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.inverted import is_inverted
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.train.settings import TrainSettings

__all__ = ["PooledCube", "build_pool", "hash_cubes"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
TellCubes = Callable[[int, int], object]
"""Called with the number of finished cubes, and their total."""

SLAB = 32
"""Number of planes that are converted at a time."""

SPOTS = 50_000
"""Maximum number of places of neurite voxels that are kept for a cube."""

MAPPING = threading.Lock()
"""Held while the header of a file is parsed, at which threads at once can fail in Python 3.11."""


@dataclass(frozen=True)
class PooledCube:
    """One cube of the pool; files are opened when read, so it can be sent anywhere.

    patches: starts of the patches that a manifest lists, in its column `patches`.
    """

    name: str
    split: Split
    stem: Path
    shape: Zyx
    voxel_size_um: VoxelSize | None
    neurite_voxels: int
    background_voxels: int
    patches: tuple[Zyx, ...] = ()

    def image(self) -> NDArray[np.float16]:
        """Map the input of the network (zyx); nothing is read yet."""
        return _mapped(f"{self.stem}-image.npy")

    def label(self) -> NDArray[np.uint8]:
        """Map the label (zyx); nothing is read yet."""
        return _mapped(f"{self.stem}-label.npy")

    def spots(self) -> NDArray[np.int32]:
        """Map places (n, 3) of neurite voxels."""
        return _mapped(f"{self.stem}-spots.npy")

    def read(self, box: Box) -> tuple[Floats, NDArray[np.uint8]]:
        """Read image and label of a box that starts inside; mirrored where the cube is smaller."""
        inside = box.intersect(Box.of(self.shape))
        pad = [(0, n - m) for n, m in zip(box.shape, inside.shape, strict=True)]
        image, label = self.image()[inside.slices], self.label()[inside.slices]
        if any(after for _, after in pad):
            image, label = np.pad(image, pad, mode="reflect"), np.pad(label, pad, mode="reflect")
        return image.astype(np.float32), np.array(label)


def _mapped(file: str) -> NDArray[Any]:
    """Map an array file; nothing is read yet."""
    with MAPPING:  # "AST constructor recursion depth mismatch"
        return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


def hash_cubes(cubes: Sequence[Cube]) -> str:
    """Hash a training set: names, splits, boxes and the content of all files."""
    return hash_of(
        *(
            (
                c.name,
                c.split,
                c.box,
                c.other.get("label_map", "") + c.other.get("swc_unit", "") + _own(c),
                file_sha256(c.image) or open_image(c).identity,
                _content(c.label),
            )
            for c in cubes
        )
    )


def _own(cube: Cube) -> str:
    """Return a row's own channel, patches and offset, if it has any, and whether it is inverted."""
    names = ("channel", "patches", "offset", "invert")
    known = ((name, cube.other.get(name, "")) for name in names)
    return " ".join(f"{name} {value}" for name, value in known if value)


def _content(path: Path | None) -> str:
    if path is None:
        return ""
    return file_sha256(path) or open_volume(path).identity


def build_pool(
    cubes: Sequence[Cube],
    folder: Path,
    settings: TrainSettings,
    normalisation: NoiseUnitsInput | FixedInput,
    *,
    made_of: str,
    tell: TellCubes,
) -> list[PooledCube]:
    """Make the pool in `folder`, or use the existing one if it was made from the same data.

    made_of: the hash of the training set. tell: called with the number of finished cubes, and all.
    Raises InputError for a label of another shape, ReadError for a damaged file, WriteError.
    """
    record = folder / "pool.json"
    chosen = settings.model_dump(
        include={"label_map", "swc_unit", "swc_radius_um", "swc_margin_vox", "voxel_size"}
    )
    key = hash_of(made_of, chosen, normalisation.model_dump(), "format 3")
    kept = _kept(record, key)
    if kept:
        return kept
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        record.unlink(missing_ok=True)  # from here on it no longer describes the files
    pooled, doubts, looks = [], Doubts(), _Looks()
    for number, cube in enumerate(cubes):
        tell(number, len(cubes))
        image = open_image(cube, voxel_size_um=settings.voxel_size)
        labels = open_labels(cube, image, settings.label_format)
        reader = _reader(image, normalisation)
        made = _add(cube, image, folder / f"{number:05d}", labels, reader)
        looks.take(cube.name, reader)
        pooled.append(made)
        doubts.add(cube.name, labels, made.neurite_voxels, made.background_voxels)
    said = list(doubts.lines())
    _say(said)
    looks.say()
    rows = [asdict(cube) | {"stem": cube.stem.name} for cube in pooled]
    with appearing(record) as partial:
        partial.write_text(json.dumps({"key": key, "cubes": rows, "said": said}), encoding="utf-8")
    return pooled


@dataclass
class _Looks:
    """What was seen of the cubes of a pool: said of all together."""

    holes: list[str] = field(default_factory=list)
    names: dict[bool, list[str]] = field(default_factory=lambda: {False: [], True: []})
    polarity: dict[bool, Polarity] = field(
        default_factory=lambda: {False: Polarity(), True: Polarity()}
    )

    def take(self, name: str, reader: NoiseUnits | _FixedReader) -> None:
        """Take up what was seen of a cube."""
        if not isinstance(reader, NoiseUnits):
            return
        inverted = is_inverted(reader.volume)
        self.polarity[inverted] += reader.polarity
        self.names[inverted].append(name)
        self.holes += [name] if reader.has_holes else []

    def say(self) -> None:
        """Say which have voxels that are no numbers, and whether neurites look dark."""
        say_holes(self.holes)
        for inverted, polarity in self.polarity.items():
            say_of(self.names[inverted], polarity, inverted=inverted)


def _say(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        _log.warning("%s", sentence)


def _kept(record: Path, key: str) -> list[PooledCube]:
    """Return the existing pool, if it is the same and complete."""
    if not record.is_file():
        return []
    before = json.loads(record.read_text(encoding="utf-8"))
    if before["key"] != key:
        return []
    cubes = [_revived(row, record.parent) for row in before["cubes"]]
    files = (Path(f"{c.stem}-{part}.npy") for c in cubes for part in ("image", "label", "spots"))
    if not all(file.is_file() for file in files):
        return []
    _say(before.get("said", ()))
    return cubes


def _revived(row: dict[str, Any], folder: Path) -> PooledCube:
    size = row["voxel_size_um"]
    row |= {"stem": folder / row["stem"], "shape": tuple(row["shape"])}
    row |= {"patches": tuple(tuple(start) for start in row["patches"])}
    return PooledCube(**row | {"voxel_size_um": tuple(size) if size else None})


def _add(
    cube: Cube,
    volume: Volume,
    stem: Path,
    labels: LabelReader,
    reader: NoiseUnits | _FixedReader,
) -> PooledCube:
    """Convert one cube, slab by slab."""
    box = box_of(cube, volume.shape)
    with writing(stem):
        with (
            _growing(f"{stem}-image.npy", np.float16, box.shape) as image_file,
            _growing(f"{stem}-label.npy", np.uint8, box.shape) as label_file,
        ):
            for block in tile(box, (SLAB, *box.shape[1:])):
                image_file.write(reader.read(block.write).astype(np.float16).tobytes())
                label_file.write(labels.read(block.write).tobytes())
        label = np.load(f"{stem}-label.npy", mmap_mode="r")
        spots = _spots(label)
        np.save(f"{stem}-spots.npy", spots)
    neurites, others = (int(np.count_nonzero(label == kind)) for kind in (NEURITE, BACKGROUND))
    size, patches = volume.voxel_size_um, _listed(cube, box.shape)
    return PooledCube(cube.name, cube.split, stem, box.shape, size, neurites, others, patches)


def _listed(cube: Cube, shape: Zyx) -> tuple[Zyx, ...]:
    """Read the column `patches`: starts in the cube, as `0 12 7;30 1 8`."""
    text = cube.other.get("patches", "")
    try:
        starts = [tuple(int(n) for n in part.split()) for part in text.split(";") if part.strip()]
        patches = tuple((z, y, x) for z, y, x in starts)
    except ValueError:
        patches = ((-1, -1, -1),)
    if not all(0 <= a < n for start in patches for a, n in zip(start, shape, strict=True)):
        raise InputError(
            "the column patches contains starts z y x inside the cube, separated by semicolons",
            found=text[:80],
            where=f"cube {cube.name!r} of {shape}",
        )
    return patches


@contextmanager
def _growing(path: str, dtype: type[np.generic], shape: Zyx) -> Iterator[BinaryIO]:
    """Create an array's file, to which slab after slab is written.

    Not memory-mapped: writing to a mapped file on a full disk kills the process.
    """
    with Path(path).open("wb") as file:
        about = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, about)
        yield file


@dataclass(frozen=True)
class _FixedReader:
    """Reads the grey levels of one camera."""

    volume: Volume
    normalisation: FixedInput

    def read(self, box: Box) -> Floats:
        """Read a box (zyx, float32) as the network is fed it."""
        return self.normalisation.normalise(self.volume.read(box))


def _reader(
    volume: Volume, normalisation: NoiseUnitsInput | FixedInput
) -> NoiseUnits | _FixedReader:
    refuse_inverted(normalisation, invert=is_inverted(volume))
    if isinstance(normalisation, NoiseUnitsInput):
        return NoiseUnits(volume, normalisation.cell, tells=False)
    return _FixedReader(volume, normalisation)


def _spots(label: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return places of neurite voxels, evenly thinned where there are many."""
    found = np.argwhere(np.asarray(label) == NEURITE)
    return found[:: max(1, -(-len(found) // SPOTS))].astype(np.int32)
