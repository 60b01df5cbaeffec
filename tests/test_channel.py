"""Cubes of several channels: surveyed, chosen, cut out and trained on, in the one that is asked."""

import json

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.manifest import Cube, read_manifest, write_manifest
from neuroglow.errors import InputError
from neuroglow.labels.labels import NEURITE
from neuroglow.train.pool import hash_cubes
from running import run
from survey_pools import rows, varied, write_pool
from training_sets import TINY


def of_two_channels(image):
    """Give the cube as the second channel, the first of noise alone."""
    noise = np.random.default_rng(9).integers(100, 120, image.shape).astype(image.dtype)
    return np.stack([noise, image], axis=1)


@pytest.fixture
def pools(tmp_path):
    """The same four cubes twice: `one` has a channel, `two` has them as its second."""
    cubes = varied(4)
    write_pool(tmp_path / "one", cubes)
    for part in ("image", "label"):
        (tmp_path / "two" / part).mkdir(parents=True)
    for name, (image, label) in cubes.items():
        both = of_two_channels(image)
        file = tmp_path / f"two/image/{name}.tif"
        tifffile.imwrite(file, both, imagej=True, metadata={"axes": "ZCYX"})
        tifffile.imwrite(tmp_path / f"two/label/{name}.tif", label)
    return tmp_path


def without_files(path):
    """Give a survey but for its paths, the hashes of files, and the channel."""
    left_out = ("image", "label", "image_sha256", "label_sha256", "channel")
    return [{k: v for k, v in row.items() if k not in left_out} for row in rows(path)]


def test_a_survey_of_a_channel_is_that_of_the_channel_alone(pools, capsys):
    neuroglow.survey(pools / "one", out=pools / "one.csv")
    said = run(capsys, "survey", pools / "two", "-o", pools / "two.csv", "--channel", "1")
    assert said[0] == 0, said
    assert without_files(pools / "one.csv") == without_files(pools / "two.csv")
    assert {row["channel"] for row in rows(pools / "two.csv")} == {"1"}
    assert "channel" not in rows(pools / "one.csv")[0]


def test_a_volume_of_several_channels_is_cut_into_cubes_of_one(pools):
    volume = np.concatenate([tifffile.imread(pools / f"two/image/c0{i}.tif") for i in range(2)])
    tifffile.imwrite(pools / "v.tif", volume, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(pools / "w.tif", volume[:, 1])
    for name, channel in (("v", 1), ("w", None)):
        neuroglow.survey(pools / f"{name}.tif", out=pools / f"{name}.csv", cube=32, channel=channel)
    indicators = [
        [row["free_noise"] + row["voxels_sha256"] for row in rows(pools / f"{n}.csv")] for n in "vw"
    ]
    assert indicators[0] == indicators[1]
    report = neuroglow.select(pools / "v.csv", out=pools / "sel.csv", n=1, export=pools / "cut")
    cut = next((pools / "cut/image").iterdir())
    z = 0 if "z00000" in cut.name else 32
    assert report.chosen == 1
    assert np.array_equal(tifffile.imread(cut), volume[z : z + 32, 1])


def test_what_is_exported_has_one_channel_and_trains_as_it_is(pools):
    neuroglow.survey(pools / "two", out=pools / "s.csv", channel=1)
    neuroglow.select(pools / "s.csv", out=pools / "sel.csv", n=3, export=pools / "cut")
    cubes = read_manifest(pools / "cut")
    assert not any(cube.other.get("channel") for cube in cubes)
    for cube in cubes:
        assert np.array_equal(
            tifffile.imread(cube.image), tifffile.imread(pools / f"one/image/{cube.name}.tif")
        )
        assert (tifffile.imread(cube.label) == NEURITE).any()
    settings = TINY | {"steps": 2}
    of_table = neuroglow.train(pools / "sel.csv", out=pools / "a", **settings)
    of_files = neuroglow.train(pools / "cut", out=pools / "b", **settings)
    assert of_table.scores == of_files.scores


def test_training_on_a_channel_is_training_on_it_alone(pools, capsys):
    (pools / "c.yaml").write_text(json.dumps(TINY | {"steps": 2}))
    words = ["train", pools / "two", "-o", pools / "two_run", "--config", pools / "c.yaml"]
    assert run(capsys, *words, "--channel", "1")[0] == 0
    neuroglow.train(pools / "one", out=pools / "one_run", **TINY | {"steps": 2})
    two, one = (
        [
            json.loads(line).get("loss")
            for line in (pools / f / "log.jsonl").read_text().splitlines()
        ]
        for f in ("two_run", "one_run")
    )
    assert two == one
    status, said = run(capsys, *words[:-2], "--resume", "--channel", "0")
    assert (status, "own settings" in said) == (2, True)


def test_another_channel_is_another_training_set(pools):
    cubes = read_manifest(pools / "two")
    as_first, as_second = (
        hash_cubes([Cube(c.name, c.image, c.label, other={"channel": n}) for c in cubes])
        for n in "01"
    )
    assert as_first != as_second


@pytest.mark.parametrize("verb", ["survey", "train"])
@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (None, "one channel of several must be chosen"),
        (2, "the channel must exist in the file"),
    ],
)
def test_a_channel_that_is_missing_or_none_is_named(pools, capsys, verb, channel, expected):
    asked = [] if channel is None else ["--channel", channel]
    out = pools / ("s.csv" if verb == "survey" else "run")
    status, said = run(capsys, verb, pools / "two", "-o", out, *asked)
    assert (status, expected in said) == (1 if verb == "survey" else 2, True), said
    assert "--channel 0 to --channel 1" in said


def test_a_column_channel_that_is_no_number_is_named(pools):
    cubes = [
        Cube(c.name, c.image, c.label, other={"channel": "GFP"})
        for c in read_manifest(pools / "two")
    ]
    write_manifest(cubes, pools / "m.csv")
    with pytest.raises(InputError, match=r"a channel is a whole number[\s\S]*'GFP'[\s\S]*c00"):
        neuroglow.train(pools / "m.csv", out=pools / "run", **TINY)
