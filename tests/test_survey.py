"""Survey: the same table whatever the order or the workers; what cannot be read is named."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.manifest import open_labels, read_manifest, write_manifest
from neuroglow.errors import BlocksFailedError, OutputError
from neuroglow.network.models import find_model
from neuroglow.selection.survey_table import FREE, LABELLED, numbers, read_survey
from neuroglow.space.geometry import Box
from running import run
from survey_pools import make_cube, rows, varied, write_pool


def test_a_pool_becomes_a_table_that_is_a_manifest(tmp_path, capsys):
    write_pool(tmp_path / "pool", varied(5))
    status, said = run(capsys, "survey", tmp_path / "pool", "-o", tmp_path / "s.csv")
    assert (status, "5 cubes" in said) == (0, True)
    cubes = read_manifest(tmp_path / "s.csv")
    assert [cube.name for cube in cubes] == [f"c{i:02d}" for i in range(5)]
    assert all(cube.image.exists() and cube.label.exists() for cube in cubes)
    assert all(len(cube.image_sha256) == 64 for cube in cubes)
    for name in (*LABELLED, "units_low_snr_ratio", "free_signal_density", "tortuosity"):
        assert np.isfinite(numbers(cubes, name)).all(), name
    expected = [label.sum() / 50_000 for _, label in varied(5).values()]
    assert numbers(cubes, "signal_density").tolist() == expected
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert "5 cubes" in page
    assert "http" not in page.replace("http-equiv", "")
    assert not (tmp_path / "s.csv.partial").exists()


def test_the_same_survey_twice_is_the_same_file(tmp_path):
    pool = write_pool(tmp_path / "pool", varied(4))
    for out in ("a.csv", "b.csv"):
        neuroglow.survey(pool, out=tmp_path / out)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_order_of_files_changes_nothing(tmp_path):
    cubes = varied(4)
    for side, order in (("one", list(cubes)), ("other", list(cubes)[::-1])):
        pool = write_pool(tmp_path / side / "pool", {name: cubes[name] for name in order})
    listed = read_manifest(pool)
    write_manifest([listed[i] for i in (2, 0, 3, 1)], pool / "list.csv")
    neuroglow.survey(tmp_path / "one/pool", out=tmp_path / "one/s.csv")
    neuroglow.survey(pool / "list.csv", out=tmp_path / "other/s.csv")
    assert (tmp_path / "one/s.csv").read_bytes() == (tmp_path / "other/s.csv").read_bytes()


def test_two_workers_equal_one(tmp_path):
    volume = np.concatenate([make_cube(i, side=48)[0] for i in range(2)])
    tifffile.imwrite(tmp_path / "v.tif", volume)
    for workers in (1, 2):
        neuroglow.survey(
            tmp_path / "v.tif", out=tmp_path / f"{workers}.csv", cube=24, workers=workers
        )
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_a_volume_is_cut_into_a_grid(tmp_path):
    image, _ = make_cube(1, side=72)
    tifffile.imwrite(tmp_path / "brain.tif", image)
    report = neuroglow.survey(tmp_path / "brain.tif", out=tmp_path / "s.csv", cube=32)
    cubes = read_survey(report.table)
    assert len(cubes) == 8, "what is less than half a cube at the far faces is left out"
    assert cubes[0].name == "brain-z00000-y00000-x00000"
    assert cubes[-1].box == "32:64,32:64,32:64"
    assert {cube.other["region"] for cube in cubes} == {
        f"z{z}y{y}x{x}" for z in (0, 1) for y in (0, 1) for x in (0, 1)
    }
    overlapped = neuroglow.survey(
        tmp_path / "brain.tif", out=tmp_path / "o.csv", cube=32, overlap=16, roi="0:32,0:64,0:64"
    )
    assert [c.box for c in read_survey(overlapped.table)][:2] == [
        "0:32,0:32,0:32",
        "0:32,0:32,16:48",
    ]


def test_a_cube_is_measured_alike_in_a_volume_and_in_a_pool(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", np.concatenate([make_cube(i, side=64)[0] for i in (1, 2)]))
    cut = read_survey(neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", cube=64).table)
    neuroglow.select(tmp_path / "s.csv", out=tmp_path / "sel.csv", n=2, export=tmp_path / "cubes")
    pool = neuroglow.survey(tmp_path / "cubes", out=tmp_path / "p.csv", labels=False)
    alone = read_survey(pool.table)
    assert [c.name for c in alone] == [c.name for c in cut]
    for name in (*FREE, "free_background", "voxels_sha256"):
        assert [c.other[name] for c in alone] == [c.other[name] for c in cut], name


def test_what_lies_outside_tissue_is_left_out(tmp_path):
    rng = np.random.default_rng(1)
    volume = rng.normal(100, 2, (64, 64, 128))
    volume[:, :, 64:] = rng.normal(600, 25, (64, 64, 64))
    tifffile.imwrite(tmp_path / "v.tif", volume.astype(np.uint16))
    report = neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", cube=64)
    assert [c.box for c in read_survey(report.table)] == ["0:64,0:64,64:128"]
    assert report.without_tissue == 1
    everything = neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "a.csv", cube=64, min_tissue=0)
    assert everything.cubes == 2


def test_parquet_holds_the_same(tmp_path):
    pytest.importorskip("pyarrow")
    pool = write_pool(tmp_path / "pool", varied(3))
    neuroglow.survey(pool, out=tmp_path / "s.csv")
    neuroglow.survey(pool, out=tmp_path / "t.parquet")
    csv, parquet = (read_survey(tmp_path / name) for name in ("s.csv", "t.parquet"))
    for name in (*LABELLED, "crossings"):
        assert numbers(csv, name).tolist() == numbers(parquet, name).tolist()
    assert [c.image for c in csv] == [c.image for c in parquet]


def test_an_unreadable_cube_is_named_and_the_rest_surveyed(tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", varied(5))
    whole = (pool / "image/c02.tif").read_bytes()
    (pool / "image/c02.tif").write_bytes(whole[: len(whole) // 3])
    command = ("survey", pool, "-o", tmp_path / "s.csv")
    status, said = run(capsys, *command)
    assert status == 1
    assert "1 of 5 cubes failed" in said
    assert "c02: " in said
    assert "\n      where: " in said  # the cube's own lines stand below it
    assert [row["name"] for row in rows(tmp_path / "s.csv")] == ["c00", "c01", "c03", "c04"]
    (pool / "image/c02.tif").write_bytes(whole)
    status, said = run(capsys, *command, "--restart")
    assert (status, len(rows(tmp_path / "s.csv"))) == (0, 5)


def test_a_folder_of_another_kind_is_told_what_it_holds(tmp_path, capsys):
    for z in range(3):
        (tmp_path / f"{z}.png").write_bytes(b"no TIFF")
    status, said = run(capsys, "survey", tmp_path, "-o", tmp_path / "s.csv")
    assert (status, "found: 3 .png" in said) == (2, True)
    assert "as TIFF first" in said


def test_a_damaged_file_is_told_once(tmp_path):
    make = write_pool(tmp_path / "pool", varied(2))
    cut = make / "image/c01.tif"
    cut.write_bytes(cut.read_bytes()[:2000])
    words = [sys.executable, "-m", "neuroglow", "survey", "pool", "-o", "s.csv"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("opening pool\nneuroglow: every cube must be readable")


def test_labels_without_match_are_refused(tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", varied(2))
    (pool / "image/c01.tif").unlink()
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert (status, "c01.tif without an image" in said) == (2, True)
    assert not (tmp_path / "s.csv").exists()


def test_a_label_of_another_shape_is_named(tmp_path, capsys):
    cubes = varied(3)
    cubes["c01"] = (cubes["c01"][0], cubes["c01"][1][:-1])
    status, said = run(
        capsys, "survey", write_pool(tmp_path / "p", cubes), "-o", tmp_path / "s.csv"
    )
    assert (status, len(rows(tmp_path / "s.csv"))) == (1, 2)
    assert "c01: a label has the shape of its image" in said
    assert "found: (31, 32, 32), but (32, 32, 32) in " in said


def test_degenerate_cubes_are_defined_and_noted(tmp_path):
    image, label = make_cube(1)
    cubes = {
        "constant": (np.full_like(image, 7), label),
        "empty": (image, np.zeros_like(label)),
        "filled": (make_cube(2)[0], np.ones_like(label)),
        "twin": (image, label),
    }
    report = neuroglow.survey(write_pool(tmp_path / "pool", cubes), out=tmp_path / "s.csv")
    notes = {cube.name: cube.other["note"] for cube in read_survey(report.table)}
    assert notes == {
        "constant": "constant",
        "empty": "no labelled voxel",
        "filled": "no background voxel",
        "twin": "copy of empty",
    }
    for name in LABELLED:
        assert np.isfinite(numbers(read_survey(report.table), name)).all()


def test_a_pool_without_labels_needs_none(tmp_path):
    pool = write_pool(tmp_path / "pool", varied(3), labels=False)
    cubes = read_survey(neuroglow.survey(pool, out=tmp_path / "s.csv").table)
    assert np.isnan(numbers(cubes, "signal_density")).all()
    assert np.isfinite(numbers(cubes, "free_signal_density")).all()


def test_labels_are_read_as_training_reads_them(tmp_path):
    image, label = make_cube(1)
    pool = write_pool(tmp_path / "pool", {"a": (image, np.where(label, 7, 3).astype(np.uint8))})
    report = neuroglow.survey(pool, out=tmp_path / "s.csv", label_map="3=background,7=neurite")
    assert numbers(read_survey(report.table), "label_vox").tolist() == [label.sum()]


def test_a_legend_travels_from_the_survey_to_training(tmp_path):
    label = make_cube(1)[1]
    sparse = np.where(label, 2, 1).astype(np.uint8)
    sparse[16:] = 4  # nobody annotated these planes
    cubes = {name: (make_cube(seed)[0], sparse) for name, seed in (("a", 1), ("b", 2))}
    legend = "1=background,2=neurite,4=ignore"
    pool = write_pool(tmp_path / "pool", cubes)
    table = neuroglow.survey(pool, out=tmp_path / "s.csv", label_map=legend).table
    assert numbers(read_survey(table), "ignored_vox").tolist() == [16 * 32 * 32] * 2
    assert numbers(read_survey(table), "label_vox").tolist() == [label[:16].sum()] * 2
    chosen = neuroglow.select(table, out=tmp_path / "c.csv", n=2, export=tmp_path / "cubes")
    expected = np.bincount(sparse.ravel())[[1, 2, 4]]  # background, neurite, ignore
    for manifest in (chosen.selection, tmp_path / "cubes"):
        for cube in read_manifest(manifest):
            volume = neuroglow.open_volume(cube.image)
            box = Box.of(volume.shape)
            read = open_labels(cube, volume).read(box)
            np.testing.assert_array_equal(np.bincount(read.ravel()), expected)


def test_a_wrong_legend_is_refused_before_any_cube_is_read(tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", varied(2))
    words = ("survey", pool, "-o", tmp_path / "s.csv", "--label-map", "1=axon")
    status, said = run(capsys, *words)
    assert (status, "a legend is VALUE=MEANING" in said) == (2, True)
    assert not list(tmp_path.glob("s.*"))


def test_a_model_tells_its_uncertainty(tmp_path):
    pool = write_pool(tmp_path / "pool", varied(2), labels=False)
    report = neuroglow.survey(pool, out=tmp_path / "s.csv", model="light-microscopy", device="cpu")
    cubes = read_survey(report.table)
    assert (numbers(cubes, "entropy") > 0).all()
    assert (numbers(cubes, "disagreement") >= 0).all()


@pytest.mark.parametrize("variant", [True, False])
def test_a_model_is_used_in_the_precision_that_predict_uses(tmp_path, variant):
    pool = write_pool(tmp_path / "pool", varied(1), labels=False)
    model = shutil.copytree(find_model("light-microscopy"), tmp_path / "model")
    if not variant:
        (model / "int8.json").unlink()
    neuroglow.survey(pool, out=tmp_path / "s.csv", model=model, device="cpu")
    image = tmp_path / "pool/image/c00.tif"
    [report] = neuroglow.predict(image, out=tmp_path / "p.tif", model=model, device="cpu")
    used = json.loads(report.record.read_text())["used"]
    page = (tmp_path / "s.html").read_text(encoding="utf-8")
    assert f"{used['precision']} ({used['engine']})" in page


def test_an_unfinished_survey_is_not_continued_with_another_variant(tmp_path):
    pool = write_pool(tmp_path / "pool", varied(2), labels=False)
    model = shutil.copytree(find_model("light-microscopy"), tmp_path / "model")
    whole = (pool / "image/c01.tif").read_bytes()
    (pool / "image/c01.tif").write_bytes(b"junk")
    form = {"out": tmp_path / "s.csv", "model": model, "device": "cpu"}
    with pytest.raises(BlocksFailedError, match="c01"):
        neuroglow.survey(pool, **form)
    (pool / "image/c01.tif").write_bytes(whole)
    (model / "int8.json").rename(tmp_path / "int8.json")
    with pytest.raises(OutputError, match="another model, another precision"):
        neuroglow.survey(pool, mode="resume", **form)
    (tmp_path / "int8.json").rename(model / "int8.json")
    report = neuroglow.survey(pool, mode="resume", **form)
    assert (report.cubes, report.blocks.resumed) == (2, 1)


def test_db_enhance_tables_are_matched_by_their_numbers(tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", varied(5))
    cubes = read_survey(neuroglow.survey(pool, out=tmp_path / "s.csv").table)
    table = np.stack([numbers(cubes, name) for name in LABELLED], 1)
    order = [3, 0, 4, 1, 2]  # of a listing long ago
    np.save(pool / "sample_information.npy", table[order])
    matched = read_survey(
        neuroglow.survey(pool / "sample_information.npy", out=tmp_path / "m.csv").table
    )
    assert [cubes[order[int(c.other["position"])]].name for c in matched] == [c.name for c in cubes]
    np.save(pool / "sample_information.npy", table[order] + 0.3)
    status, said = run(capsys, "survey", pool / "sample_information.npy", "-o", tmp_path / "n.csv")
    assert (status, "was made from the cubes next to it" in said) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "s.txt"], "a table is .csv or .parquet"),
        (["-o", "s.csv", "--cube", "4"], "setting 'cube'"),
        (["-o", "s.csv", "--roi", "0:9,0:9,0:9"], "a region or a mask is that of one volume"),
        (["-o", "s.csv", "--resume", "--restart"], "exclude each other"),
    ],
)
def test_what_cannot_be_asked_is_refused(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write_pool(tmp_path / "pool", varied(2))
    status, said = run(capsys, "survey", "pool", *words)
    assert (status, message in said) == (2, True), said
    assert not list(tmp_path.glob("s.*"))


@pytest.mark.parametrize("name", ["s.csv", "s.html"])
def test_what_exists_is_not_overwritten(tmp_path, capsys, name):
    pool = write_pool(tmp_path / "pool", varied(2))
    (tmp_path / name).write_text("mine")
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert (status, "not overwritten" in said, name in said) == (2, True, True)
    assert (tmp_path / name).read_text() == "mine"
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv", "--restart")
    assert (status, "only a survey is replaced" in said) == (2, True)
    assert (tmp_path / name).read_text() == "mine"


def test_a_killed_survey_goes_on(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", np.concatenate([make_cube(1, side=64)[0]] * 2))
    words = [sys.executable, "-m", "neuroglow", "survey", "v.tif", "-o", "s.csv", "--cube", "16"]
    started = subprocess.Popen(words, cwd=tmp_path, env=dict(os.environ))
    ledger = tmp_path / "s.csv.partial/ledger.jsonl"
    while started.poll() is None and (not ledger.exists() or len(ledger.read_bytes()) < 600):
        time.sleep(0.01)
    started.kill()
    assert started.wait() != 0
    assert not (tmp_path / "s.csv").exists()
    before = len(ledger.read_text().splitlines())
    resumed = neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", mode="resume", cube=16)
    assert resumed.blocks.resumed >= before - 2 > 0
    whole = neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "w.csv", cube=16)
    assert resumed.table.read_bytes() == whole.table.read_bytes()


@pytest.mark.parametrize("damaged", [(0,), (1,), (0, 1)])
def test_damaged_cubes_are_named_and_the_others_surveyed(tmp_path, capsys, damaged):
    pool = write_pool(tmp_path / "pool", varied(3))
    for i in damaged:
        (pool / f"image/c0{i}.tif").write_bytes(b"junk")
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert (status, "the others are in the table" in said) == (1, True)
    assert all(f"c0{i}: the input must be an image" in said for i in damaged)
    assert len(rows(tmp_path / "s.csv")) == 3 - len(damaged)


def test_a_pool_of_which_no_cube_can_be_read_has_no_table(tmp_path, capsys):
    pool = write_pool(tmp_path / "pool", varied(2))
    for file in (pool / "image").iterdir():
        file.write_bytes(b"junk")
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert (status, "there is no table" in said) == (1, True)
    assert not list(tmp_path.glob("s.*"))


def test_a_resume_does_the_failed_cubes_alone(tmp_path):
    pool = write_pool(tmp_path / "pool", varied(3))
    label = (pool / "label/c01.tif").read_bytes()
    tifffile.imwrite(pool / "label/c01.tif", np.zeros((9, 9, 9), np.uint8))
    with pytest.raises(BlocksFailedError, match="c01: a label has the shape"):
        neuroglow.survey(pool, out=tmp_path / "s.csv")
    (pool / "label/c01.tif").write_bytes(label)
    report = neuroglow.survey(pool, out=tmp_path / "s.csv", mode="resume")
    assert (report.cubes, report.blocks.resumed) == (3, 2)
