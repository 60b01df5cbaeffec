"""`--max-memory` is kept: the peak of a whole process, as the operating system counts it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from lines import draw, random_walks
from neuroglow.errors import BlocksFailedError, SettingsError
from neuroglow.formats.opening import open_volume
from neuroglow.predict.planned import Prediction
from neuroglow.predict.settings import PredictSettings
from neuroglow.runs import free_memory
from neuroglow.runs.free_memory import EACH, machine_memory, usual_memory
from neuroglow.space.arrays import ArrayVolume
from test_every_verb import Inputs, blocks, converted, predicted, traced
from test_predict import small_blocks

__all__ = ["blocks"]  # a fixture

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's VmHWM is Linux's")

CHILD = """
import json, sys
import neuroglow
verb, source, out, options = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
getattr(neuroglow, verb)(source, out=out, progress=False, **options)
status = open("/proc/self/status").read().split("VmHWM:")[1]  # ru_maxrss would be the parent's too
print(int(status.split()[0]) * 1024)
"""


def peak(verb, source, out, **options):
    """Run a verb in a process of its own; return the most memory that it held at once, in bytes."""
    words = [sys.executable, "-c", CHILD, verb, str(source), str(out), json.dumps(options)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@linux
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one strip", "sparse"])
def test_convert_keeps_to_its_memory(tmp_path, kind):
    options = {"max_memory": "300MB", "shard": (64, 128, 128)}
    if kind == "one strip":  # of each plane, so that each part of a plane decodes all of it
        source = tmp_path / "slices"
        source.mkdir()
        plane = np.random.default_rng(0).integers(0, 99, (500, 700), np.uint16)
        for z in range(64):
            tifffile.imwrite(source / f"{z:03}.tif", plane, compression="zlib", rowsperstrip=500)
    else:  # 32 GB in a few kilobytes, in chunks of 32 MB of which ten at once would be too many
        source = tmp_path / "sparse.zarr"
        shape = (2000, 2000, 4000)
        made = zarr.create_array(store=source, shape=shape, chunks=(252,) * 3, dtype=np.uint16)
        made[1000:1010, 1000:1010, 1000:1600:10] = 5
        options |= {"roi": "960:1024,960:1280,960:1600"}
    assert peak("convert", source, tmp_path / "a.ome.zarr", **options) < 300e6


@linux
@pytest.mark.slow
def test_predict_keeps_to_its_memory(tmp_path):
    image = np.random.default_rng(1).normal(100, 8, (64, 96, 128)).astype(np.uint16)
    image[30:33, 40:43] += 200
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib")
    out = tmp_path / "p.ome.zarr"
    assert peak("predict", tmp_path / "a.tif", out, max_memory="350MB") < 350e6


@linux
@pytest.mark.slow
def test_trace_keeps_to_its_memory(tmp_path):
    """By regions; a copy of the volume as float32 would not fit, whatever the lines."""
    source, around = tmp_path / "p.zarr", (64, 160, 160)
    made = zarr.create_array(store=source, shape=(160, 512, 512), chunks=(64,) * 3, dtype=np.uint8)
    lit = draw(*random_walks(np.random.default_rng(2), around, 25), shape=around)
    made[60:124, 180:340, 180:340] = (255 * lit).astype(np.uint8)
    options = {"threshold": 0.5, "voxel_size": (1, 1, 1), "region": 256, "max_memory": "360MB"}
    assert peak("trace", source, tmp_path / "t.swc", **options) < 360e6
    assert (tmp_path / "t_trees.csv").read_text().count("\n") > 5


def test_a_chunk_as_large_as_memory_is_refused(tmp_path):
    zarr.create_array(
        store=tmp_path / "a.zarr", shape=(600,) * 3, chunks=(600,) * 3, dtype=np.uint16
    )
    settings = PredictSettings.of({"max_memory": "600MB"}).with_dtype("uint8")
    with pytest.raises(SettingsError, match=r"(?s)of 432 MB.*neuroglow convert"):
        Prediction.plan(open_volume(tmp_path / "a.zarr"), settings, None)


GIB = 1 << 30
NONE = 9223372036854771712
V1 = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)
V2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")


def machine(root, kind=None, job=(NONE, 0), above=(NONE, 0), cached=0):
    """Write what the kernel of a machine of 64 GiB says to a process of a job."""
    lay = {"proc/meminfo": f"MemTotal: {64 << 20} kB\nMemFree: 1 kB\nMemAvailable: {40 << 20} kB\n"}
    if kind:
        base, limit, used, cache = kind
        lay["proc/self/cgroup"] = "0::/slurm/job\n" if kind is V2 else "0::/\n4:memory:/slurm/job\n"
        for place, (most, now) in {"slurm": above, "slurm/job": job}.items():
            said = "max" if kind is V2 and most == NONE else most
            lay |= {f"{base}/{place}/{limit}": said, f"{base}/{place}/{used}": now}
            lay |= {f"{base}/{place}/memory.stat": f"anon 1\n{cache} {cached}\n"}
    for name, text in lay.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(str(text))
    return machine_memory(root)


@pytest.mark.parametrize("kind", [V1, V2])
def test_the_memory_is_that_of_the_machine_within_the_limits_of_its_job(tmp_path, kind):
    assert machine(tmp_path / "a") == (64 * GIB, 40 * GIB)
    assert machine(tmp_path / "b", kind) == (64 * GIB, 40 * GIB)
    assert machine(tmp_path / "c", kind, job=(8 * GIB, 3 * GIB)) == (8 * GIB, 5 * GIB)
    assert machine(tmp_path / "d", kind, above=(6 * GIB, 5 * GIB)) == (6 * GIB, GIB)
    cached = machine(tmp_path / "e", kind, job=(8 * GIB, 3 * GIB), cached=2 * GIB)
    assert cached == (8 * GIB, 7 * GIB), "files that it holds make room"


def test_a_run_takes_the_usual_memory_and_at_most_half_of_what_is_free(monkeypatch):
    for free, workers, taken in [(40 * GIB, 1, EACH), (40 * GIB, 4, 4 * EACH), (GIB, 4, GIB // 2)]:
        monkeypatch.setattr(free_memory, "machine_memory", lambda free=free: (64 * GIB, free))
        assert usual_memory(workers) == taken
    monkeypatch.setattr(free_memory, "machine_memory", lambda: (None, None))
    assert usual_memory(2) == 2 * EACH


def test_a_prediction_takes_more_memory_where_halos_would_cost_much(monkeypatch):
    model = PredictSettings().model
    small, cube, brain = (
        ArrayVolume(np.broadcast_to(np.uint8(0), (n,) * 3)) for n in (300, 384, 9000)
    )
    for free, volume, how, taken in [
        (100 * GIB, small, {}, EACH),
        (100 * GIB, cube, {}, 4 * EACH),
        (100 * GIB, brain, {}, 2 * EACH),
        (100 * GIB, brain, {"max_memory": EACH}, EACH),
        (100 * GIB, brain, {"shard": "1/2"}, EACH),
        (8 * 10**9, brain, {}, 2 * EACH),
        (2 * 10**9, brain, {}, 10**9),
    ]:
        monkeypatch.setattr(free_memory, "machine_memory", lambda free=free: (200 * GIB, free))
        settings = PredictSettings.of({"model": model, "precision": "float32"} | how)
        planned = Prediction.plan(volume, settings.with_dtype("uint8"), None)
        assert planned.settings.memory == taken, (free, how)


@pytest.mark.slow
@pytest.mark.parametrize("run", [predicted, converted, traced])
def test_an_unfinished_run_goes_on_with_its_memory(tmp_path, monkeypatch, blocks, run):
    """Its blocks were planned for it, whatever is free now."""
    given, asked, out = Inputs(tmp_path), [], tmp_path / "out"
    small = small_blocks(given.model, 300_000) if run is predicted else 500_000_000

    def free(workers):
        asked.append(workers)
        return small if len(asked) == 1 else 4_000_000_000

    monkeypatch.setattr(free_memory, "usual_memory", free)
    blocks.fault = "a torn chunk"
    with pytest.raises(BlocksFailedError):
        run(given, out, max_memory=None)
    blocks.fault = ""
    run(given, out, max_memory=None, mode="resume")
    assert asked == [1]
