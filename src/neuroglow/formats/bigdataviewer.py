"""BigDataViewer's XML: the HDF5 file that it names, and the voxel size of a setup."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from neuroglow.errors import InputError
from neuroglow.space.units import read_voxel_size
from neuroglow.space.volume import VoxelSize

__all__ = ["bdv_voxel_size", "hdf5_of_xml"]


def hdf5_of_xml(path: Path) -> Path:
    """Return the HDF5 file that an XML of BigDataViewer names; raises InputError for any other."""
    root = _root(path)
    loader = None if root is None else root.find(".//ImageLoader")
    if loader is None:
        raise InputError(
            "an XML file must be BigDataViewer's",
            found="no ImageLoader in it",
            where=str(path),
        )
    named = loader.find("hdf5")
    if named is None or not named.text:
        raise InputError(
            "of BigDataViewer's formats, only HDF5 is supported",
            found=f"format {loader.get('format')!r}",
            where=str(path),
            cure="save it as HDF5 or OME-Zarr (in Fiji: BigStitcher or BigDataViewer)",
        )
    return path.parent / named.text.strip()


def bdv_voxel_size(hdf5: Path, setup: int, factors: Sequence[float]) -> VoxelSize | None:
    """Read the voxel size of one setup (zyx, micrometres) from the XML next to an HDF5 file.

    factors: zyx, factors by which the opened level is coarser than the finest.
    """
    for xml in _beside(hdf5):
        root = _root(xml)
        for view in [] if root is None else root.iter("ViewSetup"):
            size = view.find("voxelSize")
            if size is None or (view.findtext("id") or "").strip() != str(setup):
                continue
            texts = (size.findtext("size") or "").split()[::-1]
            sizes = {a: _times(v, f) for a, v, f in zip("zyx", texts, factors, strict=False)}
            return read_voxel_size(sizes, (size.findtext("unit") or "").strip(), str(xml))
    return None


def _times(text: str, factor: float) -> float | None:
    try:
        return float(text) * factor
    except ValueError:
        return None


def _beside(hdf5: Path) -> list[Path]:
    """List the XML files in a folder that name an HDF5 file, the one of the same name first."""
    found = sorted(hdf5.parent.glob("*.xml"), key=lambda f: (f.stem != hdf5.stem, f.name))
    return [f for f in found if f.stem == hdf5.stem or hdf5.name in f.read_text("utf-8", "replace")]


def _root(path: Path) -> ElementTree.Element | None:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
