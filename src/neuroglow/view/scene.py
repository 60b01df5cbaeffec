"""The scene of a view: the raw image, its probability and trees, opened and placed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from neuroglow.errors import InputError
from neuroglow.files.names import stem_of
from neuroglow.files.remarks import remark, remark_unsized
from neuroglow.formats.opening import open_volume
from neuroglow.network.threshold import threshold_for
from neuroglow.space.alike import same_size, size_text
from neuroglow.space.arrays import VolumeSource
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.trees.drawn_trees import find_trees, place_trees
from neuroglow.trees.place import place_of
from neuroglow.trees.swc import parse_swc
from neuroglow.view.settings import ViewSettings
from neuroglow.view.skeletons import NamedTree, named

__all__ = ["Scene", "Shown", "levels_of", "open_scene"]

SAMPLES, SAMPLE = 4, 24
"""Boxes along each axis, and voxels along each of their sides, from which grey levels are taken."""

DARK, BRIGHT = 5.0, 99.8
"""Percentiles of the raw image that are shown black and white."""


@dataclass(frozen=True)
class Shown:
    """One volume of a scene.

    at: where its first voxel lies in the scene, in voxels. levels: values shown black and white; of
    a probability those that mean 0 and 1.
    """

    name: str
    kind: Literal["raw", "probability"]
    volume: Volume
    at: Zyx
    levels: tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """Everything that is shown, in one grid of voxels; the raw image comes first.

    voxel_size_um: None if it is not known. threshold: of the probability. trees: micrometres (or
    voxels) from the first voxel of the raw image.
    """

    volumes: Sequence[Shown]
    voxel_size_um: VoxelSize | None
    threshold: float
    trees: Sequence[NamedTree] = ()
    trees_name: str = "trees"

    @property
    def size(self) -> VoxelSize:
        """Size of a voxel; 1, 1, 1 if it is not known."""
        return self.voxel_size_um or (1.0, 1.0, 1.0)

    @property
    def raw(self) -> Shown:
        """The raw image."""
        return self.volumes[0]


def open_scene(
    volume: VolumeSource,
    probability: VolumeSource | None,
    trees: str | Path | None,
    settings: ViewSettings,
) -> Scene:
    """Open what is shown; only samples of the voxels are read.

    Raises InputError for a probability that cannot be one of the raw image, or trees outside it.
    """
    size = settings.voxel_size
    raw = open_volume(volume, channel=settings.channel, time=settings.time, voxel_size_um=size)
    place = place_of(raw)
    at = _whole(place.offset) if place.certain else (0, 0, 0)
    raw_name = _name(volume, "raw")
    shown = [Shown(raw_name, "raw", raw, at, levels_of(raw))]
    if probability is not None:
        layer = _probability(probability, shown[0], size)
        shown.append(replace(layer, name=_unlike(layer.name, [raw_name], "probability")))
    found = _trees(trees, raw, settings) if trees is not None else []
    known = next((s.volume.voxel_size_um for s in shown if s.volume.voxel_size_um), None)
    remark_unsized([] if known else [raw.name])
    threshold = settings.threshold
    if threshold is None:
        threshold = threshold_for([] if probability is None else [probability])[0]
    taken = [layer.name for layer in shown]
    name = _unlike("trees" if trees is None else Path(trees).stem, taken, "trees")
    return Scene(shown, known, threshold, found, name)


def levels_of(volume: Volume) -> tuple[float, float]:
    """Choose the grey levels that are shown black and white, from samples of a volume."""
    seen = _sampled(volume)
    if not seen.size:
        return 0.0, 1.0
    low, high = np.percentile(seen, [DARK, BRIGHT]).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def _sampled(volume: Volume) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Read finite voxels of small boxes that are spread over a volume."""
    starts = [
        sorted({round(v) for v in np.linspace(0, max(0, n - SAMPLE), SAMPLES)})
        for n in volume.shape
    ]
    parts = []
    for z in starts[0]:
        for y in starts[1]:
            for x in starts[2]:
                box = Box((z, y, x), (z + SAMPLE, y + SAMPLE, x + SAMPLE))
                parts.append(volume.read(box.intersect(Box.of(volume.shape))).ravel())
    seen = np.concatenate(parts).astype(np.float64)
    return seen[np.isfinite(seen)]


def _probability(source: VolumeSource, raw: Shown, size: VoxelSize | None) -> Shown:
    """Open a probability, and find where it lies in the scene."""
    volume = open_volume(source, voxel_size_um=size)
    known = volume.voxel_size_um, raw.volume.voxel_size_um
    if known[0] and known[1] and not same_size(*known):  # type: ignore[arg-type]  # both are known
        raise InputError(
            "the probability and the raw image have the same voxel size",
            found=f"{size_text(known[0])}, but {size_text(known[1])} in {raw.volume.name}",
            where=volume.name,
            cure="--voxel-size Z,Y,X, if the metadata is wrong",
        )
    place = place_of(volume)
    at = _whole(place.offset) if place.certain else (0, 0, 0)
    alike = volume.shape == raw.volume.shape
    if alike and at != raw.at:
        remark(f"{volume.name}: shown over the raw image, which has its shape, not at its offset")
    return Shown(
        _name(source, "probability"),
        "probability",
        volume,
        raw.at if alike else _inside(at, volume, raw),
        (0.0, _whole_of(volume)),
    )


def _inside(at: Zyx, volume: Volume, raw: Shown) -> Zyx:
    """Check that a part lies in the raw image."""
    part = Box.of(volume.shape).shift(at)
    if not Box.of(raw.volume.shape).shift(raw.at).contains(part):
        raise InputError(
            "the probability is that of the raw image, or of a box of it",
            found=f"{part}, outside the raw image of {raw.volume.shape} voxels",
            where=volume.name,
            cure="the image that was predicted; the record of `predict` must lie next to a TIFF",
        )
    return at


def _whole_of(volume: Volume) -> float:
    """Return the value that means 1; raises InputError if the values are no probability."""
    if volume.dtype == np.uint8:
        return 255.0 if _sampled(volume).max(initial=0) != 1 else 1.0
    seen = _sampled(volume)
    if volume.dtype.kind == "f" and seen.min(initial=0) >= 0 and seen.max(initial=0) <= 1:
        return 1.0
    raise InputError(
        "a probability is uint8 (0..255) or real numbers 0..1",
        found=f"{volume.dtype} of {seen.min():g} to {seen.max():g}",
        where=volume.name,
        cure="VOLUME PROBABILITY TREES, in this order; the output of `neuroglow predict`",
    )


def _trees(source: str | Path, raw: Volume, settings: ViewSettings) -> list[NamedTree]:
    """Read trees, in micrometres from the first voxel of the raw image."""
    files = find_trees(source)
    placed, notes = place_trees(
        [parse_swc(f) for f in files],
        files,
        raw.shape,
        raw.voxel_size_um,
        settings.swc_unit,
        place=place_of(raw, settings.offset),
    )
    for note in notes:
        if "radi" not in note:  # those of missing radii are of labels that are drawn
            remark(note)
    return named(placed, files)


def _unlike(name: str, taken: Sequence[str], kind: str) -> str:
    """Return a name that no other layer has: viewers would number it."""
    return f"{name} {kind}" if name in taken else name


def _whole(offset: Sequence[float]) -> Zyx:
    z, y, x = (round(v) for v in offset)
    return z, y, x


def _name(source: VolumeSource, otherwise: str) -> str:
    return stem_of(source) if isinstance(source, str | Path) else otherwise
