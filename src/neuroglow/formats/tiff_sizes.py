"""Voxel sizes of TIFF files, from OME's and ImageJ's metadata."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import tifffile

from neuroglow.files.remarks import remark
from neuroglow.space.units import is_no_unit, micrometres_of, read_voxel_size
from neuroglow.space.volume import VoxelSize

__all__ = ["tiff_stage", "tiff_voxel_size"]

OTHERS = ("lsm", "stk", "micromanager", "scanimage", "fluoview", "sis")
"""Kinds of TIFF whose voxel size is in metadata that are not read."""


def tiff_voxel_size(file: tifffile.TiffFile, series: int, where: str) -> VoxelSize | None:
    """Read the voxel size of one series (zyx, micrometres); warn if it is stated but not read."""
    if file.is_ome and file.ome_metadata:
        return _ome(file, series, where)
    if file.is_imagej and file.imagej_metadata:
        return _imagej(file, where)
    other = [kind for kind in OTHERS if getattr(file, f"is_{kind}", False)]
    if other:
        remark(f"{where}: its voxel size ({other[0]}) is not read; give it with --voxel-size Z,Y,X")
    return None


def _imagej(file: tifffile.TiffFile, where: str) -> VoxelSize | None:
    """Read ImageJ's: `spacing` is left out where the step is 1, `yunit` where it is the unit."""
    found: Any = file.imagej_metadata
    unit, tags = found.get("unit"), file.pages.first.tags
    plain = is_no_unit(unit)
    sizes: dict[str, object] = {"z": found.get("spacing", None if plain else 1.0)}
    for axis in "yx":
        value = tags.valueof(f"{axis.upper()}Resolution")
        sizes[axis] = value[1] / value[0] if value and value[0] else None
    if isinstance(sizes["z"], int | float):
        sizes["z"] = abs(sizes["z"])  # downwards
    if plain and sizes["z"] is None and sizes["y"] == sizes["x"] == 1:
        return None
    by_axis = {a: found.get(f"{a}unit") or unit for a in "zyx"}
    if any(micrometres_of(by_axis[a]) is None and not is_no_unit(by_axis[a]) for a in "zyx"):
        by_axis = dict.fromkeys("zyx", unit)
    return read_voxel_size(sizes, by_axis, where)


def _ome(file: tifffile.TiffFile, series: int, where: str) -> VoxelSize | None:
    """Read PhysicalSizeZ, Y and X of one image; without a unit they are micrometres (OME)."""
    try:
        root = ElementTree.fromstring(str(file.ome_metadata).encode())
    except ElementTree.ParseError as error:
        remark(f"{where}: its OME-XML cannot be read ({error}): no voxel size")
        return None
    pixels = _elements(root, "Pixels")
    if len(pixels) != len(file.series):
        pixels = pixels if len({_stated(p) for p in pixels}) == 1 else []
        series = 0
    if not pixels:
        return None
    sizes = {a: pixels[series].get(f"PhysicalSize{a.upper()}") for a in "zyx"}
    units = {a: pixels[series].get(f"PhysicalSize{a.upper()}Unit", "µm") for a in "zyx"}
    return read_voxel_size(sizes, units, where)


def tiff_stage(
    file: tifffile.TiffFile, series: int, size: VoxelSize | None
) -> tuple[float, float, float]:
    """Read where the stage stood (OME's PositionX, Y and Z of the first plane), in voxels, zyx.

    Zeros where nothing is stated, or not in a unit of length (OME's default is none).
    """
    nowhere = (0.0, 0.0, 0.0)
    if size is None or not file.is_ome or "PositionX" not in str(file.ome_metadata):
        return nowhere
    try:
        pixels = _elements(ElementTree.fromstring(str(file.ome_metadata).encode()), "Pixels")
    except ElementTree.ParseError:
        return nowhere
    if len(pixels) != len(file.series):
        return nowhere
    planes = _elements(pixels[series], "Plane")
    first = min(planes, key=lambda plane: int(plane.get("TheZ", 0)), default=None)
    if first is None:
        return nowhere
    z, y, x = (_position(first, axis) / side for axis, side in zip("ZYX", size, strict=True))
    return z, y, x


def _position(plane: ElementTree.Element, axis: str) -> float:
    """Read one position of the stage in micrometres; 0 where there is none."""
    factor = micrometres_of(plane.get(f"Position{axis}Unit", "reference frame"))
    try:
        value = float(plane.get(f"Position{axis}", 0)) * (factor or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _elements(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _stated(pixels: ElementTree.Element) -> tuple[str | None, ...]:
    return tuple(pixels.get(f"PhysicalSize{a}{part}") for a in "ZYX" for part in ("", "Unit"))
