"""The work on one cube of a survey: read it, measure it, write its row.

A cube is read once and measured on its own: its surroundings have no influence, so it has the
same row in a volume, in a pool, and as a file that `select` exported.
SciPy and torch are imported inside functions, to keep `neuroglow --help` fast.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.export import voxels_sha256
from neuroglow.cubes.manifest import (
    Cube,
    as_inverted,
    box_of,
    in_channel,
    open_image,
    open_labels,
)
from neuroglow.errors import InputError
from neuroglow.files.writing import appearing, file_sha256, writing
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.polarity import Polarity
from neuroglow.labels.label_doubts import doubts_of
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.network.enhance import ModelOnDevice
from neuroglow.selection.indicators import DENSE_VOXELS, Label, in_noise_units, reference
from neuroglow.selection.survey_table import number
from neuroglow.space.geometry import Block, Box
from neuroglow.space.inverted import as_stored, is_inverted
from neuroglow.space.pyramid import halve
from neuroglow.space.volume import Array, ArrayVolume, Volume

if TYPE_CHECKING:
    from neuroglow.network.engine import Engine

__all__ = ["Grid", "Measured", "Pool", "SurveyCube", "read_row", "uncertainty"]

Floats = NDArray[np.float32]
Cells = NDArray[np.float64]

CELL = 32
LEAST = 8
"""Side of a cell of noise units, in voxels; and the smallest side of a cube."""

HALF = (2, 2, 2)

LOOKED_AT = 64
"""Voxels per axis of a cube in which it is looked for dark structures."""


class CubeSource(Protocol):
    """Source of cubes."""

    def cube(self, block: Block) -> Cube:
        """Return the cube of a block."""


@dataclass(frozen=True)
class Pool:
    """Cubes that are listed."""

    cubes: Sequence[Cube]

    def cube(self, block: Block) -> Cube:
        """Return the cube of a block."""
        return self.cubes[block.index]


@dataclass(frozen=True)
class Grid:
    """Cubes of one volume, each a box; region: the eighth of the volume in which it lies."""

    image: Path
    brain: str
    middle: tuple[int, int, int]
    channel: int | None = None
    invert: bool = False

    def cube(self, block: Block) -> Cube:
        """Name the cube by its corner."""
        z, y, x = block.write.start
        sides = zip("zyx", block.write.start, block.write.stop, self.middle, strict=True)
        region = "".join(f"{axis}{int(a + b >= 2 * half)}" for axis, a, b, half in sides)
        place = {"brain": self.brain, "region": region}
        name = f"{self.brain}-z{z:05d}-y{y:05d}-x{x:05d}"
        cube = Cube(name, self.image, box=str(block.write), other=place)
        return as_inverted(in_channel(cube, self.channel), self.invert)


@dataclass(frozen=True)
class SurveyCube:
    """The work on one cube; writes FOLDER/00000012.json.

    model: its uncertainty is measured too, if given.
    threshold: the probability that counts as a neurite. seed: of the sample of the
    background.
    """

    source: CubeSource
    folder: Path
    model: ModelOnDevice | None = None
    threshold: float = 0.5
    seed: int = 1

    def __call__(self, block: Block) -> Literal["done"]:
        """Measure a cube, and write its row."""
        cube = self.source.cube(block)
        volume = open_image(cube)
        box = box_of(cube, volume.shape)
        voxels = volume.read(box)
        _check(voxels, volume.name)
        whole = Box.of(voxels.shape)
        units = NoiseUnits(ArrayVolume(voxels), CELL, tells=False, polarity=Polarity(LOOKED_AT))
        x = units.convert(voxels, whole)
        row: dict[str, Any] = _identity(cube, as_stored(voxels, volume), volume)
        background, noise = units.cells(whole)
        row |= _levels(background, noise)
        row["cells"] = [background.ravel().tolist(), noise.ravel().tolist()]
        label, said = _label(cube, volume, box)
        label = _where_known(label, voxels)
        row["looks"] = [units.has_holes, is_inverted(volume), *astuple(units.polarity)]
        row["note"] = _note(voxels, label)
        if label is not None:
            row |= self._labelled(voxels, x, label, row["voxels_sha256"])
            row |= {"label_note": " | ".join(said)} if said else {}
        row |= self._free(voxels, x)
        [path] = self.files(block)
        with writing(path), appearing(path) as partial:
            partial.write_text(json.dumps(row), encoding="utf-8")
        return "done"

    def files(self, block: Block) -> list[Path]:
        """Name the file of a cube: its row."""
        return [self.folder / f"{block.index:08d}.json"]

    def _labelled(self, voxels: Array, x: Array, label: Label, sha256: str) -> dict[str, float]:
        """Measure with the label: DB-Enhance's indicators, and the same in noise units."""
        rng = np.random.default_rng(
            [self.seed, int(sha256[:8], 16)]
        )  # depends on content, not order
        grey, units = reference(voxels, label, rng), in_noise_units(x, label)
        return {
            **grey._asdict(),
            "label_vox": int((label == NEURITE).sum()),
            "ignored_vox": int((label == IGNORE).sum()),
            **{f"units_{name}": value for name, value in units._asdict().items()},
        }

    def _free(self, voxels: Array, x: Floats) -> dict[str, float]:
        """Measure without the label: on the model's neurites, if there is a model."""
        from neuroglow.selection.provisional import (
            contrast_of,
            find_neurites,
            low_snr_share,
            shape_of,
            texture,
        )

        halved = halve(x, HALF)
        contrast = contrast_of(halved)
        found, doubt = find_neurites(halved, contrast), {}
        neurites = found.neurites
        if self.model is not None:
            runner = self.model.load()
            normalisation = runner.normalisation
            given = normalisation.normalise(voxels) if normalisation.kind == "fixed" else x
            probability = runner.probability(given)
            neurites = halve(probability, HALF) > self.threshold
            doubt = uncertainty(probability, _flipped(runner, given))
        count = 8 * int(neurites.sum())
        shape = shape_of(neurites)
        return {
            "free_signal_density": min(1.0, count / DENSE_VOXELS),
            "free_low_snr_ratio": low_snr_share(halved, contrast, neurites),
            "free_vox": count,
            "length_vox": 2 * shape.length_vox,
            "tortuosity": shape.tortuosity,
            "crossings": shape.crossings,
            "puncta": 1e6 * found.spots / x.size,
            "texture": texture(x),
            **doubt,
        }


class Measured(NamedTuple):
    """What a worker left of a cube: its row, background and noise of its cells, how it looks."""

    cube: Cube
    cells: Cells
    has_holes: bool
    inverted: bool
    polarity: Polarity


def read_row(path: Path, cube: Cube) -> Measured:
    """Read what a worker left of a cube."""
    row = json.loads(path.read_text(encoding="utf-8"))
    cells = np.array(row.pop("cells"))
    has_holes, inverted, *counts = row.pop("looks")
    hashes = {name: row.pop(name) for name in ("image_sha256", "label_sha256")}
    other = {k: number(v) if isinstance(v, float) else str(v) for k, v in row.items()}
    cube = replace(cube, other={**cube.other, **other}, **hashes)
    return Measured(cube, cells, has_holes, inverted, Polarity(*counts))


def uncertainty(probability: Floats, flipped: Sequence[Floats]) -> dict[str, float]:
    """Return the mean entropy (bits per voxel), and the disagreement under flips (0..1)."""
    p = np.clip(probability.astype(np.float64), 1e-6, 1 - 1e-6)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    apart = [float(np.abs(probability - other).mean()) for other in flipped]
    return {"entropy": float(entropy.mean()), "disagreement": float(np.mean(apart))}


def _flipped(runner: Engine, given: Floats) -> list[Floats]:
    """Predict the cube's mirror images, mirrored back."""
    return [
        np.flip(runner.probability(np.ascontiguousarray(np.flip(given, axis))), axis)
        for axis in range(3)
    ]


def _identity(cube: Cube, voxels: Array, volume: Volume) -> dict[str, Any]:
    """Return the basic data: hashes, shape, voxel size."""
    size = volume.voxel_size_um
    own_file = not cube.box  # for a box in a brain, the box is hashed, not the brain
    return {
        "image_sha256": file_sha256(cube.image) if own_file else "",
        "label_sha256": file_sha256(cube.label) if own_file and cube.label else "",
        "voxels_sha256": voxels_sha256(voxels),
        "shape": " ".join(map(str, voxels.shape)),
        "voxel_size_um": " ".join(f"{v:g}" for v in size) if size else "",
    }


def _levels(background: Floats, noise: Floats) -> dict[str, float]:
    """Return brightness and noise of the background in grey levels, and its unevenness in noise."""
    typical = float(np.median(noise))
    uneven = float(background.std()) / typical if typical else 0.0
    return {
        "free_background": float(np.median(background)),
        "free_noise": typical,
        "unevenness": uneven,
    }


def _label(cube: Cube, volume: Volume, box: Box) -> tuple[Label | None, list[str]]:
    """Read the label of a cube as training does, and return the warnings about it."""
    if cube.label is None:
        return None, []
    labels = open_labels(cube, volume)
    label = labels.read(box)
    neurites, background = (int((label == kind).sum()) for kind in (NEURITE, BACKGROUND))
    return label, doubts_of(labels, neurites, background)


def _where_known(label: Label | None, voxels: Array) -> Label | None:
    """Ignore in a label the voxels that are NaN or infinite."""
    if label is None or voxels.dtype.kind != "f":
        return label
    return np.where(np.isfinite(voxels), label, IGNORE).astype(np.uint8)


def _check(voxels: Array, where: str) -> None:
    if min(voxels.shape) < LEAST:
        raise InputError(
            f"a cube has at least {LEAST} voxels per axis", found=str(voxels.shape), where=where
        )


def _note(voxels: Array, label: Label | None) -> str:
    """Describe a cube with special indicators."""
    known = voxels[np.isfinite(voxels)]
    if not known.size or known.min() == known.max():
        return "constant"
    if label is None:
        return ""
    if not (label == NEURITE).any():
        return "no labelled voxel"
    return "" if (label == BACKGROUND).any() else "no background voxel"
