"""Laws of predict: blocked equals whole, resumed equals unbroken, nothing mixed, nothing lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from neuroglow import predict
from neuroglow.errors import OutputError
from neuroglow.formats.opening import open_volume
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.db_enhance import import_db_enhance
from neuroglow.network.glownet import GlowNet
from neuroglow.network.machine import bytes_per_voxel, choose_machine, prepare, process_bytes
from neuroglow.network.model_settings import ModelSettings, NoiseUnitsInput
from neuroglow.network.stored import read_model
from neuroglow.phantom import NEURITE, PhantomSettings, make_phantom
from neuroglow.predict import planned
from neuroglow.predict.settings import PredictSettings
from neuroglow.runs.unfinished import Unfinished
from running import run

SHAPE = (70, 90, 140)
HALO = 16  # covers the tiny network's receptive field
EXACT = {"precision": "float32", "dtype": "float32"}


def tiny_network(seed=0):
    torch.manual_seed(seed)
    network = GlowNet(widths=(4,), blocks=(1,))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
    return network


def save_tiny(folder, seed=0):
    settings = ModelSettings(
        name=folder.name,
        network="glow",
        arguments={"widths": [4], "blocks": [1]},
        normalisation=NoiseUnitsInput(),
        halo=HALO,
        threshold=0.5,
    )
    return save_model(folder, tiny_network(seed), settings)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "tiny"))


@pytest.fixture(scope="session")
def image():
    settings = PhantomSettings(shape=SHAPE, neurites=(8, 8), snr=(3, 10))
    return make_phantom(np.random.default_rng(0), settings).image


@pytest.fixture
def tif(tmp_path, image):
    path = tmp_path / "brain.tif"
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        metadata={"spacing": 2.0, "unit": "um", "axes": "ZYX"},
        resolution=(1, 1),
    )
    return path


def small_blocks(model, voxels=520_000, engine="auto"):
    """Give memory to read so many voxels at a time, in float32: by default half of the volume."""
    machine = exact_machine(model, engine)
    network = load_model(model).settings.network
    return process_bytes(machine) + sum(bytes_per_voxel(network, machine)) * voxels


def exact_machine(model, engine="auto"):
    """Choose as predict does what a model runs on here."""
    settings = load_model(model).settings
    return choose_machine(settings, engine=engine, device="auto", precision="float32")


def tree_bytes(folder):
    """The files of an OME-Zarr; its own name, which it states once, is taken out."""
    files = {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    named = f'"name": "{folder.name.removesuffix(".ome.zarr")}"'.encode()
    head = Path("zarr.json")
    assert files[head].count(named) == 1
    return files | {head: files[head].replace(named, b'"name": ""')}


# --- laws ------------------------------------------------------------------------------------


def test_blocked_equals_whole_where_the_halo_covers_the_receptive_field(image, model):
    whole = predict(image, model=model, gate=False, max_memory=4 * 10**9, **EXACT)
    blocked = predict(image, model=model, gate=False, max_memory=small_blocks(model), **EXACT)
    assert whole.std() > 0.01
    assert np.abs(whole - blocked).max() <= 1e-6


def test_a_halo_that_is_too_small_shows_a_seam(image, model):
    """The law above can fail: without a halo it does."""
    whole = predict(image, model=model, gate=False, max_memory=4 * 10**9, **EXACT)
    blocked = predict(
        image, model=model, gate=False, halo=0, max_memory=small_blocks(model), **EXACT
    )
    assert np.abs(whole - blocked).max() > 1e-3


def test_mirrored_views_know_no_direction(model):
    """The mean over all mirrored views of a mirrored block is the mirrored mean."""
    runner = prepare(read_model(model), exact_machine(model), "cpu")
    x = np.random.default_rng(3).normal(size=(12, 16, 20)).astype(np.float32)
    mean = runner.probability(x, views=8)
    for axis in range(3):
        turned = runner.probability(np.ascontiguousarray(np.flip(x, axis)), views=8)
        assert np.abs(np.flip(turned, axis) - mean).max() <= 1e-6
    two = (runner.probability(x) + runner.probability(x[::-1].copy())[::-1]) / 2
    assert np.abs(runner.probability(x, views=2) - two).max() <= 1e-6
    assert np.abs(runner.probability(x) - mean).max() > 1e-3


def test_blocked_equals_whole_in_mirrored_views(image, model):
    asked = {"model": model, "gate": False, "views": 8, **EXACT}
    whole = predict(image, max_memory=4 * 10**9, **asked)
    blocked = predict(image, max_memory=small_blocks(model), **asked)
    assert np.abs(whole - blocked).max() <= 1e-6
    assert np.abs(whole - predict(image, **(asked | {"views": 1}))).max() > 1e-3


def test_a_region_equals_the_same_part_of_the_whole(image, model):
    whole = predict(image, model=model, gate=False, **EXACT)
    part = predict(image, model=model, gate=False, roi="13:50,:,21:99", **EXACT)
    assert np.abs(part - whole[13:50, :, 21:99]).max() <= 1e-6


def test_two_blocks_at_once_equal_one_at_a_time(tmp_path, tif, model, monkeypatch):
    form = {"model": model, "max_memory": small_blocks(model, 700_000), "precision": "float32"}
    plans, pair = [], planned.pair_blocks

    def paired(*given, **options):
        plans.append(pair(*given, **options))
        return plans[-1]

    monkeypatch.setattr(sys.modules["neuroglow.predict.memory"], "SEVERAL", 2)
    monkeypatch.setattr(planned, "pair_blocks", paired)
    predict(tif, out=tmp_path / "two.ome.zarr", **form)
    at_once, shape = plans[0]
    assert at_once == 2
    monkeypatch.setattr(planned, "pair_blocks", lambda *_, **__: (1, shape))
    predict(tif, out=tmp_path / "one.ome.zarr", **form)
    assert tree_bytes(tmp_path / "one.ome.zarr") == tree_bytes(tmp_path / "two.ome.zarr")


def test_serial_equals_processes_and_every_kind_of_output(tmp_path, tif, model, monkeypatch):
    memory = sys.modules["neuroglow.predict.memory"]
    monkeypatch.setattr(memory, "WORTH", 9)  # two work on so little, too
    monkeypatch.setattr(memory, "CORES", 1)  # and on a machine of any size
    budget = small_blocks(model)
    common = {"model": model, "precision": "float32"}
    predict(tif, out=tmp_path / "one.ome.zarr", max_memory=budget, **common)
    predict(tif, out=tmp_path / "two.ome.zarr", max_memory=2 * budget, workers=2, **common)
    predict(tif, out=tmp_path / "one.tif", **common)
    assert tree_bytes(tmp_path / "one.ome.zarr") == tree_bytes(tmp_path / "two.ome.zarr")
    array = predict(tif, model=model, precision="float32", dtype="uint8")
    from_zarr, from_tiff = (open_volume(tmp_path / name) for name in ("one.ome.zarr", "one.tif"))
    assert from_zarr.voxel_size_um == from_tiff.voxel_size_um == (2, 1, 1)
    assert np.array_equal(tifffile.imread(tmp_path / "one.tif"), array)
    whole = from_zarr.read(from_zarr.axes and _box(from_zarr.shape))
    assert np.abs(whole.astype(int) - array).max() <= 1  # rounding of blocks cut elsewhere


def test_two_workers_never_read_much_more_than_one(tmp_path, tif, model, caplog, monkeypatch):
    """Half the memory means smaller blocks with more halo: then one works alone, and it is said."""
    budget = small_blocks(model)
    predict(tif, model=model, out=tmp_path / "few.tif", workers=2)
    assert "are not worth the start of 2 workers" in caplog.text
    monkeypatch.setattr(sys.modules["neuroglow.predict.memory"], "START", 0)
    monkeypatch.setattr(sys.modules["neuroglow.predict.planned"], "cores_here", lambda: 64)
    for name, workers in (("one", 1), ("two", 2)):
        predict(tif, model=model, out=tmp_path / f"{name}.tif", max_memory=budget, workers=workers)
        assert ("do not suffice for 2 workers" in caplog.text) == (workers == 2)
    shapes = [
        json.loads((tmp_path / f"{name}_run.json").read_text())["used"]["block_shape"]
        for name in ("one", "two")
    ]
    assert shapes[0] == shapes[1]


def test_memory_that_makes_it_slow_is_said_with_what_would_help(caplog):
    memory = sys.modules["neuroglow.predict.memory"]
    settings = PredictSettings(max_memory="500MB")
    for voxels, said in ((10**14, False), (10**18, True)):
        cost = partial(lambda total, shape: total // shape[0], voxels)
        planned = memory.share_out(settings, 0, lambda room: (room, 1, 1), cost)
        assert planned == (1, (500_000_000, 1, 1))
        assert ("--max-memory 1000MB reads 2.0 times fewer" in caplog.text) == said


def test_no_more_workers_than_blocks(caplog):
    memory = sys.modules["neuroglow.predict.memory"]
    settings = PredictSettings(max_memory="16GB", workers=2)
    plan, cost = (lambda room: (512, 512, 512)), (lambda shape: 10**9)
    assert memory.share_out(settings, 0, plan, cost, (512, 512, 1024))[0] == 2
    assert memory.share_out(settings, 0, plan, cost, (512, 512, 512))[0] == 1
    assert "not worth the start of 2 workers" in caplog.text


def test_no_more_workers_than_the_cores_keep_busy(caplog):
    memory = sys.modules["neuroglow.predict.memory"]
    settings = PredictSettings(max_memory="16GB", workers=4)
    plan, cost = (lambda room: (512, 512, 512)), (lambda shape: 10**9)
    for cores, busy in ((2, 1), (7, 1), (8, 2), (16, 4), (64, 4), (None, 4)):
        caplog.clear()
        assert memory.share_out(settings, 0, plan, cost, (512, 512, 8192), cores=cores)[0] == busy
        assert (f"of 4 workers {busy} work" in caplog.text) == (busy < 4)


def test_a_tiff_is_predicted_without_modules_that_take_long_to_import(tmp_path, tif):
    code = (
        "import neuroglow, sys\n"
        f"neuroglow.predict({str(tif)!r}, out={str(tmp_path / 'p.tif')!r})\n"
        "assert not {'torch', 'zarr'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _box(shape):
    from neuroglow.space.geometry import Box

    return Box.of(shape)


def test_an_imported_checkpoint_gives_its_numbers(tmp_path, shared):
    keys = json.loads((shared / "reference/voxresnet_keys.json").read_text())
    seed = json.loads((shared / "reference/cases.json").read_text())["weight_seed"]
    state = {
        f"module.{name}": ruled(name, shape, [seed, i]) for i, (name, shape) in enumerate(keys)
    }
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {}}, tmp_path / "db.ckpt")
    imported = import_db_enhance(tmp_path / "db.ckpt", tmp_path / "db")
    reference = np.load(shared / "reference/voxresnet.npz")
    for i in (0, 1):
        found = predict(reference[f"raw{i}"], model=imported, **EXACT)
        assert np.abs(found - reference[f"prob{i}"]).max() <= 1e-5


def ruled(name, shape, seed):
    """Make a tensor by the rule of the reference."""
    rng = np.random.default_rng(seed)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        values = rng.normal(0, 0.1, shape)
    elif len(shape) == 5:
        values = rng.normal(0, 1, shape) * np.sqrt(1 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = rng.uniform(0.8, 1.2, shape)
    else:
        values = rng.normal(0, 0.05, shape)
    return torch.tensor(values.astype(np.float32))


def test_the_gate_skips_empty_tiles_and_records_them(tmp_path, model):
    rng = np.random.default_rng(0)
    image = rng.normal(400, 20, (64, 64, 500)).astype(np.uint16)
    image[30:34, :, 10:14] += 300
    out = tmp_path / "p.ome.zarr"
    [report] = predict(image, model=model, out=out, max_memory=small_blocks(model))
    assert report.blocks.skipped >= 1
    assert report.blocks.done >= 1
    assert json.loads(report.record.read_text())["report"]["skipped"] == report.blocks.skipped
    [without] = predict(image, model=model, out=tmp_path / "q.ome.zarr", gate=False)
    assert without.blocks.skipped == 0


def test_what_the_gate_skips_holds_nothing_the_bundled_model_finds():
    """Sparse faint neurites in white noise: of those the model finds, the gate loses none."""
    settings = PhantomSettings(
        shape=(64, 64, 256),
        neurites=(2, 2),
        snr=(2, 3),
        branches=0,
        correlation_vox=(0, 0),
        unevenness=(0, 0.5),
        distractors=(0, 0, 0, 0),
    )
    budget = {"max_memory": small_blocks("light-microscopy", 129**3), "precision": "float32"}
    threshold = load_model("light-microscopy").settings.threshold
    for seed in range(2):
        made = make_phantom(np.random.default_rng(seed), settings)
        gated = predict(made.image, **budget)
        whole = predict(made.image, gate=False, **budget)
        found = (whole > threshold) & (made.label == NEURITE)
        assert found.sum() > 300
        assert not (found & (gated == 0)).any()


def test_picture_and_record_lie_beside_the_output(tmp_path, tif, model):
    [report] = predict(tif, model=model, out=tmp_path / "p.ome.zarr")
    assert {f.name for f in tmp_path.iterdir()} == {
        "brain.tif",
        "p.ome.zarr",
        "p_mip.png",
        "p_run.json",
    }
    record = json.loads(report.record.read_text())
    assert record["complete"]
    assert record["model"]["sha256"] == load_model(model).sha256
    assert record["input"]["voxel_size_um"] == [2, 1, 1]
    assert report.picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_of_volumes_in_db_enhance_layout(tmp_path, image, model):
    folder = tmp_path / "pool/image"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        tifffile.imwrite(folder / f"{name}.tif", image[:20, :40, :40])
    reports = predict(tmp_path / "pool", model=model, out=tmp_path / "out")
    assert len(reports) == 2
    names = {f"{n}_{end}" for n in "ab" for end in ("prob.tif", "mip.png", "run.json")}
    assert {f.name for f in (tmp_path / "out").iterdir()} == names


def test_one_bad_volume_of_a_folder_is_named_and_the_rest_predicted(tmp_path, image, model, capsys):
    for name in ("a", "c"):
        tifffile.imwrite(tmp_path / f"{name}.tif", image[:20, :40, :40])
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-9000])
    status, said = run(capsys, "predict", tmp_path, "-o", tmp_path / "out", "--model", model)
    assert status == 1
    assert "b.tif" in said
    assert (tmp_path / "out/a_prob.tif").exists()
    assert (tmp_path / "out/c_prob.tif").exists()


# --- stopped, resumed, refused ----------------------------------------------------------------


def command(*arguments):
    return [sys.executable, "-m", "neuroglow", "predict", *map(str, arguments)]


def wait_for_blocks(ledger, count, process):
    """Wait until the ledger names so many blocks; a deadline that only fails in error."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if ledger.exists() and ledger.read_text().count("\n") > count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} blocks in {ledger}")


def test_killed_and_resumed_equals_unbroken_byte_for_byte(tmp_path, tif, model, capsys):
    arguments = (tif, "--model", model, "--max-memory", f"{small_blocks(model)}B", "--no-gate")
    arguments += ("--precision", "float32")
    assert run(capsys, "predict", *arguments, "-o", tmp_path / "whole.ome.zarr")[0] == 0
    out = tmp_path / "killed.ome.zarr"
    process = subprocess.Popen(command(*arguments, "-o", out), stderr=subprocess.DEVNULL)
    wait_for_blocks(tmp_path / "killed.ome.zarr.partial/ledger.jsonl", 2, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    status, said = run(capsys, "predict", *arguments, "-o", out)
    assert status == 2
    assert "--resume" in said
    status, said = run(capsys, "predict", *arguments, "-o", out, "--resume")
    assert status == 0
    assert "of them earlier" in said
    assert tree_bytes(out) == tree_bytes(tmp_path / "whole.ome.zarr")
    assert (tmp_path / "killed_mip.png").stat().st_size == pytest.approx(
        (tmp_path / "whole_mip.png").stat().st_size, rel=0.1
    )
    assert not (tmp_path / "killed.ome.zarr.partial").exists()


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(tmp_path, tif, model):
    out = tmp_path / "p.ome.zarr"
    arguments = (tif, "--model", model, "--max-memory", f"{small_blocks(model)}B", "-o", out)
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
    wait_for_blocks(tmp_path / "p.ome.zarr.partial/ledger.jsonl", 1, process)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    if process.returncode == 0:
        pytest.skip("the run ended before Ctrl-C reached it")
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said
    assert not out.exists()


def test_two_processes_never_work_on_one_output(tmp_path, tif, model, capsys):
    out = tmp_path / "p.ome.zarr"
    arguments = (tif, "-o", out, "--model", model)
    with Unfinished(out).claimed():
        for mode in ([], ["--resume"], ["--restart"]):
            status, said = run(capsys, "predict", *arguments, *mode)
            assert (status, "another process is working on it" in said) == (2, True), said
    assert not Path(f"{out}.partial").exists()
    assert run(capsys, "predict", *arguments)[0] == 0


def test_another_model_setting_or_input_is_refused(tmp_path, tif, image, model, capsys):
    damaged_zarr(tmp_path / "in.ome.zarr", image)
    out = tmp_path / "p.ome.zarr"
    base = ("predict", tmp_path / "in.ome.zarr", "-o", out, "--resume")
    memory = ("--max-memory", f"{small_blocks(model)}B", "--precision", "float32")
    assert run(capsys, *base, *memory, "--model", model)[0] == 1
    other = save_tiny(tmp_path / "other", seed=9)
    status, said = run(capsys, *base, *memory, "--model", other)
    assert (status, "model" in said) == (2, True)
    status, said = run(capsys, *base, *memory, "--model", model, "--dtype", "float32")
    assert (status, "settings" in said) == (2, True)
    status, said = run(capsys, "predict", tif, *base[2:], *memory, "--model", model)
    assert (status, "input" in said) == (2, True)


def damaged_zarr(path, image):
    """Write an OME-Zarr with one damaged shard in the middle."""
    from neuroglow.formats.opening import create_volume
    from neuroglow.space.geometry import Box, tile
    from neuroglow.space.volume import VolumeSpec

    spec = VolumeSpec(image.shape, image.dtype, (1, 1, 1), (64, 64, 64))
    volume = create_volume(path, spec)
    for block in tile(Box.of(image.shape), spec.block_shape):
        volume.write(block.write, image[block.write.slices])
    volume.finish()
    shard = path / "0/c/0/0/2"
    good = shard.read_bytes()
    shard.write_bytes(good[:100] + bytes(len(good) - 200) + good[-100:])
    return shard, good


def test_a_corrupt_chunk_is_named_the_rest_completes_and_a_resume_mends_it(
    tmp_path, image, model, capsys
):
    shard, good = damaged_zarr(tmp_path / "in.ome.zarr", image)
    out = tmp_path / "p.ome.zarr"
    budget = f"{small_blocks(model, voxels=410_000)}B"
    memory = ("--max-memory", budget, "--precision", "float32", "--halo", "8", "--no-gate")
    arguments = ("predict", tmp_path / "in.ome.zarr", "-o", out, "--model", model, *memory)
    status, said = run(capsys, *arguments)
    assert status == 1
    assert "block 2" in said
    assert "in.ome.zarr" in said
    assert "Traceback" not in said
    record = json.loads((tmp_path / "p_run.json").read_text())
    assert not record["complete"]
    assert record["report"]["done"] > 0
    written = open_volume(out)
    assert written.read(_box(written.shape)).any()
    times = shard.stat()
    shard.write_bytes(good)  # another input than the one that was begun on
    status, said = run(capsys, *arguments, "--resume")
    assert (status, "the input has changed" in said) == (2, True)
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))  # a read that failed for a while
    status, said = run(capsys, *arguments, "--resume")
    assert status == 0, said
    assert json.loads((tmp_path / "p_run.json").read_text())["complete"]
    assert not Path(f"{out}.partial").exists()
    status, said = run(
        capsys, *arguments[:3], tmp_path / "again.ome.zarr", "--model", model, *memory
    )
    assert tree_bytes(out) == tree_bytes(tmp_path / "again.ome.zarr")


def test_a_full_disk_stops_the_run_and_leaves_nothing_that_looks_whole(tmp_path, tif, model):
    """A limit on the size of files stands in for the full disk."""
    out = tmp_path / "p.ome.zarr"
    noisy = tmp_path / "noisy.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(noisy, rng.integers(0, 4000, (64, 200, 200), np.uint16))
    process = subprocess.run(
        command(noisy, "-o", out, "--model", model, "--dtype", "float32", "--no-gate"),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)),
    )
    assert process.returncode == 1, process.stderr
    assert "disk with enough space" in process.stderr
    assert "Traceback" not in process.stderr
    assert not out.exists()


# --- bad input: message and exit status ---------------------------------------------------------


def write(path, array, **how):
    tifffile.imwrite(path, array, **how)
    return path


def bad_inputs(folder, image):
    """Make each bad input: name -> (arguments, exit status, words of the message)."""
    small = image[:20, :40, :40]
    empty = folder / "empty"
    empty.mkdir()
    odd = folder / "odd"
    odd.mkdir()
    for i in range(3):
        write(odd / f"s{i}.tif", small[i] if i != 2 else small[i, :30])
    (folder / "text.tif").write_text("no image")
    whole = write(folder / "whole.tif", image, compression="zlib")
    (folder / "cut.tif").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    good = write(folder / "good.tif", small)
    taken = write(folder / "taken.tif", small)
    return {
        "missing file": ((folder / "none.tif",), 2, "must exist"),
        "not an image": ((folder / "text.tif",), 2, "known format"),
        "2D image": ((write(folder / "flat.tif", small[0]),), 2, "three axes"),
        "RGB": (
            (write(folder / "rgb.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb"),),
            2,
            "RGB",
        ),
        "empty folder": ((empty,), 2, "must hold"),
        "slices of different sizes": ((odd,), 2, "s2.tif has 30 x 40"),
        "truncated TIFF": ((folder / "cut.tif",), 1, "complete"),
        "output exists": ((good, "-o", taken), 2, "not overwritten"),
        "unwritable output": ((good, "-o", good / "below.tif"), 1, "writable"),
        "unknown kind of output": ((good, "-o", folder / "o.nii"), 2, ".ome.zarr"),
        "roi outside": ((good, "--roi", "0:10,0:10,0:999"), 2, "inside the volume"),
        "roi of no form": ((good, "--roi", "1-2"), 2, "--roi"),
        "unknown model": (
            (good, "--model", "light-microscop"),
            2,
            "did you mean 'light-microscopy'",
        ),
        "wrong voxel size": ((good, "--voxel-size", "1,0,1"), 2, "positive"),
        "voxel size of two": ((good, "--voxel-size", "1,1"), 2, "voxel_size"),
        "voxel size of words": ((good, "--voxel-size", "a,b,c"), 2, "voxel_size"),
        "channel of none": ((good, "--channel", "3"), 2, "channel"),
        "unknown device": ((good, "--device", "abacus"), 2, "device"),
        "unknown precision": ((good, "--precision", "float8"), 2, "precision"),
        "too little memory": ((good, "--max-memory", "1MB"), 2, "--max-memory"),
        "resume and restart": ((good, "--resume", "--restart"), 2, "exclude"),
        "no worker": ((good, "--workers", "0"), 2, "workers"),
    }


BAD = [
    "missing file",
    "not an image",
    "2D image",
    "RGB",
    "empty folder",
    "slices of different sizes",
    "truncated TIFF",
    "output exists",
    "unwritable output",
    "unknown kind of output",
    "roi outside",
    "roi of no form",
    "unknown model",
    "wrong voxel size",
    "voxel size of two",
    "voxel size of words",
    "channel of none",
    "unknown device",
    "unknown precision",
    "too little memory",
    "resume and restart",
    "no worker",
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory, image):
    return bad_inputs(tmp_path_factory.mktemp("bad"), image)


def test_every_bad_input_is_tried(bad):
    assert set(BAD) == set(bad)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_clear_error(case, bad, tmp_path, model, capsys):
    arguments, expected, words = bad[case]
    out = () if "-o" in arguments else ("-o", tmp_path / "out.tif")
    named = () if "--model" in arguments else ("--model", model)
    status, said = run(capsys, "predict", *arguments, *out, *named)
    assert status == expected, said
    assert words in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(1, 40, 50), (5, 6, 7), (3, 70, 1), (1, 1, 1)])
def test_thin_and_tiny_volumes_work(shape, model):
    image = np.random.default_rng(0).integers(90, 110, shape, np.uint16)
    assert predict(image, model=model, gate=False).shape == shape


def test_all_zeros_are_no_neurite_and_no_work(tmp_path, model):
    [report] = predict(np.zeros((20, 30, 40), np.uint16), model=model, out=tmp_path / "p.tif")
    assert report.blocks.skipped == report.blocks.total
    assert not tifffile.imread(tmp_path / "p.tif").any()


def test_configuration_file(tmp_path, tif, model, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(f"model: {model}\ndtype: float32\nroi: '0:20,0:20,0:20'\n")
    status, said = run(capsys, "predict", tif, "-o", tmp_path / "o.tif", "--config", config)
    assert status == 0, said
    assert tifffile.imread(tmp_path / "o.tif").shape == (20, 20, 20)
    config.write_text("modle: x\n")
    status, said = run(capsys, "predict", tif, "-o", tmp_path / "q.tif", "--config", config)
    assert (status, "unknown setting 'modle'" in said) == (2, True)
    config.write_text("a:\n  b: 1\n")
    status, said = run(capsys, "predict", tif, "-o", tmp_path / "q.tif", "--config", config)
    assert (status, "flat" in said) == (2, True)


def test_restart_replaces_and_new_does_not(tmp_path, tif, model):
    out = tmp_path / "p.tif"
    predict(tif, model=model, out=out, roi="0:20,0:20,0:20")
    with pytest.raises(OutputError, match="not overwritten"):
        predict(tif, model=model, out=out, roi="0:30,0:20,0:20")
    predict(tif, model=model, out=out, roi="0:30,0:20,0:20", mode="restart")
    assert tifffile.imread(out).shape == (30, 20, 20)


def test_a_restart_keeps_no_voxel_of_the_output_that_it_replaces(tmp_path, model):
    """Not in blocks that it skips, nor if its blocks are others."""
    image, out = tmp_path / "noise.tif", tmp_path / "p.ome.zarr"
    noise = np.random.default_rng(1).normal(100, 10, (20, 64, 96))
    tifffile.imwrite(image, noise.astype(np.uint16))
    form = {"model": model, "out": out, "precision": "float32"}
    predict(image, gate=False, **form)
    assert _voxels_of(out).any()
    budget = small_blocks(model, 20 * 64 * 96 - 1)
    [report] = predict(image, mode="restart", max_memory=budget, **form)
    assert report.blocks.skipped == report.blocks.total > 1
    assert not _voxels_of(out).any()


def _voxels_of(path):
    volume = open_volume(path)
    return volume.read(_box(volume.shape))


def test_resuming_what_is_complete_does_nothing_and_another_run_is_refused(tmp_path, image, model):
    """A folder of volumes whose run was stopped goes on with the missing ones alone."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(folder / f"{name}.tif", image[:20, :40, :40])
    first = predict(folder, model=model, out=tmp_path / "out")
    (tmp_path / "out/b_prob.tif").unlink()
    kept = first[0].output.stat().st_mtime_ns
    again = predict(folder, model=model, out=tmp_path / "out", mode="resume")
    assert again[0].blocks.resumed == again[0].blocks.total
    assert again[0].output.stat().st_mtime_ns == kept
    assert (tmp_path / "out/b_prob.tif").exists()
    with pytest.raises(OutputError, match="another run"):
        predict(
            folder / "a.tif",
            model=model,
            out=first[0].output,
            mode="resume",
            dtype="float32",
        )


def test_the_input_is_never_replaced(tmp_path, tif, model, capsys):
    before = tif.read_bytes()
    status, said = run(capsys, "predict", tif, "-o", tif, "--model", model, "--restart")
    assert (status, "must not be the input" in said) == (2, True)
    assert tif.read_bytes() == before


def test_a_region_keeps_its_place_in_the_metadata(tmp_path, tif, model):
    predict(tif, model=model, out=tmp_path / "p.ome.zarr", roi="10:40,0:20,30:60")
    attributes = json.loads((tmp_path / "p.ome.zarr/zarr.json").read_text())["attributes"]
    [image] = attributes["ome"]["multiscales"]
    assert (image["name"], "image-label" in attributes["ome"]) == ("p", False)
    steps = image["datasets"][0]["coordinateTransformations"]
    assert steps[1] == {"type": "translation", "translation": [20.0, 0.0, 30.0]}


def test_numpy_in_numpy_out(image, model):
    found = predict(image[:20, :30, :40], model=model)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert predict(image[:20, :30, :40], model=model, dtype="uint8").dtype == np.uint8
    assert not predict(np.full((9, 9, 9), np.nan), model=model).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_read_as_masked_and_it_is_said(image, model, caplog, bad):
    small = image[:20, :30, :40].astype(np.float32)
    small[3, 4, 5] = bad
    found = predict(small, model=model)
    assert np.isfinite(found).all()
    assert found[3, 4, 5] == 0
    assert "masked" in caplog.text
