"""Every volume as a virtual OME-Zarr 0.5, with a pyramid: the metadata and the chunks of a view."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neuroglow.formats.ome_zarr import OmeZarrVolume
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Volume
from neuroglow.studio.levels import CHUNK, StoredLevel
from neuroglow.studio.volumes import Shown

__all__ = ["array_json", "chunk_box", "chunk_bytes", "chunk_shape", "group_json", "level_scales"]

PLANES_BYTES = 40_000_000
"""Bytes of planes that a chunk of a file of planes may span: about as many are kept decoded."""


THIN = 16
"""Voxels along the shortest side from which on a chunk as stored is passed on as it is cut."""


def group_json(shown: Shown) -> dict[str, Any]:
    """Return the metadata of the image: OME-NGFF 0.5."""
    unit = {"unit": "micrometer"} if shown.voxel_size_um else {}
    datasets = [
        {
            "path": str(i),
            "coordinateTransformations": [
                {"type": "scale", "scale": scale},
                {"type": "translation", "translation": _shift(shown, level.factors)},
            ],
        }
        for i, (level, scale) in enumerate(zip(shown.levels, level_scales(shown), strict=True))
    ]
    image = {
        "name": shown.path.rpartition("/")[2],
        "axes": [{"name": axis, "type": "space", **unit} for axis in "zyx"],
        "datasets": datasets,
    }
    ome = {"version": "0.5", "multiscales": [image]}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}


def level_scales(shown: Shown) -> list[list[float]]:
    """Return the size of a voxel of each level, zyx; of unknown voxels, in the finest ones."""
    size = shown.voxel_size_um or (1.0, 1.0, 1.0)
    return [[a * b for a, b in zip(size, v.factors, strict=True)] for v in shown.levels]


def _shift(shown: Shown, factors: tuple[float, float, float]) -> list[float]:
    size = shown.voxel_size_um or (1.0, 1.0, 1.0)
    return [(f - 1) / 2 * s for f, s in zip(factors, size, strict=True)]


def array_json(shown: Shown, level: int) -> dict[str, Any]:
    """Return the metadata of one level."""
    dtype = shown.dtype
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shown.levels[level].shape),
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(chunk_shape(shown, level))},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        # not blosc: its decoder in a browser needs `unsafe-eval`, which the page's rules forbid
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "dimension_names": ["z", "y", "x"],
        "attributes": {},
    }


def chunk_shape(shown: Shown, level: int) -> Zyx:
    """Return the voxels of a chunk: as stored if that fits, so that each is decoded once.

    Else a cube, but flat where large planes are read whole.
    """
    here = shown.levels[level]
    if isinstance(here, StoredLevel) and (own := stored_chunk(here.volume)):
        return own
    chunked = type(shown.volume).__name__ in ("OmeZarrVolume", "Hdf5Volume")
    if not here.stored or chunked:
        return CHUNK
    plane = math.prod(here.shape[1:]) * shown.volume.dtype.itemsize
    z = CHUNK[0]
    while z > 1 and z * plane > PLANES_BYTES:
        z //= 2
    side = 2 ** math.ceil(math.log2(CHUNK[1]) + math.log2(CHUNK[0] / z) / 2)
    return z, side, side


def stored_chunk(volume: Volume) -> Zyx | None:
    """Return the voxels of a chunk as an OME-Zarr keeps it; None if a view needs other ones."""
    if not isinstance(volume, OmeZarrVolume):
        return None
    kept = [n for n, i in zip(volume.chunks, volume.axes.index, strict=True) if i is None]
    z, y, x = (kept[place] for place in volume.axes.order)
    fits = min(z, y, x) >= THIN and CHUNK[0] ** 3 // 8 <= z * y * x <= CHUNK[0] ** 3 * 8
    return (z, y, x) if fits else None


def chunk_box(shown: Shown, level: int, index: Zyx) -> Box | None:
    """Return the voxels of a chunk that lie in the volume; None if none do."""
    size = chunk_shape(shown, level)
    start = tuple(i * n for i, n in zip(index, size, strict=True))
    stop = tuple(a + n for a, n in zip(start, size, strict=True))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    inside = box.intersect(Box.of(shown.levels[level].shape))
    return inside if inside.size else None


def chunk_bytes(shown: Shown, level: int, box: Box) -> bytes:
    """Read a chunk; at the far faces it is filled up with zeros."""
    size, voxels = chunk_shape(shown, level), shown.read(level, box)
    if voxels.shape != size:
        whole = np.zeros(size, voxels.dtype)
        whole[tuple(slice(0, n) for n in voxels.shape)] = voxels
        voxels = whole
    return voxels.astype(voxels.dtype.newbyteorder("<"), copy=False).tobytes()
