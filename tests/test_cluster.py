"""Runs on a cluster: real processes over loopback, which are killed, stopped, late, or strangers."""

import os
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.space.blockwise import BlockReport, run_blocks
from neuroglow.space.cluster import work_at
from test_blockwise import BLOCKS, Fault, Smooth, memory, pids, result_is_whole, traces
from test_predict import save_tiny, small_blocks
from test_receipts import bytes_in

pytest.importorskip("distributed", reason="Dask (extra `cluster`) is not installed")
from clusters import Loopback, end

SHAPE = (96, 96, 96)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    started = Loopback(tmp_path_factory.mktemp("cluster"))
    yield started
    started.close()


@pytest.fixture
def folder(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 1000, (19, 37, 23), dtype=np.uint16)
    np.save(tmp_path / "in.npy", voxels)
    np.save(tmp_path / "out.npy", np.zeros(voxels.shape, np.int64))
    return tmp_path


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    path = tmp_path_factory.mktemp("volume") / "brain.tif"
    noise = np.random.default_rng(1).normal(300, 20, SHAPE).astype(np.uint16)
    noise[40:43, 40:43, :] += 400
    tifffile.imwrite(path, noise)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "tiny"))


def on(cluster, work, **how):
    with work_at(cluster.address) as place:
        return run_blocks(work, BLOCKS, ledger=memory(), workers=place.workers(1), **how)


def test_blocked_equals_whole_on_a_cluster(cluster, folder):
    report = on(cluster, Smooth(folder))
    assert report == BlockReport(total=18, done=14, skipped=4, failed={}, resumed=0)
    assert result_is_whole(folder)
    assert pids(folder) <= set(cluster.pids())


def test_a_worker_that_is_killed_once_costs_no_block(cluster, tmp_path):
    assert on(cluster, Fault("killed", tmp_path, once=True)).ok
    assert len(traces(tmp_path, 7)) == 2


def test_a_block_that_kills_its_workers_is_named_and_the_others_complete(cluster, tmp_path):
    report = on(cluster, Fault("killed", tmp_path))
    assert list(report.failed) == [7]
    assert "the worker died" in report.failed[7]
    assert report.done == 17


def predicted(volume, model, out, **how):
    how = {"model": model, "max_memory": small_blocks(model), "gate": False} | how
    neuroglow.predict(volume, out=out / "p.ome.zarr", precision="float32", **how)


def surveyed(volume, model, out, **how):
    neuroglow.survey(volume, out=out / "s.csv", cube=24, min_tissue=0, **how)


VERBS = {"predict": predicted, "survey": surveyed}


def made_by(out):
    """Give the bytes of an output, but not of the record, which says how it was made."""
    return {name: text for name, text in bytes_in(out).items() if not name.endswith("_run.json")}


@pytest.fixture(scope="module")
def serial(tmp_path_factory, volume, model):
    """What each verb makes in this thread, and a function that does the same elsewhere."""
    made = {}
    for verb, run in VERBS.items():
        out = tmp_path_factory.mktemp(verb)
        run(volume, model, out)
        made[verb] = (made_by(out), partial(run, volume, model))
    return made


@pytest.mark.parametrize("verb", VERBS)
def test_a_worker_killed_one_stopped_and_one_late_leave_the_output_as_it_is(
    cluster, serial, tmp_path, verb
):
    expected, again = serial[verb]
    killed, stopped, _ = cluster.pids()
    late = []

    def meddle(progress):
        if not late:
            os.kill(stopped, signal.SIGSTOP)
            os.kill(killed, signal.SIGKILL)
            late.append(cluster.join())

    again(tmp_path, scheduler=cluster.address, on_progress=meddle)
    assert made_by(tmp_path) == expected
    end(late[0])
    cluster.wait_for(3)


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_driver_is_resumed_to_the_same_bytes(cluster, serial, tmp_path, verb):
    expected, again = serial[verb]
    code = (
        f"import {__name__} as t, pathlib, sys\n"
        "volume, model, out, address = sys.argv[1:]\n"
        f"t.VERBS[{verb!r}](volume, model, pathlib.Path(out), scheduler=address, on_progress=t.die)"
    )
    words = [*again.args, tmp_path, cluster.address]
    path = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")]
    seen = []
    again(tmp_path, mode="resume", scheduler=cluster.address, on_progress=seen.append)
    assert seen[0].done > 0
    assert made_by(tmp_path) == expected


def die(progress):
    """Kill this driver once some of the work is done."""
    if progress.total and 0.2 < progress.done / progress.total < 1:
        os.kill(os.getpid(), signal.SIGKILL)
