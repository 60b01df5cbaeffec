"""Memory and time from middle lines to trees, by the length of the lines.

    python benchmarks/trace_memory.py [--lines 100 1000 4000] [--side 400]

Random straight lines, one voxel thin, in a synthetic volume; each number of lines is traced in a
process of its own, from the middle lines on. The volume itself is never held. Prints the voxels of
line, the trees, the growth of the process's peak memory, and the seconds of the processor.
"""

from __future__ import annotations

import argparse
import resource
import time
from multiprocessing import get_context

import numpy as np

from neuroglow.skeleton.middles import Middles
from neuroglow.skeleton.thinning import keys_of
from neuroglow.skeleton.tracer import Rules, Views, trace_lines
from neuroglow.space.geometry import Box

UNIT = (1.0, 1.0, 1.0)
LENGTH, SEED = 100, 1


def random_lines(count: int, side: int) -> Middles:
    """Draw lines of LENGTH voxels at random."""
    rng = np.random.default_rng([SEED, count])
    ways = rng.standard_normal((count, 1, 3))
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    along = np.arange(LENGTH)[:, None]
    places = np.rint(rng.uniform(0, side, (count, 1, 3)) + along * ways).astype(np.int64)
    places = places.reshape(-1, 3)
    places = places[((places >= 0) & (places < side)).all(axis=1)]
    _, first = np.unique(keys_of(places, (side,) * 3), return_index=True)
    ones = np.ones(len(first), np.float32)
    return Middles(places[first], np.zeros((len(first), 3), np.float32), ones, ones, ones)


def measure(count: int, side: int) -> tuple[int, int, float, float]:
    """Trace lines; return their voxels, the trees, MB and seconds."""
    middles, shape = random_lines(count, side), (side,) * 3

    def read(box: Box) -> np.ndarray:
        return np.zeros(box.shape, np.float32)

    trace_lines(  # loads what the tracer imports
        Views(read, read),
        shape,
        UNIT,
        Rules.usual(0.5, UNIT),
        find=lambda *_, **__: random_lines(9, side),
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    trees, _ = trace_lines(
        Views(read, read), shape, UNIT, Rules.usual(0.5, UNIT), find=lambda *_, **__: middles
    )
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return len(middles.places), len(trees), grown / 1024, seconds


def main() -> None:
    """Read the command line, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, nargs="+", default=[100, 1000, 4000])
    parser.add_argument("--side", type=int, default=400)
    asked = parser.parse_args()
    print("| voxels of line | trees | MB | kB a voxel | seconds |\n|---|---|---|---|---|")
    for count in asked.lines:
        with get_context("spawn").Pool(1) as pool:
            voxels, trees, grown, seconds = pool.apply(measure, (count, asked.side))
        cells = f"{voxels} | {trees} | {grown:.0f} | {1024 * grown / voxels:.2f} | {seconds:.1f}"
        print(f"| {cells} |", flush=True)


if __name__ == "__main__":
    main()
