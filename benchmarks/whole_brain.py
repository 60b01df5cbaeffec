"""A phantom brain through predict and trace, against a crop: rate, peak memory, share gated.

    python benchmarks/whole_brain.py --keep FOLDER                             # 2048 x 2048 x 1024
    python benchmarks/whole_brain.py --shape 512,512,256 --crop 128,128,128    # minutes

The brain is an ellipsoid of tissue, with few neurites, puncta, somata, vessels, tracts and its
grain; around it there is the noise of the camera. The crop is a part of it in which as large a
share is tissue.

Each step is a process of its own. Its CPU seconds (user and system) and the peak memory of its
largest process are the kernel's, so that other work on the machine does not matter; the peak is
compared with `--max-memory`. The whole is linear if a voxel of it costs the same as a voxel of the
crop, within 15 %; the start of a process, as measured on a cube of 64 voxels, is left out of this.

With `--keep`, a step that was stopped or killed is resumed by the same command, and its
seconds are added up; one that has ended is not repeated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MAX_MEMORY = "1600MB"
LINEAR = 0.15
START = [64, 64, 64]
TISSUE = 0.95 / 2
"""Half axes of the tissue over the lengths of the volume."""

BRAIN = {
    "seed": 3,
    "region": "sparse",
    "tissue": "ellipsoid",
    "density": [0.02, 0.02],
    "correlation": [0, 0],
    "mode": "resume",
}
CHILD = """
import json, sys
import neuroglow
verb, words, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
getattr(neuroglow, verb)(*words, progress=False, **options)
"""


@dataclass(frozen=True)
class Steps:
    """Steps of one run, and what each has cost so far, in a file."""

    folder: Path

    @property
    def costs(self) -> Path:
        """Name the file: a line for each process."""
        return self.folder / "costs.jsonl"

    def run(self, name: str, verb: str, *words: Path, **options: object) -> list[float]:
        """Run a step that has not ended: CPU seconds, peak bytes, wall seconds, processes."""
        if not any(cost["ended"] for cost in self._of(name)):
            given = [json.dumps([str(word) for word in words]), json.dumps(options)]
            began = time.monotonic()
            child = subprocess.Popen([sys.executable, "-c", CHILD, verb, *given])
            _, status, used = os.wait4(child.pid, 0)
            cost = {
                "step": name,
                "cpu_s": round(used.ru_utime + used.ru_stime, 1),
                "peak": used.ru_maxrss * 1024,
                "wall_s": round(time.monotonic() - began, 1),
                "ended": status == 0,
            }
            with self.costs.open("a") as file:
                file.write(json.dumps(cost) + "\n")
            print(json.dumps(cost), flush=True)
            if status:
                sys.exit(f"{name} was stopped: repeat the command to go on")
        spent = self._of(name)
        sums = [sum(cost[key] for cost in spent) for key in ("cpu_s", "wall_s")]
        return [sums[0], max(cost["peak"] for cost in spent), sums[1], len(spent)]

    def _of(self, name: str) -> list[dict]:
        lines = self.costs.read_text().splitlines() if self.costs.exists() else []
        return [cost for cost in map(json.loads, lines) if cost["step"] == name]


def measure(
    folder: Path, image: Path, shape: list[int], at: list[int], *, traced: bool, workers: int
) -> dict:
    """Predict and trace a box of a brain, in a folder: one row. workers: of the trace, at most."""
    folder.mkdir(exist_ok=True)
    steps, out = Steps(folder), folder / "p.ome.zarr"
    roi = ",".join(f"{a}:{a + n}" for a, n in zip(at, shape, strict=True))
    how = {"max_memory": MAX_MEMORY, "mode": "resume"}
    row = {"shape": shape, "at": at, "voxels": math.prod(shape)}
    row["predict"] = steps.run("predict", "predict", image, out=str(out), roi=roi, **how)
    tiles = json.loads((folder / "p_run.json").read_text()).get("tiles") or {}
    row["gated"] = tiles.get("skipped", 0) / max(1, tiles.get("total", 0))
    if traced:
        how["workers"] = workers
        row["trace"] = steps.run("trace", "trace", out, out=str(folder / "t.swc"), **how)
    return row


def tissue_in(brain: list[int], at: list[int], shape: list[int]) -> float:
    """Estimate the share of tissue in a box of a brain."""
    axes = [
        [((a + n * (k + 0.5) / 24) / whole - 0.5) / TISSUE for k in range(24)]
        for a, n, whole in zip(at, shape, brain, strict=True)
    ]
    inside = [sum(x * x for x in place) < 1 for place in itertools.product(*axes)]
    return sum(inside) / len(inside)


def place_of_crop(brain: list[int], crop: list[int]) -> list[int]:
    """Find where, between corner and middle, a crop has the share of tissue of the whole."""
    whole = tissue_in(brain, [0, 0, 0], brain)
    places = [
        [round((n - c) / 2 * k / 64) // 8 * 8 for n, c in zip(brain, crop, strict=True)]
        for k in range(65)
    ]
    return min(places, key=lambda at: abs(tissue_in(brain, at, crop) - whole))


def show(rows: list[dict]) -> None:
    """Print the rows, and whether a voxel costs the same in both."""
    for row in rows:
        place = " x ".join(map(str, row["shape"]))
        print(f"{place} at {row['at']}: {row['gated']:.1%} of the tiles gated")
        for verb in ("phantom", "predict", "trace"):
            if verb in row:
                cpu, held, wall, processes = row[verb]
                rate = row["voxels"] / cpu / 1e6
                print(
                    f"  {verb:8s} {cpu:8.1f} CPU s, {rate:6.3f} million voxels a CPU second, "
                    f"peak {held / 1e6:6.0f} MB, {wall:8.1f} s, {processes} processes"
                )
    for verb in ("predict", "trace"):
        if not all(verb in row for row in rows):
            continue
        start, *parts = ((row[verb][0], row["voxels"]) for row in rows)
        crop, whole = ((cpu - start[0]) / (size - start[1]) for cpu, size in parts)
        ratio = whole / crop
        linear = "linear" if abs(ratio - 1) <= LINEAR else "NOT linear"
        print(f"{verb}: a voxel of the whole costs {ratio:.3f} of one of the crop: {linear}")
        held = max(row[verb][1] for row in rows)
        print(f"{verb}: at most {held / 1e6:.0f} MB, with --max-memory {MAX_MEMORY}")


def main() -> None:
    """Make the brain, measure its start, a crop and the whole."""
    numbers = lambda text: [int(n) for n in text.split(",")]  # noqa: E731
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shape", type=numbers, default=[2048, 2048, 1024])
    options.add_argument("--crop", type=numbers, default=[512, 512, 512])
    options.add_argument("--keep", type=Path)
    options.add_argument("--no-trace", action="store_true")
    options.add_argument("--workers", type=int, default=1, help="of the trace")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        brain, traced = chosen.shape, not chosen.no_trace
        image = folder / "brain/image.ome.zarr"
        made = Steps(folder).run("phantom", "phantom_brain", image.parent, shape=brain, **BRAIN)
        middle = [(n - 64) // 2 for n in brain]
        at = place_of_crop(brain, chosen.crop)
        rows = [
            measure(folder / name, image, shape, place, traced=traced, workers=chosen.workers)
            for name, shape, place in (
                ("start", START, middle),
                ("crop", chosen.crop, at),
                ("whole", brain, [0, 0, 0]),
            )
        ]
        rows[-1]["phantom"] = made
        show(rows)


if __name__ == "__main__":
    main()
