"""The gate by tile: the share of tiles that it skips, and of detected voxels that it loses.

    OMP_NUM_THREADS=1 python benchmarks/gate.py [--shared ../shared] [--seeds 5 6] [--most 12e6]

Every volume is predicted without the gate; then each tile is judged as in `predict`. Volumes:
phantoms of each region (synthetic, 160 voxels per axis), three lines a few voxels wide in white
noise (synthetic, --snr times the noise along their middle), and all real volumes in ../shared/data
(of large ones a crop from the start, of at most --most voxels). The bundled model, float32. It is
also asked from afar (network/tiles.py), with --afar as the least probability that opens a tile.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

import neuroglow
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.network.engine import Engine
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.stored import read_model
from neuroglow.network.tiles import open_tiles
from neuroglow.phantom.region import REGIONS
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import Volume

MODEL, HALO, SIDE = read_model("light-microscopy"), 32, (128, 256, 256)


def counted(volume: Volume, engine: Engine, most: float, afar: float) -> list[int]:
    """Count tiles, those closed by the gate and with a look from afar, detections, those lost."""
    roi = _crop(volume, most)
    x = NoiseUnits(volume, tells=False).read_filled(roi)[1]
    total = np.zeros(6, np.int64)
    for block in tile(roi, SIDE, halo=HALO, align=engine.stride, within=roi):
        shown = np.ascontiguousarray(x[block.read.relative_to(roi).slices])
        found = engine.probability(shown)[block.inner.slices] >= MODEL.settings.threshold
        near = open_tiles(shown, block)
        both = open_tiles(shown, block, engine.probability, afar)
        lost = [
            sum(int(found[t.relative_to(block.write).slices].sum()) for t in tiles.closed)
            for tiles in (near, both)
        ]
        skipped = [len(near.closed), len(both.closed)]
        total += [near.counts[0], int(found.sum()), skipped[0], lost[0], skipped[1], lost[1]]
    return [int(n) for n in total]


def _crop(volume: Volume, most: float) -> Box:
    """Shorten the longest axis, by tiles, until few enough voxels are left."""
    sides = list(volume.shape)
    while np.prod(sides) > most:
        longest = int(np.argmax(sides))
        sides[longest] = (sides[longest] - 1) // 64 * 64
    return Box.of(sides)


def lines_in_noise(snr: float, seed: int, side: int = 160) -> np.ndarray:
    """Draw three curved lines, blurred by one voxel, into white noise of 20 grey levels."""
    rng, drawn = np.random.default_rng(seed), np.zeros((side,) * 3, np.float32)
    along = np.linspace(0, 1, 1500)[:, None]
    for _ in range(3):
        begin, bend, end = rng.uniform(0, side, (3, 3))
        path = (1 - along) ** 2 * begin + 2 * along * (1 - along) * bend + along**2 * end
        drawn[tuple(path.round().astype(int).clip(0, side - 1).T)] = 1
    blurred = ndimage.gaussian_filter(drawn, 1.0)
    signal = snr * blurred / np.median(blurred[drawn > 0])
    grey: np.ndarray = 400 + 20 * (signal + rng.standard_normal(drawn.shape))
    return grey.round().astype(np.uint16)


def volumes(
    shared: Path, seeds: list[int], snrs: list[float], folder: Path
) -> Iterator[tuple[str, Path]]:
    """Make the phantoms and the lines in noise, and list the real volumes."""
    for snr in snrs:
        for seed in seeds:
            made = folder / f"snr{snr}-{seed}.tif"
            tifffile.imwrite(made, lines_in_noise(snr, seed))
            yield f"lines in white noise: SNR {snr:g}, seed {seed}", made
    for region in REGIONS:
        for seed in seeds:
            made = folder / f"{region}{seed}"
            neuroglow.phantom_cube(made, region=region, seed=seed, shape=(160, 160, 160))
            yield f"phantom: {region}, seed {seed}", made / "image.tif"
    for path in sorted((shared / "data").rglob("*.tif")):
        if not path.stem.endswith("_label"):
            yield path.stem, path


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[5, 6])
    parser.add_argument("--snr", type=float, nargs="*", default=[1, 1.5, 2, 3])
    parser.add_argument("--most", type=float, default=12e6)
    parser.add_argument("--afar", type=float, default=0.05)
    asked = parser.parse_args()
    engine = prepare(MODEL, Machine("openvino"), "cpu")
    print("| volume | tiles | detected | gate: skipped | lost | and from afar: skipped | lost |")
    print("|---|---|---|---|---|---|---|")
    total = np.zeros(6, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in volumes(asked.shared, asked.seeds, asked.snr, Path(folder)):
            numbers = counted(open_volume(path), engine, asked.most, asked.afar)
            total += numbers
            print(f"| {name} | {' | '.join(map(str, numbers))} |", flush=True)
    print(f"| all | {' | '.join(map(str, total))} |")


if __name__ == "__main__":
    main()
