"""`--max-memory` is kept: the peak of a whole process, as the operating system counts it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from neuroglow.errors import SettingsError
from neuroglow.predict.planned import Prediction
from neuroglow.predict.settings import PredictSettings
from neuroglow.space.opening import open_volume

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


def test_a_chunk_as_large_as_memory_is_refused(tmp_path):
    zarr.create_array(
        store=tmp_path / "a.zarr", shape=(600,) * 3, chunks=(600,) * 3, dtype=np.uint16
    )
    settings = PredictSettings.of({"max_memory": "600MB"}).with_dtype("uint8")
    with pytest.raises(SettingsError, match=r"(?s)of 432 MB.*neuroglow convert"):
        Prediction.plan(open_volume(tmp_path / "a.zarr"), settings, None)
