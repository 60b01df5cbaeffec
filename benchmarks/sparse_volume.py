"""A volume of white noise in which 1 % of the tiles of 64 voxels hold a neurite, as an OME-Zarr.

    python benchmarks/sparse_volume.py OUT.ome.zarr [--size 1024]

Synthetic, seeded: normal noise of 20 grey levels around 400; in each chosen tile a straight line,
three voxels wide, six times the noise. Nothing else is in it, so that `predict` should cost little
more than reading, noise units and the gate: `predict_parts.py OUT.ome.zarr`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from neuroglow.formats.opening import create_volume
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import VolumeSpec

TILE, BLOCK, SHARE = 64, 256, 0.01
LEVEL, NOISE, SIGNAL = 400, 20, 120


def main() -> None:
    """Make the volume."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=1024, help="a multiple of 256")
    asked = parser.parse_args()
    shape = (asked.size,) * 3
    rng = np.random.default_rng(4)
    corners = list(itertools.product(range(0, asked.size, TILE), repeat=3))
    count = max(1, round(SHARE * len(corners)))
    chosen = rng.permutation(len(corners))[:count]
    spec = VolumeSpec(shape, np.dtype(np.uint16), (1.0, 1.0, 1.0), (BLOCK,) * 3, effort=1)
    volume = create_volume(asked.out, spec)
    for block in tile(Box.of(shape), (BLOCK,) * 3):
        voxels = np.full(block.write.shape, LEVEL, np.float32)
        for at in (corners[number] for number in chosen):
            place = Box.of((TILE,) * 3).shift(at)
            if block.write.contains(place):
                draw_line(voxels[place.relative_to(block.write).slices], rng)
        voxels += NOISE * rng.standard_normal(voxels.shape, np.float32)
        volume.write(block.write, voxels.round().clip(0, 65535).astype(np.uint16))
    volume.finish()
    print(f"{count} of {len(corners)} tiles hold a neurite")


def draw_line(voxels: np.ndarray, rng: np.random.Generator) -> None:
    """Draw a straight line into a tile."""
    begin, end = rng.uniform(12, TILE - 12, (2, 3))
    for share in np.linspace(0, 1, 400):
        z, y, x = np.round(begin + share * (end - begin)).astype(int)
        part = voxels[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
        np.maximum(part, LEVEL + SIGNAL, out=part)


if __name__ == "__main__":
    main()
