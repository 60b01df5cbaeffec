"""The train verb: what a run leaves, resumes, refuses, and says when it fails."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

import neuroglow
from neuroglow.cubes.manifest import Cube, write_manifest
from neuroglow.errors import (
    InputError,
    OutputError,
    RunError,
    SettingsError,
    StoppedError,
    WriteError,
)
from neuroglow.files.writing import file_sha256
from neuroglow.network.build import build_network
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.model_settings import FixedInput, ModelSettings
from neuroglow.progress import Progress
from neuroglow.train.learner import Learner
from neuroglow.watching import watched
from running import run
from training_sets import TINY, draw_cube, write_cube, write_pool


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def unbroken(pool, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    return neuroglow.train(pool, out=out, **TINY)


def weights(folder):
    return load_file(folder / "weights.safetensors")


def same(one, other):
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def stop_at(step):
    def tell(progress):
        if progress.unit == "steps" and progress.done == step:
            raise KeyboardInterrupt

    return tell


def command(*words):
    return [sys.executable, "-m", "neuroglow", *map(str, words)]


def config(folder, **settings):
    path = folder / "config.yaml"
    path.write_text(json.dumps(TINY | settings))
    return path


# what a run leaves


def test_a_run_leaves_models_log_pictures_and_a_page(unbroken):
    folder = unbroken.run
    rows = log(folder)
    steps = [row for row in rows if "validation" not in row]
    checks = [row for row in rows if "validation" in row]
    assert [row["step"] for row in steps] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in checks] == [2, 4, 6]
    assert unbroken.scores == max(
        (c["validation"] for c in checks), key=lambda v: v["average_precision"]
    )
    assert sorted(p.name for p in (folder / "pictures").iterdir()) == [
        f"step-{n:06d}.png" for n in (2, 4, 6)
    ]
    page = unbroken.report.read_text()
    assert page.count("<img") == 1
    assert page.index('class="verdict"') < page.index("<svg") < page.index("<table")
    for text in (
        "average precision",
        "cross-entropy",
        "waiting for data",
        "--config",
        "halve_every",
    ):
        assert text in page
    assert ' src="http' not in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_best_model_knows_what_made_it_and_predicts(unbroken):
    model = load_model(unbroken.best)
    settings = model.settings
    assert settings.arguments == {"widths": [4, 8], "blocks": [1, 1]}
    assert settings.halo == 8
    assert settings.normalisation.kind == "noise_units"
    assert settings.threshold == unbroken.scores["threshold"]
    assert settings.training["seed"] == 1
    assert settings.training["cubes"] == {"train": 3, "val": 1}
    assert len(settings.training["manifest_sha256"]) == 64
    probability = neuroglow.predict(draw_cube(9)[0], model=unbroken.best)
    assert probability.shape == (32, 32, 32)
    record = json.loads((unbroken.run / "run.json").read_text())
    assert not set(record["split"]["train"]) & set(record["split"]["val"])


def test_a_network_learns(pool, tmp_path):
    settings = TINY | {"steps": 60, "checkpoint_every": 30, "ema": 0.9}
    report = neuroglow.train(pool, out=tmp_path / "run", **settings)
    rows = [r["loss"] for r in log(report.run) if "loss" in r]
    assert np.mean(rows[-10:]) < 0.7 * np.mean(rows[:10])
    assert report.scores["average_precision"] > 0.9


def test_the_saved_configuration_repeats_the_run(pool, unbroken, tmp_path, capsys):
    status, said = run(
        capsys, "train", pool, "-o", tmp_path / "again", "--config", unbroken.run / "settings.yaml"
    )
    assert status == 0, said
    assert same(unbroken.last, tmp_path / "again/checkpoints/last")
    assert "6 steps; best model" in said
    assert "step 2/6" not in said


def test_a_phantom_pool_brings_its_legend(tmp_path, capsys):
    status, said = run(
        capsys, "phantom", "pool", "-o", tmp_path / "pool", "--cubes", 3, "--size", 32, "--seed", 2
    )
    assert status == 0, said
    for name, source in (("table", "pool/manifest.csv"), ("folder", "pool")):
        settings = TINY | {"steps": 1, "val_fraction": 0}
        report = neuroglow.train(tmp_path / source, out=tmp_path / name, **settings)
        cubes = json.loads((report.run / "cache/pool.json").read_text())["cubes"]
        for number, cube in enumerate(cubes):
            kept = np.load(report.run / f"cache/{number:05d}-label.npy")
            assert np.array_equal(
                kept, tifffile.imread(tmp_path / f"pool/label/{cube['name']}.tif")
            )
            assert (kept == 2).any()


def test_cubes_that_nobody_annotated_are_named(tmp_path, capsys):
    write_pool(tmp_path, 3)
    write_cube(tmp_path, 3, label=np.zeros((32, 32, 32), np.uint8))
    for number in (4, 5):
        write_cube(tmp_path, number)
        (tmp_path / f"label/c{number}.tif").unlink()
    words = ("--steps", 1, "--val-fraction", 0, "--config", config(tmp_path))
    status, said = run(capsys, "train", tmp_path, "-o", tmp_path / "run", *words)
    assert status == 0, said
    assert "1 cube without a labelled neurite was taken as background: c3" in said
    assert "2 cubes without a label were left out: c4, c5" in said
    assert "2 without a label were left out" in (tmp_path / "run/report.html").read_text()


@pytest.mark.parametrize("loss", ["db_enhance", "bce_dice_cldice"])
def test_db_enhances_recipe_and_cldice_run(pool, tmp_path, loss):
    recipe = {
        "network": "voxresnet",
        "normalisation": "db_enhance",
        "loss": loss,
        "optimiser": "sgd",
        "sampling": "db_enhance",
        "augment": "db_enhance",
    }
    settings = {"patch": 16, "batch": 1, "steps": 2, "halo": 0} | recipe
    report = neuroglow.train(pool, out=tmp_path / "run", **settings)
    assert load_model(report.best).settings.normalisation == FixedInput(
        low=0, high=1500, mean=168.5, std=500
    )


def test_bfloat16_trains(pool, tmp_path):
    report = neuroglow.train(pool, out=tmp_path / "run", **TINY | {"precision": "bfloat16"})
    assert all(np.isfinite(row.get("loss", 0)) for row in log(report.run))


# resume


def test_killed_and_resumed_is_unbroken_bit_for_bit(pool, tmp_path):
    settings = config(tmp_path, steps=20, checkpoint_every=4, sampling="hard")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ["train", pool, "--config", settings]
    process = subprocess.Popen(command(*words, "-o", broken), stderr=subprocess.PIPE)
    while process.poll() is None:
        if (broken / "log.jsonl").exists() and (broken / "log.jsonl").read_text().count("\n") > 8:
            os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.002)
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert not (broken / "report.html").exists()
    assert (broken / "checkpoints/resume.pt").exists()
    neuroglow.train(pool, out=whole, **json.loads(settings.read_text()))
    neuroglow.train(pool, out=broken, mode="resume")
    for name in ("last", "best"):
        assert same(whole / f"checkpoints/{name}", broken / f"checkpoints/{name}")
    timeless = [
        [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in log(folder)]
        for folder in (whole, broken)
    ]
    assert timeless[0] == timeless[1]
    assert [row["step"] for row in timeless[1] if "loss" in row] == list(range(1, 21))


KILLED = """
import os, signal, sys
from pathlib import Path
from neuroglow.cli import main
from neuroglow.train.session import Session
left = [int(sys.argv.pop(1))]
def deadly(real):
    def move(*arguments):
        left[0] -= Session.keeping
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return move
def keep(session, real=Session.keep):
    Session.keeping = session.learner.step == 4
    real(session)
Session.keeping, Session.keep = False, keep
Path.rename, Path.replace = deadly(Path.rename), deadly(Path.replace)
main()
"""


@pytest.mark.parametrize("moves", [1, 4])
def test_killed_in_a_checkpoint_and_resumed_is_unbroken(pool, unbroken, tmp_path, moves):
    out = tmp_path / "run"
    words = ["train", str(pool), "-o", str(out), "--config", str(config(tmp_path))]
    words = [sys.executable, "-c", KILLED, str(moves), *words]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "report.html").exists()
    neuroglow.train(pool, out=out, mode="resume")
    for name in ("last", "best"):
        assert same(unbroken.run / f"checkpoints/{name}", out / f"checkpoints/{name}")
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["best", "last", "resume.pt"]


@pytest.mark.parametrize(
    "changed", [{"optimiser": "sgd"}, {"sampling": "hard"}, {"precision": "bfloat16"}]
)
def test_stopped_and_resumed_is_unbroken(pool, tmp_path, changed):
    settings = TINY | changed
    whole = neuroglow.train(pool, out=tmp_path / "whole", **settings)
    broken = tmp_path / "broken"
    with pytest.raises(StoppedError, match=r"--resume continues after step 3") as stopped:
        neuroglow.train(pool, out=broken, on_progress=stop_at(3), **settings)
    assert stopped.value.exit_status == 130
    after = neuroglow.train(pool, out=broken, mode="resume")
    assert same(whole.last, after.last)
    assert after.scores == whole.scores


def test_a_run_stopped_before_its_first_checkpoint_begins_again(pool, unbroken, tmp_path):
    with pytest.raises(StoppedError):
        neuroglow.train(pool, out=tmp_path / "run", on_progress=stop_at(1), **TINY)
    after = neuroglow.train(pool, out=tmp_path / "run", mode="resume")
    assert same(unbroken.last, after.last)


def test_a_finished_run_is_resumed_to_the_same(pool, unbroken):
    before = weights(unbroken.last)
    again = neuroglow.train(pool, out=unbroken.run, mode="resume", steps=6)
    assert again.scores == unbroken.scores
    assert all(torch.equal(before[k], v) for k, v in weights(again.last).items())


def test_what_cannot_be_resumed_is_named(pool, unbroken, tmp_path):
    with pytest.raises(SettingsError, match=r"found: steps 7, begun with 6"):
        neuroglow.train(pool, out=unbroken.run, mode="resume", steps=7)
    with pytest.raises(InputError, match=r"different content[\s\S]*--from"):
        neuroglow.train(write_pool(tmp_path / "other", 5), out=unbroken.run, mode="resume")
    with pytest.raises(InputError, match=r"no run\.json"):
        neuroglow.train(pool, out=tmp_path / "none", mode="resume")
    with pytest.raises(OutputError, match=r"found: a run[\s\S]*--resume continues"):
        neuroglow.train(pool, out=unbroken.run, **TINY)


@pytest.mark.parametrize("when", ["steps", "cubes"])
def test_ctrl_c_is_heeded_between_steps_and_all_of_them_are_kept(pool, unbroken, tmp_path, when):
    def press(progress):
        if progress.unit == when and progress.work != "reading cubes" and progress.done:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(StoppedError, match=r"--resume continues after step [12]"):
        neuroglow.train(pool, out=tmp_path / "run", on_progress=press, **TINY)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    after = neuroglow.train(pool, out=tmp_path / "run", mode="resume", **TINY)
    assert same(unbroken.last, after.last)
    assert log_without_times(after.run) == log_without_times(unbroken.run)


def log_without_times(run):
    return [{k: v for k, v in r.items() if k not in ("seconds", "waiting")} for r in log(run)]


def test_a_run_that_was_begun_is_never_replaced_silently(pool, unbroken, tmp_path):
    def stop(progress):
        if progress.work == "reading cubes" and progress.done:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(
        StoppedError, match=r"no step is kept[\s\S]*--resume continues after step 0"
    ):
        neuroglow.train(pool, out=out, on_progress=stop, **TINY)
    with pytest.raises(OutputError, match=r"a run that was begun[\s\S]*--resume continues"):
        neuroglow.train(pool, out=out, **TINY | {"seed": 9})
    assert same(neuroglow.train(pool, out=out, mode="resume", **TINY).last, unbroken.last)


def test_a_run_that_could_not_begin_leaves_nothing(pool, tmp_path):
    with pytest.raises(neuroglow.NeuroglowError, match="the model must be a known name"):
        neuroglow.train(pool, out=tmp_path / "run", from_model="nowhere", steps=2)
    assert not (tmp_path / "run").exists()


def test_the_model_that_a_run_starts_from_is_scored_on_the_same_cubes(pool, unbroken, tmp_path):
    settings = {**TINY, "steps": 2, "checkpoint_every": 2, "from_model": str(unbroken.best)}
    settings = {k: v for k, v in settings.items() if k not in ("network", "widths", "blocks")}
    report = neuroglow.train(pool, out=tmp_path / "run", **settings)
    assert report.started == pytest.approx(unbroken.scores, abs=1e-6)
    assert report.scores["average_precision"] >= report.started["average_precision"]
    assert "started from" in report.report.read_text()
    again = neuroglow.train(pool, out=report.run, mode="resume", **settings)  # the same command
    assert again.started == report.started


def test_two_runs_do_not_share_a_folder(pool, tmp_path):
    inner = []

    def tell(progress):
        if progress.unit == "steps" and not inner:
            with pytest.raises(OutputError, match="another process is working on it"):
                neuroglow.train(pool, out=tmp_path / "run", mode="resume")
            inner.append(progress.done)

    neuroglow.train(pool, out=tmp_path / "run", on_progress=tell, **TINY | {"steps": 2})
    assert inner == [0]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(OutputError, match="found: other files"):
        neuroglow.train(pool, out=tmp_path / "mine", **TINY)
    with pytest.raises(OutputError, match="found: a file"):
        neuroglow.train(pool, out=tmp_path / "mine/notes.txt", **TINY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits files as Linux does")
@pytest.mark.parametrize(("room", "where"), [(40_000, "cache"), (100_000, "resume.pt")])
def test_without_room_it_ends_with_a_message_and_is_resumed(pool, unbroken, tmp_path, room, where):
    import resource

    out = tmp_path / "run"
    if where == "resume.pt":
        with pytest.raises(StoppedError):
            neuroglow.train(pool, out=out, on_progress=stop_at(3), **TINY)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(WriteError, match=rf"on a disk with enough space[\s\S]*{where}"):
            neuroglow.train(pool, out=out, **TINY, mode="resume" if out.exists() else "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    again = neuroglow.train(pool, out=out, **TINY, mode="resume" if out.exists() else "new")
    assert same(unbroken.last, again.last)
    assert same(unbroken.best, again.best)


def test_cubes_are_opened_by_one_thread_at_a_time(tmp_path, monkeypatch):
    """In Python 3.11, threads that parse headers at the same time can fail."""
    from neuroglow.train import pool as module

    real, opened = np.load, []

    def load(file, *args, **options):
        opened.append(module.MAPPING.locked())
        return real(file, *args, **options)

    monkeypatch.setattr(module.np, "load", load)
    cube = module.PooledCube("a", "train", tmp_path / "a", (2, 2, 2), None, 1, 1)
    for what in ("image", "label", "spots"):
        np.save(f"{cube.stem}-{what}.npy", np.zeros((2, 2, 2)))
        getattr(cube, what)()
    assert opened == [True] * 3


def test_a_damaged_state_is_named(pool, tmp_path):
    with pytest.raises(StoppedError):
        neuroglow.train(pool, out=tmp_path / "run", on_progress=stop_at(3), **TINY)
    state = tmp_path / "run/checkpoints/resume.pt"
    state.write_bytes(state.read_bytes()[:5000])
    with pytest.raises(neuroglow.NeuroglowError, match=r"resume\.pt[\s\S]*checkpoints/last"):
        neuroglow.train(pool, out=tmp_path / "run", mode="resume")


# transfer


@pytest.mark.parametrize("name", ["glow", "voxresnet"])
def test_a_frozen_encoder_does_not_change(pool, tmp_path, name):
    arguments = {"widths": [4, 8], "blocks": [1, 1]} if name == "glow" else {}
    network = build_network(name, arguments)
    known = ModelSettings(
        name="start",
        network=name,
        arguments=arguments,
        normalisation=FixedInput(low=0, high=1000, mean=300, std=50),
        halo=4,
        threshold=0.4,
    )
    start = save_model(tmp_path / "start", network, known)
    report = neuroglow.train(
        pool,
        out=tmp_path / "run",
        from_model=start,
        freeze_encoder=True,
        steps=2,
        batch=1,
        patch=16,
        ema=0.0,
        precision="float32",
    )
    before, after = weights(start), weights(report.last)
    frozen = ("stem", "down", "encode") if name == "glow" else ("conv", "bn_act", "res")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert not [key for key in changed if key.startswith(frozen)]
    settings = load_model(report.last).settings
    assert settings.normalisation == known.normalisation
    assert settings.arguments == arguments
    assert settings.training["from"]["model"] == "start"


def test_transfer_begins_with_the_models_weights(pool, unbroken, tmp_path):
    report = neuroglow.train(
        pool,
        out=tmp_path / "run",
        from_model=unbroken.last,
        **{k: v for k, v in TINY.items() if k != "widths"} | {"steps": 1, "learning_rate": 1e-12},
    )
    before, after = weights(unbroken.last), weights(report.last)
    assert report.run != unbroken.run
    for key, value in before.items():
        if "running" not in key and "num" not in key:
            torch.testing.assert_close(after[key], value, rtol=0, atol=1e-9)


# stopping early, and no validation


def test_it_stops_when_nothing_gets_better(pool, tmp_path):
    settings = TINY | {"steps": 200, "patience": 2, "learning_rate": 1e-9, "checkpoint_every": 1}
    report = neuroglow.train(pool, out=tmp_path / "run", **settings)
    assert report.steps < 200
    scores = [r["validation"]["average_precision"] for r in log(report.run) if "validation" in r]
    assert max(scores[-2:]) <= max(scores[:-2])
    assert load_model(report.best).settings.training["step"] == int(np.argmax(scores)) + 1


def test_without_validation_the_last_model_is_the_best(tmp_path):
    write_cube(tmp_path, 0)
    report = neuroglow.train(tmp_path, out=tmp_path / "run", **TINY, val_fraction=0)
    assert report.scores == {}
    assert same(report.best, report.last)
    assert "performance on unseen data is not known" in report.report.read_text()


# what goes wrong


def test_wrong_inputs_are_named_before_anything_is_made(unbroken, tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", 3)
    out = tmp_path / "run"
    cases = {
        ("--patch", "18"): (r"multiple of the network's stride, 4", 2),
        ("--patch", "8", "--precision", "bfloat16"): ("at least three strides, 12 voxels", 2),
        ("--network", "unet"): ("setting 'network'", 2),
        ("--device", "cuda:9"): ("the device must be available on this machine", 2),
        ("--from", "nowhere"): ("the model must be a known name", 2),
        ("--from", unbroken.run.parent): ("the model must be a known name", 2),
        ("--label-map", "1=axon"): ("a legend is VALUE=MEANING", 2),
    }
    for words, (message, expected) in cases.items():
        path = out.with_name("run" + "".join(map(str, words)).replace("/", ""))
        tiny = () if "--from" in words else ("--config", config(tmp_path))
        status, said = run(capsys, "train", pool, "-o", path, *tiny, *words)
        assert status == expected, said
        assert message in said
        assert not (path / "checkpoints/last").exists()


def test_wrong_training_sets_are_named(tmp_path, capsys):
    settings = config(tmp_path)

    def fails(folder):
        status, said = run(
            capsys, "train", folder, "-o", tmp_path / "run" / folder.name, "--config", settings
        )
        assert status == 2, said
        return said

    missing = write_pool(tmp_path / "missing", 2)
    table = write_manifest(
        [
            Cube("a", missing / "image/c0.tif", missing / "label/none.tif"),
            Cube("b", missing / "image/c1.tif"),
        ],
        tmp_path / "missing.csv",
    )
    assert "label/none.tif" in fails(table)
    changed = write_pool(tmp_path / "changed", 2)
    cubes = [
        Cube(
            f"c{i}",
            changed / f"image/c{i}.tif",
            changed / f"label/c{i}.tif",
            image_sha256=file_sha256(changed / f"image/c{i}.tif"),
        )
        for i in range(2)
    ]
    write_manifest(cubes, tmp_path / "changed.csv")
    write_cube(changed, 1, image=draw_cube(7)[0])
    assert "different content (SHA-256)" in fails(tmp_path / "changed.csv")
    shaped = write_pool(tmp_path / "shaped", 2)
    write_cube(shaped, 1, label=np.ones((8, 9, 10), np.uint8))
    assert "found: (8, 9, 10), but (32, 32, 32) in " in fails(shaped)
    empty = write_pool(tmp_path / "empty", 2)
    for i in range(2):
        write_cube(empty, i, label=np.zeros((32, 32, 32), np.uint8))
    assert "no neurite voxel in the labels" in fails(empty)
    alone = write_pool(tmp_path / "alone", 1)
    assert "--val-fraction 0" in fails(alone)
    assert "a CSV file, or a folder" in fails(tmp_path / "nowhere")


def test_a_run_that_failed_over_its_cubes_is_begun_again_once_they_are_right(tmp_path):
    pool = write_pool(tmp_path / "pool", 2)
    with pytest.raises(InputError, match="labelled cubes to train on"):
        neuroglow.train(pool / "image", out=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()
    write_cube(pool, 1, label=np.ones((8, 9, 10), np.uint8))
    with pytest.raises(InputError, match="label"):
        neuroglow.train(pool, out=tmp_path / "run", **TINY)
    write_pool(pool, 2)
    assert neuroglow.train(pool, out=tmp_path / "run", **TINY).steps == 6


def test_a_loss_that_is_no_number_says_at_which_step_and_cube(pool, tmp_path, capsys):
    out = tmp_path / "run"
    with pytest.raises(StoppedError):
        neuroglow.train(pool, out=out, on_progress=stop_at(3), **TINY | {"sampling": "uniform"})
    before = weights(out / "checkpoints/last")
    train = [
        c["name"]
        for c in json.loads((out / "cache/pool.json").read_text())["cubes"]
        if c["split"] == "train"
    ]
    for number, name in enumerate(f"c{i}" for i in range(4)):
        if name != train[0]:
            np.load(out / f"cache/{number:05d}-image.npy", mmap_mode="r+")[:] = np.nan
    status, said = run(capsys, "train", pool, "-o", out, "--resume")
    assert status == 1
    assert "the loss must be a number" in said
    assert "nan at step" in said
    assert any(f"cube {name}" in said for name in train[1:])
    assert train[0] not in said.split("where:")[1].split("cure:")[0]
    assert "checkpoint after step" in said
    assert all(torch.isfinite(v).all() for v in weights(out / "checkpoints/last").values())
    assert before.keys() == weights(out / "checkpoints/last").keys()


def test_a_learning_rate_too_large_ends_with_a_message(pool, tmp_path):
    wild = TINY | {"optimiser": "sgd", "learning_rate": 1e30, "clip": 1e9}
    with pytest.raises(RunError, match=r"(nan|inf) at step \d[\s\S]*smaller learning rate"):
        neuroglow.train(pool, out=tmp_path / "run", **wild)


def test_probabilities_that_are_no_numbers_are_named(pool, tmp_path):
    wild = {"learning_rate": 1e30, "clip": 1e30, "checkpoint_every": 1}
    expected = (
        r"probabilities of 'c.' must be numbers[\s\S]*smaller learning rate[\s\S]*no checkpoint"
    )
    with pytest.raises(RunError, match=expected):
        neuroglow.train(pool, out=tmp_path / "run", **TINY | wild)


def test_weights_that_are_lost_in_the_last_step_are_not_kept(pool, tmp_path, monkeypatch):
    def descend(learner, loss, real=Learner._descend):
        real(learner, loss)
        if learner.step == 4:
            next(learner.network.parameters()).data.fill_(np.nan)

    monkeypatch.setattr(Learner, "_descend", descend)
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"must stay finite[\s\S]*step 4[\s\S]*after step 2 remains"):
        neuroglow.train(pool, out=out, **TINY | {"val_fraction": 0.0})
    assert all(torch.isfinite(v).all() for v in weights(out / "checkpoints/last").values())


def test_a_learning_rate_beyond_all_numbers_is_refused(pool, tmp_path):
    with pytest.raises(SettingsError, match="learning_rate"):
        neuroglow.train(pool, out=tmp_path / "run", **TINY | {"learning_rate": 1e300})


OUT_OF_MEMORY = """
import re, resource, sys, torch, scipy.ndimage
from pathlib import Path
import neuroglow.train.learner
from neuroglow.cli import main
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv.pop(1)),) * 2)
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
def test_too_little_memory_for_the_network_is_named(pool, tmp_path):
    settings = config(tmp_path, patch=96, widths=(128, 128), augment="none", halo=0)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            OUT_OF_MEMORY,
            "400000000",
            "train",
            pool,
            "-o",
            tmp_path / "run",
            "--config",
            settings,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "out of memory at 2x" in done.stderr
    assert "a smaller --batch or --patch" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_little_memory_for_the_patches_is_named(pool, tmp_path):
    with pytest.raises(RunError, match=r"out of memory at 2x65536x65536x65536 voxels") as error:
        neuroglow.train(pool, out=tmp_path / "run", **TINY | {"patch": 65536})
    assert error.value.exit_status == 1


# what people watch


def test_a_line_is_said_when_asked_and_nothing_else_in_a_pipe(pool, tmp_path, capsys):
    status, said = run(
        capsys,
        "train",
        pool,
        "-o",
        tmp_path / "run",
        "--config",
        config(tmp_path),
        "--say-every",
        "3",
    )
    assert status == 0, said
    assert "training: 3/6 steps" in said
    assert ", loss " in said
    assert ", AP " in said
    assert "5/6 steps" not in said


def test_a_terminal_shows_where_the_run_stands():
    from rich.console import Console

    now = iter(range(0, 1000, 10))
    row = {"step": 5, "loss": 0.5, "seconds": 2.0, "waiting": 0.1, "learning_rate": 1e-3}
    check = {"step": 5, "validation": {"average_precision": 0.7, "dice": 0.6}}
    screen = Console(width=120, file=io.StringIO(), force_terminal=True, force_interactive=True)
    with watched("opening", console=screen, clock=lambda: next(now)) as tell:
        tell(Progress("reading cubes", 1, 4, "cubes"))
        tell(Progress("training", 4, 30, "steps", row | {"step": 4}))
        tell(Progress("training", 5, 30, "steps", row))
    shown = screen.file.getvalue()
    assert "5/30 steps, 0:04:10 left" in shown
    assert "2.00 s, 5.0% of it waiting for data" in shown
    with watched("opening", console=screen) as tell:
        tell(Progress("validating", 1, 1, "cubes", check))
    assert "AP 0.700, Dice 0.600, step 5" in screen.file.getvalue()


def test_a_missing_tensorboard_is_named_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    status, said = run(capsys, "train", "nowhere", "-o", tmp_path / "run", "--tensorboard")
    assert status == 2
    assert "pip install neuroglow[tensorboard]" in said
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_same_figures(pool, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = neuroglow.train(pool, out=tmp_path / "run", **TINY, tensorboard=True)
    events = EventAccumulator(str(report.run / "tensorboard")).Reload()
    losses = [row["loss"] for row in log(report.run) if "loss" in row]
    assert [e.value for e in events.Scalars("training/loss")] == pytest.approx(losses)
    assert len(events.Scalars("validation/dice")) == 3
