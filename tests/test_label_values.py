"""Labels as people have them: inverted, of any type and values; each verb says or refuses alike."""

import logging

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.manifest import Cube, open_labels
from neuroglow.errors import InputError, NeuroglowError
from neuroglow.files import remarks
from neuroglow.formats.opening import open_volume
from neuroglow.labels.label_values import crowded
from neuroglow.labels.labels import labels_in, parse_label_map
from neuroglow.selection.survey_table import read_survey
from neuroglow.space.geometry import Box
from running import run
from survey_pools import make_cube, write_pool
from training_sets import TINY

MASK = make_cube(1)[1]
WHOLE = Box.of(MASK.shape)


def read(volume, legend="", **options):
    """Read a label of an array; gives its voxels and what is said of it."""
    labels = labels_in(open_volume(volume), parse_label_map(legend), **options)
    voxels = labels.read(WHOLE)
    return voxels, " ".join(labels.notes)


MANY = np.kron(np.arange(1, 65).reshape(8, 8), np.array([[1, 1, 0, 0]] * 2 + [[0] * 4] * 2))
"""Numbers of 64 neurites of 2 x 2 voxels, that run along x: zy."""


def ids(count, dtype):
    """Number `count` neurites."""
    plane = np.where(count < MANY, 0, MANY)
    return np.repeat(plane[..., None], 32, axis=2).astype(dtype)


SAME = {
    "bool": MASK.astype(bool),
    "float of 0 and 1": MASK.astype(np.float32),
    "float of 0 and 255": MASK * 255.0,
    "int16": (MASK * 7).astype(np.int16),
    "uint32 of 65535": MASK.astype(np.uint32) * 65535,
    "ids in uint16": ids(20, np.uint16),
    "ids in uint8": ids(30, np.uint8),
    "ids in float": ids(25, np.float64),
    "a few ids": ids(4, np.uint8),
    "soft uint8": (MASK * (160 + np.arange(32) * 3)[None, None]).astype(np.uint8),
}


@pytest.mark.parametrize("kind", SAME)
def test_a_mask_of_any_type_and_values_is_the_same_mask(kind):
    voxels, said = read(SAME[kind])
    assert np.array_equal(voxels, MASK if "id" not in kind else SAME[kind] > 0)
    assert bool(said) == (kind.startswith(("ids", "a few", "soft"))), said


def test_a_soft_mask_is_cut_in_the_middle_and_said():
    soft = MASK * np.random.default_rng(0).integers(1, 256, MASK.shape).astype(np.uint8)
    for values, half in ((soft, 127.5), ((soft / 255).astype(np.float32), 0.5)):
        voxels, said = read(values)
        assert np.array_equal(voxels, values >= half)
        assert f"neurite from {half:g} on" in said


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.random.default_rng(0).integers(100, 900, MASK.shape).astype(np.uint16), "an image"),
        (np.where(MASK, np.nan, 0).astype(np.float32), "NaN"),
        (MASK.astype(np.int8) - 1, "--label-map -1=ignore,0=background"),
        (np.where(MASK, 3000.5, -2).astype(np.float32), "0 and above"),
    ],
)
def test_what_is_no_label_is_refused(values, found):
    with pytest.raises(NeuroglowError, match=found):
        read(values)


def test_negative_values_have_a_meaning_in_a_legend():
    voxels, _ = read(MASK.astype(np.int8) - 1, "-1=ignore, 0=Neurite")
    assert np.array_equal(voxels == 1, MASK == 1)
    assert (voxels[MASK == 0] == 2).all()


@pytest.mark.parametrize(
    ("values", "legend"),
    [
        ((0, 255), "0=background,1=neurite,2=ignore"),
        ((0, 1), "0=background,255=neurite"),
        ((0, 65535), "0=background,1=neurite"),
    ],
)
def test_one_usual_value_beside_0_is_a_mask_though_the_legend_lacks_it(values, legend):
    label = np.where(MASK, values[1], values[0]).astype(np.uint16)
    voxels, said = read(label, legend)
    assert np.array_equal(voxels, MASK)
    assert f"only {values[1]} and 0: a mask" in said
    assert f"({MASK.sum():,} voxels)" in said


@pytest.mark.parametrize(
    ("values", "legend"),
    [
        ((0, 1, 255), "0=background,1=neurite"),  # 255 beside another: no mask
        ((0, 7), "0=background,1=neurite,2=ignore"),
        ((0, 255), "1=background,2=neurite,0=ignore"),  # 0 means something else
        ((3, 4, 5), "3=neurite"),
    ],
)
def test_unknown_values_are_counted_and_the_cure_works(values, legend):
    label = np.zeros(MASK.shape, np.uint8) + values[0]
    for z, value in enumerate(values[1:], start=1):
        label[5 * z : 5 * z + 3] = value
    with pytest.raises(InputError, match="names each value") as refused:
        read(label, legend)
    unknown = [v for v in values if v not in parse_label_map(legend)]
    for value in unknown:
        assert f"{value} ({(label == value).sum():,} voxels)" in refused.value.found
    cure = refused.value.cure.removeprefix("--label-map ").split(" ")[0]
    voxels, _ = read(label, cure)
    assert (voxels == 1).any()


def inverted(folder, count=3):
    """Write a pool of inverted masks: background 255, neurite 0."""
    cubes = {}
    for i in range(count):
        image, mask = make_cube(i)
        cubes[f"c{i}"] = (image, np.where(mask, 0, 255).astype(np.uint8))
    return write_pool(folder, cubes)


def test_an_inverted_mask_is_found_by_every_verb_in_the_same_words(tmp_path, capsys, caplog):
    pool = inverted(tmp_path / "pool")
    words = "of the known voxels are neurites, as in an inverted mask"
    cure = "--label-map 0=neurite,255=background turns it round"
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert status == 0
    assert words in said
    assert cure in said
    assert words in read_survey(tmp_path / "s.csv")[0].other["label_note"]
    status, said = run(capsys, "select", tmp_path / "s.csv", "-n", 2, "-o", tmp_path / "sel.csv")
    assert status == 0
    assert words in said
    image, label = (pool / part / "c0.tif" for part in ("image", "label"))
    found = np.zeros(MASK.shape, np.uint8)
    found[3:6] = 200
    report = neuroglow.evaluate(found, tifffile.imread(label))
    assert words in str(report)
    assert cure in str(report)
    with caplog.at_level(logging.WARNING):
        for turn in range(2):
            neuroglow.train(pool, out=tmp_path / f"run{turn}", **TINY)
            assert words in caplog.text
            assert cure in caplog.text
            caplog.clear()
    (tmp_path / "t.swc").write_text("1 2 16 16 16 9 -1\n2 2 20 16 16 9 1\n")
    assert words not in str(neuroglow.label(tmp_path / "t.swc", image, out=tmp_path / "a.tif"))
    wide = neuroglow.label(tmp_path / "t.swc", image, out=tmp_path / "b.tif", radius_um=20)
    assert words in str(wide)
    assert "thins it" in str(wide)


def test_the_cure_of_an_inverted_mask_turns_it_round(tmp_path, capsys):
    pool = inverted(tmp_path / "pool", 1)
    legend = "0=neurite,255=background"
    status, said = run(capsys, "survey", pool, "-o", tmp_path / "s.csv", "--label-map", legend)
    assert (status, "as in an inverted" in said) == (0, False), said
    assert read_survey(tmp_path / "s.csv")[0].other["label_vox"] == str(make_cube(0)[1].sum())


@pytest.mark.parametrize(("neurites", "background"), [(0, 0), (5, 5), (1, 99)])
def test_a_label_of_fewer_neurites_than_background_is_not_doubted(neurites, background):
    assert crowded(neurites, background) == ""


def test_a_label_of_many_values_is_read_alike_by_evaluate_and_training(tmp_path):
    image = make_cube(1)[0]
    numbered = ids(30, np.uint8)
    mask = numbered > 0
    tifffile.imwrite(tmp_path / "l.tif", numbered)
    labels = open_labels(Cube("a", tmp_path / "l.tif", tmp_path / "l.tif"), open_volume(image))
    assert np.array_equal(labels.read(WHOLE), mask)
    report = neuroglow.evaluate(mask.astype(np.uint8), numbered)
    assert report.means["dice"] == 1
    assert "numbers of neurites" in str(report)


def test_a_label_of_another_voxel_size_is_said_and_of_another_shape_refused(
    tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(remarks, "_said", set())
    image, mask = make_cube(1)

    def write(name, array, step):
        metadata = {"axes": "ZYX", "spacing": step, "unit": "um"}
        tifffile.imwrite(tmp_path / name, array, imagej=True, resolution=(1, 1), metadata=metadata)
        return tmp_path / name

    volume = open_volume(write("i.tif", image, 2.0))
    with caplog.at_level(logging.WARNING):
        open_labels(Cube("a", tmp_path / "i.tif", write("same.tif", mask, 2.0)), volume)
        assert not caplog.records
        open_labels(Cube("a", tmp_path / "i.tif", write("l.tif", mask, 1.0)), volume)
    assert "says 1 x 1 x 1 um, its image 2 x 1 x 1 um" in caplog.text
    with pytest.raises(InputError, match="shape of its image"):
        open_labels(Cube("a", tmp_path / "i.tif", write("s.tif", mask[:20], 2.0)), volume)


@pytest.mark.parametrize("column", ["label_map", "channel"])
def test_the_command_line_wins_over_a_column_and_says_so(tmp_path, capsys, caplog, column):
    image, mask = make_cube(0)
    both = np.stack([image[::-1], image], 1)
    tifffile.imwrite(tmp_path / "i.tif", both, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "l.tif", mask * np.uint8(2) + 1)  # 1 background, 3 neurite
    legend = '"1=background,3=neurite"'
    wrong = {"label_map": ('"1=neurite,3=background"', 1), "channel": (legend, 0)}[column]
    (tmp_path / "m.csv").write_text(
        f"name,image,label,label_map,channel\na,i.tif,l.tif,{wrong[0]},{wrong[1]}\n"
    )
    given = {"label_map": legend.strip('"'), "channel": 1}
    with caplog.at_level(logging.WARNING):
        neuroglow.survey(tmp_path / "m.csv", out=tmp_path / "s.csv", **given)
    assert f"overrides the column {column} of a" in caplog.text
    (row,) = read_survey(tmp_path / "s.csv")
    assert row.other["label_vox"] == str(mask.sum())
    assert row.other["channel"] == "1"
    caplog.clear()
    neuroglow.survey(tmp_path / "s.csv", out=tmp_path / "s2.csv", **given)
    assert not caplog.records  # the same, whatever the order
