"""Runs on a cluster: real processes over loopback, which are killed, stopped, late, or strangers."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
import tifffile
import zarr

import neuroglow
from lines import draw, straight
from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.cluster import work_at
from neuroglow.errors import BlocksFailedError, SettingsError
from neuroglow.network.stored import read_model
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
    lit = draw(*[straight((8 * i, 5, 20), (8 * i, 60, 40)) for i in range(1, 8)])
    tifffile.imwrite(path.with_name("found.tif"), lit.astype(np.float32))
    tifffile.imwrite(path.with_name("raw.tif"), noise[tuple(map(slice, lit.shape))])
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


def test_an_evaluation_on_a_cluster_has_the_same_scores(cluster, volume, tmp_path):
    truth = tmp_path / "truth.tif"
    tifffile.imwrite(truth, (tifffile.imread(volume.with_name("found.tif")) > 0.5).astype(np.uint8))
    found = volume.with_name("found.tif")
    here = neuroglow.evaluate(found, truth, block=64)
    there = neuroglow.evaluate(
        found, truth, out=tmp_path / "r", block=64, scheduler=cluster.address
    )
    assert there.results["volumes"] == here.results["volumes"]


def predicted(volume, model, out, **how):
    how = {"model": model, "max_memory": small_blocks(model), "gate": False} | how
    neuroglow.predict(volume, out=out / "p.ome.zarr", precision="float32", **how)


def surveyed(volume, model, out, **how):
    neuroglow.survey(volume, out=out / "s.csv", cube=24, min_tissue=0, **how)


def traced(volume, model, out, **how):
    """Trace as a whole in this thread; by regions, as a run for each of their steps, elsewhere."""
    how = {"block": 32, "threshold": 0.5, "region": 32 if "scheduler" in how else None} | how
    found, raw = (Path(volume).with_name(name) for name in ("found.tif", "raw.tif"))
    neuroglow.trace(found, out=out / "t.swc", raw=raw, **how)


VERBS = {"predict": predicted, "survey": surveyed, "trace": traced}


BEFORE = ("checking", "middle lines")
"""Work of a trace before its regions, in which this is tested."""

HOW = ("_run.json", "_trees.json", "_trees.html")


def made_by(out):
    """Give the bytes of an output, but not of the record and page, which say how it was made."""
    return {name: text for name, text in bytes_in(out).items() if not name.endswith(HOW)}


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
        if not late and progress.work not in BEFORE:
            os.kill(stopped, signal.SIGSTOP)
            os.kill(killed, signal.SIGKILL)
            late.append(cluster.join())

    again(tmp_path, scheduler=cluster.address, on_progress=meddle)
    assert made_by(tmp_path) == expected
    assert late
    end(late[0])
    cluster.wait_for(3)


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_driver_is_resumed_to_the_same_bytes(cluster, serial, tmp_path, verb):
    expected, again = serial[verb]
    code = (
        f"import {__name__} as t, pathlib, sys\n"
        "volume, model, out, address = sys.argv[1:]\n"
        f"t.VERBS[{verb!r}](volume, model, pathlib.Path(out), scheduler=address, on_progress=t.dying(out))"
    )
    words = [*again.args, tmp_path, cluster.address]
    path = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    (ledger,) = tmp_path.glob("*.partial/ledger.jsonl")
    assert len(ledger.read_text().splitlines()) > 1
    again(tmp_path, mode="resume", scheduler=cluster.address)
    assert made_by(tmp_path) == expected


def dying(out):
    """Kill this driver once some of the work is done, and in its ledger."""

    def die(progress):
        ready = progress.total and 0.2 < progress.done / progress.total < 1
        if ready and progress.work not in BEFORE:
            (ledger,) = Path(out).glob("*.partial/ledger.jsonl")
            if len(ledger.read_bytes().splitlines()) > 1:
                os.kill(os.getpid(), signal.SIGKILL)

    return die


def test_a_block_that_never_ends_is_named_and_its_workers_are_started_again(cluster, tmp_path):
    """One chunk of the input is a pipe into which nobody writes, as on a server that is gone."""
    brain, cut = tmp_path / "in.ome.zarr", {"chunk": (16, 32, 32), "shard": (16, 32, 32)}
    voxels = np.random.default_rng(0).integers(1, 99, (48, 32, 32), dtype=np.uint8)
    neuroglow.convert(voxels, out=brain, **cut)
    chunk = brain / "0/c/1/0/0"
    chunk.unlink()
    os.mkfifo(chunk)
    how = {"scheduler": cluster.address, "time_limit": 2, **cut}
    before = set(cluster.pids())
    with pytest.raises(BlocksFailedError, match=r"block 1 .* did not end within 2 s") as caught:
        neuroglow.convert(brain, out=tmp_path / "out.ome.zarr", **how)
    assert "2 of 3 blocks complete" in str(caught.value)
    cluster.wait_for(3)
    assert len(before - set(cluster.pids())) >= 1


def test_a_pyramid_on_a_cluster_is_the_same(cluster, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 99, (150, 260, 300), dtype=np.uint8)
    for name in ("here", "there"):
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w")
        group.create_array("0", data=voxels, chunks=(50, 130, 150))
    neuroglow.pyramid(tmp_path / "here.zarr")
    neuroglow.pyramid(tmp_path / "there.zarr", scheduler=cluster.address)
    assert bytes_in(tmp_path / "there.zarr" / "1") == bytes_in(tmp_path / "here.zarr" / "1")


def test_a_worker_that_stops_for_a_moment_costs_nothing(cluster, folder):
    """A network that drops: no word from a worker, for less than the time that Dask waits."""
    stopped, seen = cluster.pids()[0], []

    def drop(progress):
        seen.append(progress.done)
        if len(seen) == 1:
            os.kill(stopped, signal.SIGSTOP)
            Timer(2, os.kill, (stopped, signal.SIGCONT)).start()

    assert on(cluster, Smooth(folder), on_progress=drop).ok
    assert result_is_whole(folder)
    assert stopped in cluster.pids()
    assert len(traces(folder)) == 18


def test_a_worker_of_another_version_is_refused_by_name(cluster, folder, tmp_path_factory):
    old = tmp_path_factory.mktemp("old") / "neuroglow-0.0.9.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: neuroglow\nVersion: 0.0.9\n")
    path = os.pathsep.join([str(old.parent), *sys.path])
    stranger = cluster.join(PYTHONPATH=path)
    cluster.wait_for(4)
    try:
        with pytest.raises(SettingsError, match="every worker") as caught:
            on(cluster, Smooth(folder))
        assert f"it has neuroglow 0.0.9, this run needs {neuroglow.__version__}" in str(
            caught.value
        )
        assert "worker tcp://127.0.0.1:" in str(caught.value)
    finally:
        end(stranger)
        cluster.wait_for(3)
    assert not traces(folder)


def test_a_stranger_that_joins_later_is_sent_away(cluster, folder, tmp_path_factory, caplog):
    old = tmp_path_factory.mktemp("old") / "neuroglow-0.0.9.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: neuroglow\nVersion: 0.0.9\n")
    late = []

    def meddle(progress):
        if not late:
            late.append(cluster.join(PYTHONPATH=os.pathsep.join([str(old.parent), *sys.path])))
            cluster.wait_for(4)

    try:
        assert on(cluster, Smooth(folder), on_progress=meddle).ok
    finally:
        end(late[0])
        cluster.wait_for(3)
    assert "it has neuroglow 0.0.9" in caplog.text
    assert result_is_whole(folder)


def test_another_model_at_its_place_is_refused_by_name(cluster, volume, tmp_path, monkeypatch):
    folder = save_tiny(tmp_path / "tiny")
    first = neuroglow.load_model(folder)
    monkeypatch.setattr("neuroglow.network.enhance.ModelOnDevice.load", None)  # not in this process
    changed = replace(read_model(folder), sha256="0" * 64)
    monkeypatch.setattr(sys.modules["neuroglow.predict.planned"], "read_model", lambda _: changed)
    assert first.sha256 != changed.sha256
    with pytest.raises(SettingsError, match="every worker") as caught:
        predicted(volume, str(folder), tmp_path, scheduler=cluster.address)
    assert "worker tcp://" in str(caught.value)
    assert "another model at its place" in str(caught.value)
    assert not (tmp_path / "p.ome.zarr.partial").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its open pipes
def test_jobs_of_a_profile_do_the_same(folder, tmp_path, monkeypatch):
    """dask-jobqueue's own local cluster stands for SLURM's: the same way, but for the queue."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    profile = tmp_path / "local.yaml"
    profile.write_text("scheduler: local\njobs: 2\ncores: 1\nmemory: 1GB\nwait_s: 100\n")
    with work_at(str(profile)) as place:
        report = run_blocks(Smooth(folder), BLOCKS, ledger=memory(), workers=place.workers(1))
    assert report.ok
    assert result_is_whole(folder)
    assert os.getpid() not in pids(folder)


def test_no_scheduler_and_no_worker_are_said(tmp_path, volume, model):
    with pytest.raises(SettingsError, match="must answer"):
        predicted(volume, model, tmp_path, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(SettingsError, match="files to a file"):
        neuroglow.predict(np.zeros((8, 8, 8), np.uint16), scheduler="tcp://127.0.0.1:1")
