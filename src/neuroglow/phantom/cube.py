"""Make one phantom cube in memory, and write it: image, label, tree, table, picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import OutputError, SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.files.writing import writing
from neuroglow.phantom.anatomy import populate
from neuroglow.phantom.files import (
    draw_projections,
    put_in_place,
    refuse_foreign,
    shown_truth,
    write_record,
    write_table,
    write_tiff,
    write_tree,
)
from neuroglow.phantom.microscope import Microscope
from neuroglow.phantom.region import Range, RegionSettings
from neuroglow.phantom.settings import NEURITE
from neuroglow.phantom.truth import clip, describe, forest, weighted_median
from neuroglow.pictures.view import View
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.projections import bin_size, block_projections
from neuroglow.trees.swc import Tree

__all__ = ["PhantomCube", "check_size", "describe_cube", "make_cube", "phantom_cube"]

LARGEST = 256**3
"""Maximum number of voxels of a cube, which is made in memory."""


@dataclass(frozen=True)
class PhantomCube:
    """A cube with its truth.

    image: (zyx) uint8 or uint16. label: (zyx) uint8 BACKGROUND, NEURITE or IGNORE.
    target: (zyx) SNR of neurites alone, to add to something else.
    tree: the neurites inside, in micrometres. table: one row per neurite, its SNR among them.
    """

    image: NDArray[Any]
    label: NDArray[np.uint8]
    target: NDArray[np.float32] = field(repr=False)
    tree: Tree
    table: list[dict[str, Any]]
    settings: RegionSettings
    microscope: Microscope

    @property
    def density(self) -> float:
        """Share of the voxels that are labelled as neurite."""
        return float((self.label == NEURITE).mean())

    @property
    def snr(self) -> float:
        """Median SNR of the neurites, weighted by length; NaN if there is none."""
        if not self.table:
            return float("nan")
        return weighted_median(
            np.array([row["snr"] for row in self.table]),
            np.array([row["length_vox"] for row in self.table], float),
        )


def make_cube(
    settings: RegionSettings | Mapping[str, Any] | None = None, *, seed: int = 1
) -> PhantomCube:
    """Make one cube: the same settings and seed give the same cube.

    settings: a RegionSettings, or the values that differ from a region's.
    Raises SettingsError for invalid settings.

    >>> cube = make_cube({"shape": (32, 32, 32), "region": "plexus"}, seed=2)
    >>> cube.image.shape, cube.label.dtype.name
    ((32, 32, 32), 'uint8')
    """
    chosen = settings if isinstance(settings, RegionSettings) else RegionSettings.of(settings or {})
    check_size(chosen)
    scope = Microscope.draw(chosen, seed)
    items = list(populate(chosen, scope))
    marks = np.concatenate([np.empty((0, 9), np.float32), *(item.marks for item in items)])
    seen = scope.look(marks, Box.of(chosen.shape))
    neurites = [n for item in items for n in item.neurites]

    def visibility(places: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(seen.visibility[tuple(places.T)])

    table = [row for n in neurites if (row := describe(n, chosen, scope, visibility))]
    for number, row in enumerate(table, start=1):
        row["neurite"] = number
    tree = clip(forest([item.neurites for item in items if item.neurites]), chosen, scope)
    return PhantomCube(seen.image, seen.label, seen.target, tree, table, chosen, scope)


@spelled_out(RegionSettings)
def phantom_cube(  # noqa: PLR0913  # every option, for editors
    out: str | Path,
    *,
    region: str = "sparse",
    shape: Zyx = (96, 96, 96),
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    swc: str | PathLike[str] | None = None,
    density: Range = (0.5, 4.0),
    snr: Range = (4.0, 60.0),
    radius: Range = (0.2, 0.8),
    dendrite: Range = (0.6, 1.6),
    length: Range = (150.0, 3000.0),
    tortuosity: Range = (0.03, 0.2),
    branches: float = 0.4,
    bundles: float = 0.05,
    beads: float = 0.5,
    puncta: float = 20.0,
    puncta_snr: Range = (2.0, 20.0),
    somata: float = 0.4,
    vessels: float = 2.0,
    tracts: float = 0.1,
    neurons: float = 0.0,
    nuclei: float = 0.0,
    microglia: float = 0.0,
    plaques: float = 0.0,
    body_snr: Range = (2.0, 40.0),
    vessels_as: Literal["background", "neurite", "ignore"] = "background",
    edge: float = 0.05,
    texture: Range = (0.0, 0.5),
    grain: Range = (0.2, 1.6),
    grain_size: Range = (1.6, 5.0),
    blur: Range = (0.5, 1.0),
    anisotropy: Range = (1.0, 2.2),
    depth_blur: Range = (0.0, 0.5),
    haze: Range = (0.0, 0.3),
    pedestal: Range = (3.0, 14.0),
    shot: Range = (0.1, 0.9),
    stripes: Range = (0.0, 0.06),
    tiles: Range = (0.0, 0.0),
    illumination: Range = (0.02, 0.15),
    bleaching: Range = (0.0, 0.2),
    correlation: Range = (0.0, 0.9),
    compression: Range = (0.0, 0.0),
    noise: Range = (15.0, 400.0),
    offset: Range = (50.0, 1500.0),
    saturation: Range = (60.0, 1000.0),
    bits: tuple[int, ...] = (8, 12, 16, 16, 16),
    seed: int = 1,
    mode: Literal["new", "restart"] = "new",
) -> PhantomCube:
    """Make one cube in a folder: image.tif, label.tif, tree.swc, neurites.csv, cube.json, cube.png.

    mode: `new` refuses a folder that holds something; `restart` replaces a cube.
    The other options are those of RegionSettings; an option that is not given has the value
    of the region, and the defaults shown are those of `sparse`.
    Raises SettingsError, OutputError, InputError (no trees in `swc`), WriteError.

    """
    output = Path(out)
    chosen = RegionSettings.of(given())
    check_size(chosen)
    unfinished = Unfinished(output)
    refuse_foreign(output, "cube.json")
    if mode == "new" and (output / "cube.json").exists():
        raise OutputError(
            "an existing output is not overwritten",
            found="a cube",
            where=str(output),
            cure="another -o, or --restart to replace it",
        )
    cube = make_cube(chosen, seed=seed)
    with unfinished.claimed(), writing(unfinished.folder):
        _write(unfinished.folder, cube, seed)
        put_in_place(unfinished.folder, output)
    return cube


def _write(folder: Path, cube: PhantomCube, seed: int) -> None:
    write_tiff(folder / "image.tif", cube.image, cube.settings.voxel_size)
    write_tiff(folder / "label.tif", cube.label, cube.settings.voxel_size)
    write_tree(folder / "tree.swc", cube.tree)
    write_table(folder / "neurites.csv", cube.table)
    box, bins = Box.of(cube.image.shape), bin_size(cube.image.shape)
    image, truth = (block_projections(v, box, bins) for v in (cube.image, shown_truth(cube.label)))
    view = View.of(cube.image.shape, cube.settings.voxel_size)
    name = f"{cube.settings.region}, seed {seed}"
    draw_projections(folder / "cube.png", view, image, truth, name)
    write_record(folder / "cube.json", {"seed": seed, **describe_cube(cube)})


def describe_cube(cube: PhantomCube) -> dict[str, Any]:
    """Return the record of a cube."""
    return {
        "synthetic": True,
        "density": round(cube.density, 6),
        "snr": None if np.isnan(cube.snr) else round(cube.snr, 3),
        "neurites": len(cube.table),
        "settings": cube.settings.model_dump(mode="json"),
        "microscope": cube.microscope.to_dict(),
    }


def check_size(settings: RegionSettings) -> None:
    """Refuse a cube that is too large to be made in memory."""
    z, y, x = settings.shape
    if z * y * x > LARGEST:
        raise SettingsError(
            "a cube is made in memory, with at most 256 x 256 x 256 voxels",
            found=f"{z} x {y} x {x}",
            cure="neuroglow phantom brain makes any size, block by block",
        )
