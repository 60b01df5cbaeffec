"""A phantom brain through predict and trace, against a crop: rate, peak memory, share gated.

    python benchmarks/whole_brain.py --shape 2048,2048,1024 --crop 512,512,512
    python benchmarks/whole_brain.py --shape 256,512,512 --crop 256,256,256    # minutes

Each step is a process of its own. Its CPU seconds (user and system) and its peak memory (the
kernel's VmHWM) are counted, so that other work on the machine does not matter; the peak is compared
with `--max-memory`. The whole is linear if a voxel of it costs the same as a voxel of the crop,
within 15 %; the start of a process, as measured on a cube of 64 voxels, is left out of this.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

MAX_MEMORY = "1600MB"
LINEAR = 0.15

CHILD = """
import json, resource, sys, time
import neuroglow
verb, words, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
began = time.monotonic()
getattr(neuroglow, verb)(*words, progress=False, **options)
use = resource.getrusage(resource.RUSAGE_SELF)
held = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps([use.ru_utime + use.ru_stime, held, time.monotonic() - began]))
"""


def step(verb, *words, **options):
    """Run one verb: its CPU seconds, its peak memory in bytes, its wall seconds."""
    given = [sys.executable, "-c", CHILD, verb, json.dumps(list(map(str, words)))]
    done = subprocess.run([*given, json.dumps(options)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(shape, folder, *, traced):
    """Make a phantom brain of a shape, predict it, trace it: one row."""
    made = folder / "brain"
    row = {"shape": shape, "voxels": math.prod(shape)}
    row["phantom"] = step("phantom_brain", made, shape=shape, seed=3, region="sparse")
    image = made / "image.ome.zarr"
    out = folder / "p.ome.zarr"
    row["predict"] = step("predict", image, out=str(out), max_memory=MAX_MEMORY)
    record = json.loads((folder / "p_run.json").read_text())
    tiles = record.get("tiles") or {}
    row["gated"] = tiles.get("skipped", 0) / max(1, tiles.get("total", 0))
    if traced:
        given = {"raw": str(image), "max_memory": MAX_MEMORY}
        row["trace"] = step("trace", out, out=str(folder / "t.swc"), **given)
    return row


def show(rows):
    """Print the rows, and whether a voxel costs the same in both."""
    for row in rows:
        print(" x ".join(map(str, row["shape"])), f"  {row['gated']:.0%} of the tiles gated")
        for verb in ("phantom", "predict", "trace"):
            if verb in row:
                cpu, held, wall = row[verb]
                rate = row["voxels"] / cpu / 1e6
                print(
                    f"  {verb:8s} {cpu:8.1f} CPU s, {rate:6.3f} million voxels a CPU second, "
                    f"peak {held / 1e6:6.0f} MB, {wall:6.1f} s"
                )
    for verb in ("predict", "trace"):
        if not all(verb in row for row in rows):
            continue
        start, *parts = ((row[verb][0], row["voxels"]) for row in rows)
        crop, whole = ((cpu - start[0]) / (size - start[1]) for cpu, size in parts)
        ratio = whole / crop
        linear = "linear" if abs(ratio - 1) <= LINEAR else "NOT linear"
        print(f"{verb}: a voxel of the whole costs {ratio:.3f} of one of the crop: {linear}")
        held = max(row[verb][1] for row in rows if verb in row)
        print(f"{verb}: at most {held / 1e6:.0f} MB, with --max-memory {MAX_MEMORY}")


def main():
    """Measure the crop and the whole."""
    numbers = lambda text: [int(n) for n in text.split(",")]  # noqa: E731
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--shape", type=numbers, default=[2048, 2048, 1024])
    options.add_argument("--crop", type=numbers, default=[512, 512, 512])
    options.add_argument("--no-trace", action="store_true")
    chosen = options.parse_args()
    rows = []
    for shape in ([64, 64, 64], chosen.crop, chosen.shape):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(shape, Path(folder), traced=not chosen.no_trace))
            print(json.dumps(rows[-1]), flush=True)
    show(rows)


if __name__ == "__main__":
    main()
