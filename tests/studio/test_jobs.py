"""Jobs are commands of their own: they outlive the studio, stop as by Ctrl-C, and go on."""

import os
import signal
import time

import numpy as np
import pytest
import tifffile
import typer

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx, to ask the studio")

from asking import error_of, studio_of

from neuroglow.cli.commands import app as command_line
from neuroglow.studio import jobs as jobs_room
from neuroglow.studio import orders
from neuroglow.studio.inside import Inside
from neuroglow.studio.studio import Studio

SOON_S = 120


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(5)
    voxels = rng.normal(400, 20, (64, 64, 64))
    voxels[32, 20:24, :] += 300
    tifffile.imwrite(tmp_path / "a.tif", voxels.astype(np.uint16), imagej=True)
    return tmp_path


@pytest.fixture
def nothing_begins(monkeypatch):
    """Let all jobs wait, so that no process is started."""
    monkeypatch.setattr(jobs_room, "AT_ONCE", 0)


def until(ask, name, states):
    """Wait until a job has one of these states."""
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        job = ask.get(f"/api/jobs/{name}").json()
        if job["state"] in states:
            return job
        time.sleep(0.05)
    raise AssertionError(f"still {job['state']}: {job['log']}")


def some_volumes(folder):
    for name in ("b.tif", "c.tif"):
        (folder / name).write_bytes((folder / "a.tif").read_bytes())
    return {"verb": "predict", "inputs": ["a.tif", "b.tif", "c.tif"], "views": 1}


def test_volumes_of_a_folder_are_one_order_of_several_parts(folder, nothing_begins):
    ask = studio_of(folder)
    order = some_volumes(folder)
    assert ask.post("/api/jobs", {**order, "out": "../x"}).status_code == 403
    job = ask.post("/api/jobs", order).json()
    assert job["command"] == "neuroglow predict a.tif b.tif c.tif --views=1 --out=."
    assert [(part["output"], part["state"]) for part in job["parts"]] == [
        ("a_prob.tif", "waiting"), ("b_prob.tif", "waiting"), ("c_prob.tif", "waiting"),
    ]  # fmt: skip
    again = ask.post("/api/jobs", {**order, "inputs": ["c.tif", "b.tif"]})
    assert error_of(again)["rule"] == "two jobs do not write the same output"
    ask.post("/api/volume/voxel-size", {"path": "b.tif", "voxel_size": [2, 1, 1]})
    (folder / "c_prob.tif").write_bytes(b"mine")
    assert (
        error_of(ask.post("/api/jobs", {**order, "inputs": ["a.tif", "b.tif"]}))["where"] == "b.tif"
    )
    there = ask.post("/api/jobs", {**order, "inputs": ["a.tif", "c.tif"]})
    assert error_of(there)["where"] == "c_prob.tif"


@pytest.mark.slow
def test_a_job_on_several_volumes_is_stopped_and_goes_on_with_those_that_are_left(folder):
    ask = studio_of(folder)
    name = ask.post("/api/jobs", some_volumes(folder)).json()["id"]
    end = time.monotonic() + SOON_S
    while ask.get(f"/api/jobs/{name}").json()["parts"][0]["state"] != "done":
        assert time.monotonic() < end
        time.sleep(0.02)
    ask.post(f"/api/jobs/{name}/cancel")
    stopped = until(ask, name, ("cancelled", "done"))
    assert stopped["state"] == "cancelled"
    assert stopped["parts"][0] == {
        "input": "a.tif", "output": "a_prob.tif", "state": "done", "progress": 1.0,
    }  # fmt: skip
    assert 1 / 3 <= stopped["progress"] < 1
    before = (folder / "a_prob.tif").stat().st_mtime_ns
    ask.post(f"/api/jobs/{name}/resume")
    done = until(ask, name, ("done", "failed"))
    assert [part["state"] for part in done["parts"]] == ["done"] * 3, done["log"]
    assert (folder / "a_prob.tif").stat().st_mtime_ns == before
    assert all((folder / part["output"]).is_file() for part in done["parts"])


PREDICT = {"verb": "predict", "inputs": ["a.tif"], "voxel_size": [2, 1, 1]}


@pytest.mark.slow
def test_a_job_is_the_command_and_leaves_what_it_leaves(folder):
    for name in ("typer", "numpy", "neuroglow"):  # nothing of the folder is executed
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name} was executed')")
    ask = studio_of(folder)
    ordered = ask.post("/api/jobs", PREDICT)
    assert ordered.status_code == 201
    job = until(ask, ordered.json()["id"], ("done", "failed", "lost"))
    assert job["state"] == "done", job["log"]
    assert job["command"] == "neuroglow predict a.tif --out=a_prob.ome.zarr --voxel-size=2,1,1"
    assert (job["progress"], job["exit"]) == (1.0, 0)
    assert (folder / "a_run.json").is_file()
    shown = ask.get("/api/volume", path="a_prob.ome.zarr").json()
    assert (shown["kind"], shown["shape"], shown["voxel_size"]) == (
        "probability",
        [64, 64, 64],
        [2, 1, 1],
    )
    listed = {item["path"]: item for item in ask.get("/api/folder").json()["items"]}
    assert listed["a_prob.ome.zarr"]["belongs_to"] == ["a.tif"]
    again = ask.post("/api/jobs", PREDICT | {"out": "a_prob.ome.zarr"})
    assert again.status_code == 409


@pytest.mark.slow
def test_a_job_killed_or_stopped_goes_on_in_another_studio(folder):
    ask = studio_of(folder)
    name = ask.post("/api/jobs", PREDICT).json()["id"]
    job = jobs_room.Job(folder / ".neuroglow-studio/jobs" / name)
    assert os.getsid(job.pid()) == job.pid()  # it does not end with the studio's terminal
    os.killpg(job.pid(), signal.SIGKILL)
    other = studio_of(folder)
    assert until(other, name, ("lost", "failed"))["state"] == "lost"
    assert other.post(f"/api/jobs/{name}/resume").json()["state"] == "running"
    assert other.post(f"/api/jobs/{name}/cancel").status_code == 200
    stopped = until(other, name, ("cancelled", "done", "lost", "failed"))
    assert stopped["state"] == "cancelled", stopped["log"]
    assert other.post(f"/api/jobs/{name}/cancel").status_code == 409
    other.post(f"/api/jobs/{name}/resume")
    done = until(other, name, ("done", "failed", "lost", "cancelled"))
    assert done["state"] == "done", done["log"]
    assert "--resume" in done["log"]
    assert other.post(f"/api/jobs/{name}/resume").status_code == 409


@pytest.mark.slow
def test_a_job_that_fails_says_why(folder):
    (folder / "b.tif").write_bytes(b"II*\0 no image")
    ask = studio_of(folder)
    name = ask.post("/api/jobs", PREDICT | {"inputs": ["b.tif"]}).json()["id"]
    job = until(ask, name, ("done", "failed", "lost", "cancelled"))
    assert job["state"] == "failed"
    assert not job["can_resume"]  # nothing was begun
    (folder / f"{job['output']}.partial").mkdir()
    assert ask.get(f"/api/jobs/{name}").json()["can_resume"]
    assert job["exit"] in (1, 2)
    assert "neuroglow: " in job["log"]


def test_jobs_wait_for_their_turn_and_are_limited(folder, nothing_begins, monkeypatch):
    monkeypatch.setattr(jobs_room, "WAITING", 2)
    ask = studio_of(folder)
    first = ask.post("/api/jobs", PREDICT).json()
    assert (first["state"], first["output"]) == ("waiting", "a_prob.ome.zarr")
    same = ask.post("/api/jobs", PREDICT | {"out": "a_prob.ome.zarr"})
    assert same.status_code == 409
    assert first["id"] in error_of(same)["found"]
    assert ask.post("/api/jobs", PREDICT | {"out": "c.tif"}).status_code == 201
    many = ask.post("/api/jobs", PREDICT | {"out": "d.tif"})
    assert many.status_code == 429
    assert ask.post(f"/api/jobs/{first['id']}/cancel").json()["state"] == "cancelled"
    assert ask.post("/api/jobs", PREDICT | {"out": "d.tif"}).status_code == 201
    assert len(ask.get("/api/jobs").json()["jobs"]) == 3
    assert ask.get("/api/jobs/20990101-000000-00000000").status_code == 404


def test_every_option_of_an_order_is_one_of_the_command_line():
    commands = typer.main.get_command(command_line).commands
    for order in orders.Order.__subclasses__():
        verb = order.model_fields["verb"].annotation.__args__[0]
        known = {name for p in commands[verb].params for name in p.opts}
        for name in set(order.model_fields) - {"verb", *order.places}:
            flag = orders.FLAGS.get(name, "--" + name.replace("_", "-"))
            assert flag in known, f"{verb} {flag}"


def test_every_text_of_an_order_is_a_path_a_model_or_of_a_pattern(folder, nothing_begins):
    for order in orders.Order.__subclasses__():
        for name, field in order.model_fields.items():
            schema = str(order.model_json_schema()["properties"][name])
            text = "'type': 'string'" in schema
            fixed = any(word in schema for word in ("'pattern'", "'enum'", "'const'"))
            role = orders._role([*field.metadata, field.annotation])
            assert not text or fixed or role, f"{order.__name__}.{name}"


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ["../a.tif"]},
        {"inputs": ["/etc/passwd"]},
        {"inputs": ["out"]},
        {"inputs": []},
        {"inputs": ["s3://bucket/a.zarr"]},
        {"out": "../b.tif"},
        {"out": "/tmp/b.tif"},
        {"out": "out/b.tif"},
        {"out": ""},
        {"out": "."},
        {"out": ".neuroglow-studio/b.tif"},
        {"model": "../m"},
        {"model": "/etc"},
        {"model": "out"},
        {"model": "no-such-model"},
        {"model": "evil.ckpt"},
        {"roi": "--config=/etc/passwd"},
        {"roi": "0:1,0:1,0:1\n--restart"},
        {"max_memory": "1GB --restart"},
        {"device": "cuda:0; rm"},
        {"voxel_size": [1, 1]},
        {"voxel_size": [0, 1, 1]},
        {"config": "x.yaml"},
        {"restart": True},
        {"shard": "1/2"},
        {"verb": "demo"},
        {"verb": "phantom"},
        {"workers": 10_000},
        {"threshold": "NaN"},
    ],
)
def test_an_order_that_leads_out_is_refused(folder, tmp_path_factory, nothing_begins, change):
    outside = tmp_path_factory.mktemp("outside")
    (folder / "out").symlink_to(outside)
    (folder / "evil.ckpt").write_bytes(b"\x80\x04cos\nsystem\n")
    ask = studio_of(folder)
    answer = ask.post("/api/jobs", PREDICT | change)
    assert 400 <= answer.status_code < 500, answer.text
    error_of(answer)
    assert not ask.get("/api/jobs").json()["jobs"]
    assert not list(outside.iterdir())


def test_a_name_that_looks_like_an_option_stays_a_name(folder, nothing_begins):
    (folder / "--restart").mkdir()
    (folder / "a.tif").rename(folder / "--restart/a.tif")
    words = Studio.of(folder).jobs.order(
        orders.PredictOrder(verb="predict", inputs=["--restart/a.tif"])
    )
    assert words.read()["words"][1] == "./--restart/a.tif"


def test_free_names_never_meet_what_is_there(folder):
    inside = Inside(folder)
    assert orders.free_name(inside, "a.tif", "_prob.ome.zarr") == "a_prob.ome.zarr"
    (folder / "a_prob.ome.zarr.partial").mkdir()
    assert orders.free_name(inside, "a.tif", "_prob.ome.zarr") == "a_prob_2.ome.zarr"
    (folder / "a_prob_2.ome.zarr").mkdir()
    assert orders.free_name(inside, "a.tif", "_prob.ome.zarr") == "a_prob_3.ome.zarr"
    assert orders.free_name(inside, "a_prob_2.ome.zarr", ".swc") == "a_prob_2.swc"
