"""Measure how soon the studio shows a large volume, what it holds in memory, how fast one scrolls.

    python benchmarks/studio.py [--tif FILE] [--folder DIR]

Makes an OME-Zarr of 2048 x 2048 x 1024 voxels of noise (once, in DIR: about 100 MB, because only a
part of its shards is written; the others read as 0), serves it by the command in a process of its
own, and asks over HTTP as the page does:

- first: seconds until the volume is described and the first chunks of its coarsest level are there,
  in a studio that has just been started; the start itself is told apart
- memory: the most that the server has held (RSS)
- planes: planes a second through the finest level, in a window of 512 x 512 voxels: each next plane
  of the volume, whose chunks are asked for once for every 64 planes, by six connections
- decode: CPU milliseconds of the parts of a chunk in this process: read from the zarr (decoded),
  decoded alone, packed for the cache and unpacked; what passing chunks on as stored would save
- the same for a TIFF (`--tif`; else one of 303 x 303 x 303 noise is made), whose levels are made
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import imagecodecs
import numpy as np
import tifffile

from neuroglow.formats.opening import create_volume
from neuroglow.space.geometry import Box
from neuroglow.space.volume import VolumeSpec
from neuroglow.studio.chunks import on_the_wire, packed
from neuroglow.studio.studio import Studio
from neuroglow.studio.zarr_view import chunk_bytes, chunk_shape

SHAPE = (1024, 2048, 2048)
SHARD = 256
WINDOW = 512
CONNECTIONS = 6


def make_zarr(path):
    """Write noise into every eighth shard, and into all of the middle where planes are scrolled."""
    rng = np.random.default_rng(0)
    noise = rng.normal(400, 30, (SHARD,) * 3).astype(np.uint16)
    new = create_volume(path, VolumeSpec(SHAPE, np.dtype(np.uint16), (1, 1, 1), (SHARD,) * 3))
    for z in range(0, SHAPE[0], SHARD):
        for y in range(0, SHAPE[1], SHARD):
            for x in range(0, SHAPE[2], SHARD):
                middle = y // SHARD in (3, 4) and x // SHARD in (3, 4)
                if middle or (z + y + x) // SHARD % 8 == 0:
                    box = Box((z, y, x), (z + SHARD, y + SHARD, x + SHARD))
                    new.write(box, noise)
    new.finish()


class Served:
    """A studio in a process of its own, and connections to it."""

    def __init__(self, folder):
        began = time.perf_counter()
        words = [sys.executable, "-m", "neuroglow", "studio", str(folder), "--no-browser"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        port, token = re.search(r":(\d+)/#token=(\S+)", line).groups()
        headers = {"authorization": f"Bearer {token}", "accept-encoding": "gzip"}
        self.ask = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120)
        self.ask.get("/api/models")
        self.started_s = time.perf_counter() - began

    def memory_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def cpu_s(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self):
        self.process.terminate()
        self.process.wait()


def chunks_of(box, chunk):
    """List the chunks that a box reaches."""
    spans = [range(a // c, -(-b // c)) for a, b, c in zip(box.start, box.stop, chunk, strict=True)]
    return [(z, y, x) for z in spans[0] for y in spans[1] for x in spans[2]]


def fetch(served, path, level, indices):
    """Fetch chunks as a browser does, over a few connections."""

    def one(index):
        answer = served.ask.get(f"/zarr/{path}/{level}/c/{'/'.join(map(str, index))}")
        answer.raise_for_status()
        return len(answer.content)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return sum(pool.map(one, indices))


def first_picture(served, path):
    """Describe a volume, and fetch its coarsest level: three slices and a projection of it."""
    began, cpu = time.perf_counter(), served.cpu_s()
    about = served.ask.get("/api/volume", params={"path": path}).json()
    level = len(about["levels"]) - 1
    array = served.ask.get(f"/zarr/{path}/{level}/zarr.json").json()
    chunk = array["chunk_grid"]["configuration"]["chunk_shape"]
    fetch(served, path, level, chunks_of(Box.of(array["shape"]), chunk))
    return time.perf_counter() - began, served.cpu_s() - cpu


def planes_a_second(served, path, planes):
    """Scroll through planes of the finest level, in the middle."""
    array = served.ask.get(f"/zarr/{path}/0/zarr.json").json()
    chunk, (z, y, x) = array["chunk_grid"]["configuration"]["chunk_shape"], array["shape"]
    side, planes = min(WINDOW, y, x), min(planes, z)
    y0, x0, had = (y - side) // 2, (x - side) // 2, set()
    began, cpu = time.perf_counter(), served.cpu_s()
    for plane in range(planes):
        box = Box((plane, y0, x0), (plane + 1, y0 + side, x0 + side))
        new = [index for index in chunks_of(box, chunk) if index not in had]
        fetch(served, path, 0, new)
        had.update(new)
    seconds = time.perf_counter() - began
    return planes / seconds, planes / max(served.cpu_s() - cpu, 1e-9)


def decode_cost(folder, path, count=40):
    """CPU milliseconds of a stored chunk, by its parts; a chunk as stored cannot be sent: browsers
    undo no blosc, and its decoder needs `unsafe-eval`, which the page's rules forbid."""
    shown = Studio.of(folder).volumes.show(path)
    chunk = Box(
        (512, 768, 768),
        tuple(a + n for a, n in zip((512, 768, 768), chunk_shape(shown, 0), strict=True)),
    )
    voxels = chunk_bytes(shown, 0, chunk)
    stored = imagecodecs.blosc_encode(voxels, compressor="zstd", level=3, shuffle=1, typesize=2)
    kept = packed(voxels, 2)
    parts = {
        "read": lambda: chunk_bytes(shown, 0, chunk),
        "decode": lambda: imagecodecs.blosc_decode(stored, numthreads=1),
        "pack": lambda: packed(voxels, 2),
        "unpack": lambda: on_the_wire(kept, gzip=False),
    }
    found = {}
    for name, act in parts.items():
        began = time.process_time()
        for _ in range(count):
            act()
        found[f"{name}_cpu_ms"] = round(1000 * (time.process_time() - began) / count, 2)
    return found


def measure(folder, path, planes):
    served = Served(folder)
    try:
        seconds, cpu = first_picture(served, path)
        rate, cpu_rate = planes_a_second(served, path, planes)
        found = {
            "path": path,
            "start_s": served.started_s,
            "first_s": seconds,
            "first_cpu_s": cpu,
            "planes_per_s": rate,
            "planes_per_cpu_s": cpu_rate,
            "memory_mb": served.memory_mb(),
        }
    finally:
        served.stop()
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in found.items()}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--tif", type=Path)
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "big.ome.zarr").exists():
            make_zarr(folder / "big.ome.zarr")
        tif = folder / "cube.tif"
        if not tif.exists():
            noise = np.random.default_rng(1).normal(400, 30, (303,) * 3).astype(np.uint16)
            voxels = tifffile.imread(given.tif) if given.tif else noise
            tifffile.imwrite(tif, voxels, imagej=True, metadata={"axes": "ZYX"})
        for path, planes in (("big.ome.zarr", 256), ("cube.tif", 303)):
            print(json.dumps(measure(folder, path, planes)))
        print(json.dumps(decode_cost(folder, "big.ome.zarr")))
    print("driver", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")


if __name__ == "__main__":
    main()
