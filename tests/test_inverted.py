"""Dark on bright: read inverted in every verb, kept in what is left, and warned of where it looks so."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

import neuroglow
from neuroglow.cubes.manifest import read_manifest, write_manifest
from neuroglow.errors import InputError, OutputError, SettingsError
from neuroglow.files.remarks import forget_remarks
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.polarity import Polarity
from neuroglow.network.checkpoint import save_model
from neuroglow.network.enhance import EnhanceBlock
from neuroglow.space.geometry import Box
from neuroglow.space.inverted import as_stored
from running import run
from training_sets import TINY, draw_cube

DARK = "darker than the background"
SIDE = 48


def lines(side=SIDE, seed=2):
    """Bright tubes in noise (float64): 0 +- 1, tubes of 8."""
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((side,) * 3)
    for y, x in rng.integers(6, side - 6, (6, 2)):
        image[:, y - 1 : y + 2, x - 1 : x + 2] += 8
    return image


@pytest.fixture(scope="module")
def bright():
    return (400 + 15 * lines()).astype(np.uint16)


@pytest.fixture(scope="module")
def dark(bright):
    return (4000 - bright).astype(np.uint16)


@pytest.fixture(scope="module")
def files(dark, bright, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inverted")
    tifffile.imwrite(folder / "dark.tif", dark)
    tifffile.imwrite(folder / "bright.tif", bright)
    return folder


KINDS = {
    "uint8": (np.uint8, 200, 6),
    "int16": (np.int16, -20, 30),
    "int32 with an offset": (np.int32, 2_000_000_000, 900),
    "float32": (np.float32, 0.5, 0.02),
    "big-endian": (np.dtype(">u2"), 3000, 40),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_inverted_volume_has_the_noise_units_of_the_bright_one(kind):
    dtype, level, noise = KINDS[kind]
    steps = np.clip(noise * lines(), -150, 100).round(0 if noise > 1 else 4)
    bright, dark = (level + sign * steps for sign in (1, -1))
    if dtype is np.uint8:
        bright, dark = bright.clip(0, 255), (2 * level - bright).clip(0, 255)
    box = Box((3, 0, 5), (40, 48, 47))
    inverted = open_volume(dark.astype(dtype), invert=True)
    assert inverted.read(box).dtype == np.dtype(dtype).newbyteorder("=")
    found = NoiseUnits(inverted).read(box)
    if dtype is np.uint8:
        assert found.max() > 2
        return
    np.testing.assert_allclose(
        found, NoiseUnits(open_volume(bright.astype(dtype))).read(box), atol=2e-3
    )


def test_inverting_loses_nothing_and_is_another_input(files, tmp_path):
    path = files / "dark.tif"
    stored, inverted = (
        open_volume(path, voxel_size_um=(3, 1, 1)),
        open_volume(path, voxel_size_um=(3, 1, 1), invert=True),
    )
    box = Box.of(stored.shape)
    assert inverted.voxel_size_um == (3, 1, 1)
    assert inverted.identity != stored.identity
    np.testing.assert_array_equal(as_stored(inverted.read(box), inverted), stored.read(box))
    array = np.array([[[0.5, np.nan, -np.inf]]], np.float32)
    np.testing.assert_array_equal(
        open_volume(array, invert=True).read(Box.of((1, 1, 3))), [[[-0.5, np.nan, np.inf]]]
    )
    assert open_volume(stored, invert=True).read(box).max() == 65535 - stored.read(box).min()


def test_predict_finds_dark_neurites_and_keeps_that_it_was_asked_to(
    files, bright, tmp_path, capsys
):
    expected = neuroglow.predict(bright, dtype="uint8", precision="float32")
    assert (expected > 128).sum() > 500
    out = tmp_path / "p.tif"
    command = ("predict", files / "dark.tif", "-o", out, "--voxel-size", "1,1,1")
    command += ("--precision", "float32")  # in int8, a rounding more or less shows
    assert run(capsys, *command, "--invert")[0] == 0
    found = tifffile.imread(out)
    assert np.abs(found.astype(int) - expected).max() <= 2  # rounding, at another offset
    record = json.loads((tmp_path / "p_run.json").read_text())
    assert record["settings"]["invert"] is True
    before = out.read_bytes()
    status, _ = run(capsys, *command, "--resume")
    assert status == 2
    assert out.read_bytes() == before
    assert run(capsys, *command, "--resume", "--invert")[0] == 0


def test_an_unfinished_run_is_not_resumed_the_other_way_round(files, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(neuroglow.errors.StoppedError):
        patch.setattr(EnhanceBlock, "__call__", stop)
        neuroglow.predict(files / "dark.tif", out=tmp_path / "p.tif", invert=True)
    with pytest.raises(OutputError, match=r"settings|input"):
        neuroglow.predict(files / "dark.tif", out=tmp_path / "p.tif", mode="resume")


def test_trace_and_evaluate_read_the_raw_image_as_the_prediction_did(files, tmp_path, capsys):
    out, raw = tmp_path / "p.tif", files / "dark.tif"
    neuroglow.predict(raw, out=out, invert=True)
    traced = neuroglow.trace(out, raw=raw, out=tmp_path / "t.swc")
    assert "the raw image is read inverted, as it was for the prediction" in traced.notes
    record = json.loads((tmp_path / "t_trees.json").read_text())
    assert record["input"]["raw_inverted"] is True
    truth = (tifffile.imread(out) > 200).astype(np.uint8)
    reports = [neuroglow.evaluate(out, truth, raw=raw, invert=asked) for asked in (None, False)]
    (same,), (other,) = (
        [row for row in report.results["methods"] if row["method"] == "noise units"]
        for report in reports
    )
    assert same["average_precision"] > 2 * other["average_precision"]


def test_a_survey_carries_it_to_select_and_train(tmp_path, capsys):
    pool = tmp_path / "pool"
    for number in range(4):
        image, label = draw_cube(number)
        for kind, voxels in (("image", 4000 - image), ("label", label)):
            (pool / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(pool / kind / f"c{number}.tif", voxels)
    neuroglow.survey(pool, out=tmp_path / "s.csv", invert=True)
    cubes = read_manifest(tmp_path / "s.csv")
    assert {cube.other["invert"] for cube in cubes} == {"yes"}
    assert all(float(cube.other["free_vox"]) > 0 for cube in cubes)
    neuroglow.select(tmp_path / "s.csv", n=3, out=tmp_path / "m.csv", export=tmp_path / "cut")
    cut = read_manifest(tmp_path / "cut")
    stored = tifffile.imread(pool / f"image/{cut[0].name}.tif")
    np.testing.assert_array_equal(tifffile.imread(cut[0].image), stored)
    assert cut[0].other["invert"] == "yes"
    run_folder = tmp_path / "run"
    neuroglow.train(tmp_path / "cut", out=run_folder, **TINY)
    image, label = (np.load(run_folder / f"cache/00000-{part}.npy") for part in ("image", "label"))
    assert image[label == 1].mean() > 2 > image[label == 0].mean()
    with pytest.raises(SettingsError, match="grey levels"):
        neuroglow.train(tmp_path / "cut", out=tmp_path / "r", normalisation="db_enhance", **TINY)


def test_a_training_set_says_it_by_a_column_or_an_option(tmp_path, caplog):
    for number in range(3):
        image, label = draw_cube(number)
        for kind, voxels in (("image", 4000 - image), ("label", label)):
            (tmp_path / "pool" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / f"pool/{kind}/c{number}.tif", voxels)
    neuroglow.train(tmp_path / "pool", out=tmp_path / "a", invert=True, **TINY)
    assert json.loads((tmp_path / "a/run.json").read_text())["settings"]["invert"] is True
    image, label = (np.load(tmp_path / f"a/cache/00000-{p}.npy") for p in ("image", "label"))
    assert image[label == 1].mean() > 2
    cubes = read_manifest(tmp_path / "pool")
    for said, error in (("perhaps", "yes or no"), ("no", None)):
        rows = [type(c)(c.name, c.image, c.label, other={"invert": said}) for c in cubes]
        write_manifest(rows, tmp_path / f"{said}.csv")
        if error:
            with pytest.raises(InputError, match=error):
                neuroglow.train(tmp_path / f"{said}.csv", out=tmp_path / said, **TINY)
    neuroglow.train(tmp_path / "no.csv", out=tmp_path / "n", invert=True, **TINY)
    image = np.load(tmp_path / "n/cache/00000-image.npy")
    assert image[label == 1].mean() > 2  # the command line wins, and says so
    assert "overrides the column invert" in caplog.text


def test_sensitivity_and_adapt_read_it_inverted(files):
    options = {"snr": (1.0, 12.0), "rounds": 1, "filters": False, "block": 32, "blocks": 2}
    report = neuroglow.sensitivity(files / "dark.tif", invert=True, **options)
    plain = neuroglow.sensitivity(files / "bright.tif", **options)
    assert "--invert" in report.results["command"]
    assert report.limit == pytest.approx(plain.limit, rel=0.2)


def test_a_model_of_one_camera_is_not_fed_inverted(files, tmp_path, caplog):
    model = neuroglow.load_model("light-microscopy")
    fixed = {"kind": "fixed", "low": 0, "high": 1500, "mean": 168.5, "std": 500}
    known = model.settings.model_dump() | {"name": "fixed", "normalisation": fixed}
    save_model(tmp_path / "fixed", model.network, type(model.settings).model_validate(known))
    with pytest.raises(SettingsError, match="grey levels of one camera"):
        neuroglow.predict(files / "dark.tif", model=tmp_path / "fixed", invert=True)
    for name, times in (("bright", 0), ("dark", 1)):
        forget_remarks()
        caplog.clear()
        neuroglow.predict(files / f"{name}.tif", model=tmp_path / "fixed")
        assert caplog.text.count(DARK) == times
    assert "a model in noise units" in caplog.text


# ---- the warning


NOISE = np.random.default_rng(4).standard_normal((64,) * 3)
Z, Y, X = np.ogrid[:64, :64, :64]

QUIET = {
    "noise": 400 + 15 * NOISE,
    "bright tubes": 400 + 15 * lines(64),
    "a border of zeros": np.where(X < 24, 0, 400 + 15 * NOISE),
    "deskewed": np.where((X < Z - 8) | (X > Z + 50), 0, 400 + 15 * NOISE),
    "padded with the largest": np.where(Y < 20, 65535, 400 + 15 * NOISE),
    "clipped to zero": 15 * lines(64) - 5,
    "an edge of tissue": 400 + 15 * NOISE - 250 * (X > 40),
    "tissue beyond an edge": 400 + 15 * NOISE + 250 * (X > 40),
    "a ventricle": 400 + 15 * NOISE - 250 * ((Z - 32) ** 2 + (Y - 32) ** 2 + (X - 32) ** 2 < 300),
    "stripes": 400 + 15 * NOISE - 60 * (Y % 24 < 2),
    "uneven": (400 + 15 * NOISE) * (1 + 0.5 * np.sin(Y / 8)),
    "correlated": 400 + 60 * gaussian_filter(NOISE, 1),
}


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_said_of_fluorescence(name, caplog):
    image = QUIET[name].clip(0, 65535).astype(np.uint16)
    neuroglow.to_noise_units(image)
    assert DARK not in caplog.text


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_dark_neurites_are_said_once_with_the_option_that_reads_them(dtype, caplog, files):
    image = (200 - 6 * lines(64)).clip(0, 255).astype(dtype)
    units = NoiseUnits(open_volume(image))
    for _ in range(2):
        units.read(Box.of(image.shape))
    assert [r.getMessage().count(DARK) for r in caplog.records] == [1]
    assert "--invert" in caplog.text


def test_what_is_inverted_by_mistake_is_said(bright, caplog):
    NoiseUnits(open_volume((400 + 15 * lines(64)).astype(np.uint16), invert=True)).read(
        Box.of((64,) * 3)
    )
    assert "is --invert meant?" in caplog.text


def test_phantoms_are_told_from_their_inversions(caplog):
    told = []
    for seed in range(3):
        made = neuroglow.make_phantom(
            np.random.default_rng(seed), neuroglow.PhantomSettings(shape=(48, 64, 64), snr=(5, 9))
        ).image
        for image in (made, np.invert(made)):
            units = NoiseUnits(open_volume(image), tells=False)
            units.read(Box.of(image.shape))
            told.append(units.polarity.is_dark)
    assert told == [False, True] * 3


def test_little_is_concluded_from_little():
    seen = Polarity(seen=90_000, dark=5_000)
    assert not seen.is_dark
    assert (seen + seen).is_dark


def test_a_large_volume_is_not_judged_by_the_grain_in_one_of_its_corners():
    corner = {"seen": 2_000_000, "dark": 400}
    assert Polarity(**corner).is_dark, "if there is no more of it"
    assert not Polarity(of=10**9, **corner).is_dark
    assert Polarity(of=10**9, seen=12_000_000, dark=2_400).is_dark
    assert Polarity(of=10**9, seen=2_000_000, dark=4_000).is_dark, "clear at once"


def test_several_workers_say_it_once(tmp_path, capsys, caplog):
    store = tmp_path / "dark.zarr"
    image = (4000 - 30 * lines(80)).astype(np.uint16)
    zarr.create_array(store, data=image, chunks=(40, 40, 40))
    status, _ = run(
        capsys, "predict", store, "-o", tmp_path / "p.ome.zarr", "--workers", 2, "--halo", 8
    )
    assert status == 0
    assert caplog.text.count(DARK) == 1


@pytest.mark.parametrize("verb", ["survey", "train"])
def test_a_pool_is_warned_of_in_one_line(verb, tmp_path, caplog):
    for number in range(5):
        image, label = draw_cube(number)
        for kind, voxels in (("image", 4000 - image), ("label", label)):
            (tmp_path / "pool" / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(tmp_path / f"pool/{kind}/c{number}.tif", voxels)
    if verb == "survey":
        neuroglow.survey(tmp_path / "pool", out=tmp_path / "s.csv")
    else:
        neuroglow.train(tmp_path / "pool", out=tmp_path / "run", **TINY)
    assert caplog.text.count(DARK) == 1
