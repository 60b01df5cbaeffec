"""Trees of a whole brain fall into a crop: by option, translation, record or manifest."""

import json

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.annotating import Annotated, label_to_start_from
from neuroglow.cubes.manifest import Cube, open_labels, read_manifest
from neuroglow.errors import InputError
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.space.geometry import Box
from neuroglow.space.volume import VolumeSpec
from neuroglow.trees.place import Place, cut_alike, parse_offset, place_of, shift_between
from neuroglow.trees.swc import Tree, write_swc
from running import run

SIZE = (2.0, 0.5, 0.5)
START = (10, 60, 90)
SHAPE = (64, 64, 64)


def line(start, stop, *, shift=(0, 0, 0)):
    """A straight neurite between two places of the crop (voxels), in um of the brain."""
    points = (np.linspace(start, stop, 20) + shift) * SIZE
    return Tree(points, np.full(20, 0.5), np.full(20, 2), np.arange(20) - 1)


def ends():
    """A neurite that runs through the crop and leaves it."""
    return line((30, 30, -80), (34, 40, 150), shift=START)


@pytest.fixture(scope="module")
def crop(tmp_path_factory):
    """Whole-brain trees; a crop as OME-Zarr with its translation, and as TIFF without."""
    folder = tmp_path_factory.mktemp("crop")
    write_swc(ends(), folder / "brain.swc")
    write_swc(line((30, 30, 5), (34, 40, 60)), folder / "own.swc")
    write_swc(line((500, 500, 500), (510, 600, 600)), folder / "far.swc")
    spec = VolumeSpec(SHAPE, np.dtype("u1"), SIZE, SHAPE, origin_vox=START)
    create_volume(folder / "crop.ome.zarr", spec).finish()
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    plain = {"imagej": True, "resolution": (2, 2), "metadata": metadata}
    tifffile.imwrite(folder / "crop.tif", np.zeros(SHAPE, np.uint8), **plain)
    neuroglow.label(
        folder / "brain.swc", folder / "crop.tif", out=folder / "right.tif", offset=START
    )
    return folder


def test_an_offset_moves_the_trees_and_is_said(crop, tmp_path, capsys):
    drawn = tifffile.imread(crop / "right.tif")
    middle = (ends().points / SIZE - START).round().astype(int)
    inside = middle[(middle >= 0).all(1) & (middle < 64).all(1)]
    assert len(inside) > 3
    assert (drawn[tuple(inside.T)] == 1).all()
    command = ("label", crop / "brain.swc", "--like", crop / "crop.tif", "-o", tmp_path / "l.tif")
    status, said = run(capsys, *command, "--offset", "10,60,90")
    assert status == 0, said
    assert "begins at voxel 10,60,90 of a larger one (as asked): trees are moved there" in said
    assert np.array_equal(tifffile.imread(tmp_path / "l.tif"), drawn)
    kept = (tmp_path / "l_run.json").read_text()
    assert "10,60,90" in kept


@pytest.mark.parametrize("offset", ["1,2", "a,b,c", "1,2,3,4"])
def test_an_offset_that_is_none_is_refused(crop, tmp_path, capsys, offset):
    command = ("label", crop / "brain.swc", "--like", crop / "crop.tif", "-o", tmp_path / "l.tif")
    status, said = run(capsys, *command, "--offset", offset)
    assert status == 2
    assert "offset" in said
    with pytest.raises(InputError, match="Z,Y,X"):
        parse_offset(offset, "here")


def test_a_translation_moves_whole_brain_trees_and_leaves_those_of_the_crop(crop, tmp_path):
    right = tifffile.imread(crop / "right.tif")
    report = neuroglow.label(crop / "brain.swc", crop / "crop.ome.zarr", out=tmp_path / "a.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), right)
    assert "(its translation): trees are moved there" in str(report)
    report = neuroglow.label(crop / "own.swc", crop / "crop.ome.zarr", out=tmp_path / "b.tif")
    assert "trees lie in it without that" in str(report)
    neuroglow.label(crop / "own.swc", crop / "crop.tif", out=tmp_path / "c.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), tifffile.imread(tmp_path / "c.tif"))


@pytest.mark.parametrize("like", ["crop.ome.zarr", "crop.tif"])
def test_trees_that_miss_the_crop_are_refused(crop, tmp_path, capsys, like):
    words = ("label", crop / "far.swc", "--like", crop / like, "-o", tmp_path / "l.tif")
    for offset in ((), ("--offset", "10,60,90"), ("--offset", "400,400,400")):
        status, said = run(capsys, *words, *offset)
        assert status == 2
        assert "the nodes of a tree lie in its volume" in said
        assert "--offset" in said


def test_evaluate_places_whole_brain_trees_by_option_translation_and_record(crop, tmp_path):
    right = tifffile.imread(crop / "right.tif")
    legend = {"prediction_map": "0=background,1=neurite,2=ignore"}
    asked = neuroglow.evaluate(
        crop / "right.tif", crop / "brain.swc", offset=START, voxel_size=SIZE, **legend
    )
    assert asked.means["dice"] == 1
    spec = VolumeSpec(SHAPE, np.dtype("u1"), SIZE, SHAPE, origin_vox=START)
    volume = create_volume(tmp_path / "p_prob.ome.zarr", spec)
    volume.write(Box.of(SHAPE), (right == 1).astype(np.uint8))
    volume.finish()
    report = neuroglow.evaluate(tmp_path / "p_prob.ome.zarr", crop / "brain.swc")
    assert report.means["dice"] == pytest.approx(1, abs=0.05)
    assert "(its translation)" in str(report)
    found = neuroglow.evaluate(crop / "own.swc", crop / "brain.swc", raw=crop / "crop.ome.zarr")
    assert "trees lie in it without that" in str(found)
    same = neuroglow.evaluate(crop / "brain.swc", crop / "brain.swc", raw=crop / "crop.ome.zarr")
    assert same.means["tree_recovered"] == 1


def test_a_prediction_of_a_part_remembers_where_it_lies(tmp_path):
    image = np.random.default_rng(0).normal(200, 10, (40, 48, 56)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", image)
    for out in ("a_prob.tif", "b_prob.ome.zarr"):
        neuroglow.predict(tmp_path / "i.tif", out=tmp_path / out, roi="8:40,16:48,24:56")
        assert place_of(open_volume(tmp_path / out)).offset == (8, 16, 24)
    neuroglow.predict(
        tmp_path / "b_prob.ome.zarr", out=tmp_path / "c_prob.ome.zarr", roi="1:32,2:32,3:32"
    )
    assert place_of(open_volume(tmp_path / "c_prob.ome.zarr")).offset == (9, 18, 27)


def test_exported_cubes_remember_where_they_were_cut(tmp_path):
    rng = np.random.default_rng(1)
    volume = rng.normal(300, 20, (32, 32, 64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "v.tif", volume)
    neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", cube=32, min_tissue=0)
    neuroglow.select(tmp_path / "s.csv", out=tmp_path / "sel.csv", n=2, export=tmp_path / "cut")
    write_swc(Tree(np.array([[16.0, 16, 20], [16, 16, 60]]), np.ones(2) / 2, np.ones(2, int), np.array([-1, 0])), tmp_path / "t.swc")  # fmt: skip
    cubes = sorted(read_manifest(tmp_path / "cut"), key=lambda c: c.name)
    assert [c.other.get("offset", "") for c in cubes] == ["", "0,0,32"]
    for cube, begin in zip(cubes, (0, 32), strict=True):
        out = tmp_path / f"l{begin}.tif"
        neuroglow.label(tmp_path / "t.swc", cube.image, out=out)
        assert (tifffile.imread(out)[16, 16] == 1).tolist() == [
            20 <= x + begin <= 60 for x in range(32)
        ]
        own = Cube("a", cube.image, tmp_path / "t.swc", other=cube.other)
        labels = open_labels(own, open_volume(cube.image))
        assert np.array_equal(labels.read(Box.of((32, 32, 32))), tifffile.imread(out))


@pytest.mark.parametrize(
    ("place", "points", "moved"),
    [
        (Place((0, 0, 100.0)), [(5, 5, 120), (5, 5, 500)], True),  # of the brain
        (Place((0, 0, 100.0)), [(5, 5, 5), (5, 5, 20)], False),  # of the crop itself
        (Place((0, 0, 10.0)), [(5, 5, 12), (5, 5, 25)], True),  # both would do: of the brain
        (Place((0, 0, 100.0)), [(5, 5, 5), (5, 5, 50), (5, 5, 60)], True),  # misses: refused
        (Place((0, 0, 100.0), certain=False), [(5, 5, 5), (5, 5, 50), (5, 5, 60)], False),
        (Place((0, 0, 100.0), certain=False), [(5, 5, 120), (5, 5, 500)], True),
        (Place((0, 0, 100.0), asked=True), [(5, 5, 5), (5, 5, 20)], True),
    ],
)
def test_trees_are_moved_unless_they_are_of_the_volume_itself(place, points, moved):
    origin, said = place.origin_um(np.array(points, float), (32, 32, 32), (1.0, 1.0, 1.0))
    assert bool(origin.any()) == moved
    assert "of a larger one" in said


def staged(path, unit, position=(20.0, 30.0, 45.0)):
    """An OME-TIFF whose planes say where the stage stood (zyx)."""
    plane = {f"Position{axis}": [v] * 64 for axis, v in zip("ZYX", position, strict=True)}
    plane |= {f"Position{axis}Unit": [unit] * 64 for axis in "ZYX"} if unit else {}
    size = {f"PhysicalSize{axis}": v for axis, v in zip("ZYX", SIZE, strict=True)}
    metadata = {"axes": "ZYX", **size, "Plane": plane}
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint8), ome=True, metadata=metadata)
    return path


def test_the_position_of_the_stage_places_trees_of_the_brain_only(crop, tmp_path):
    image = staged(tmp_path / "a.ome.tif", "µm")
    assert place_of(open_volume(image)).offset == pytest.approx(START)
    assert place_of(open_volume(image, invert=True)).offset == pytest.approx(START)
    drawn = neuroglow.label(crop / "brain.swc", image, out=tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(drawn.output), tifffile.imread(crop / "right.tif"))
    assert "the position of the stage in its file" in " ".join(drawn.notes)
    own = neuroglow.label(crop / "own.swc", image, out=tmp_path / "o.tif")
    bare = neuroglow.label(crop / "own.swc", crop / "crop.tif", out=tmp_path / "p.tif")
    assert np.array_equal(tifffile.imread(own.output), tifffile.imread(bare.output))


def test_a_stage_without_a_unit_of_length_says_nothing(tmp_path):
    for unit in ("", "reference frame"):
        assert place_of(open_volume(staged(tmp_path / "a.ome.tif", unit))).offset == (0, 0, 0)
    assert place_of(
        open_volume(staged(tmp_path / "a.ome.tif", "mm", (0.02, 0.03, 0.045)))
    ).offset == (pytest.approx(START))


def test_a_label_is_the_same_of_an_image_that_is_read_inverted(crop, tmp_path, capsys):
    image = 200 - np.random.default_rng(1).integers(0, 50, SHAPE).astype(np.uint8)
    tifffile.imwrite(tmp_path / "i.tif", image)
    command = ("label", crop / "own.swc", "--like", tmp_path / "i.tif", "--voxel-size", "2;0.5;0.5")
    for name, more in (("a", ()), ("b", ("--invert",))):
        assert run(capsys, *command, "-o", tmp_path / f"{name}.tif", *more)[0] == 0
    one, other = (tifffile.imread(tmp_path / f"{name}.tif") for name in "ab")
    assert np.array_equal(one, other)
    one, other = ((tmp_path / f"{name}_mip.png").read_bytes() for name in "ab")
    assert one != other
    record = json.loads((tmp_path / "b_run.json").read_text())
    assert record["settings"]["invert"] is True


@pytest.fixture
def part(tmp_path):
    """A brain as TIFF, its label and trees; a prediction of a box of it, with its record."""
    rng = np.random.default_rng(1)
    image = rng.normal(100, 5, (48, 56, 64)).astype(np.uint16)
    image[24, 30, 8:60] = 900
    size = {"resolution": (1, 1), "metadata": {"axes": "ZYX", "spacing": 1.0, "unit": "um"}}
    tifffile.imwrite(tmp_path / "brain.tif", image, imagej=True, **size)
    lit = np.uint8(image > 500)
    tifffile.imwrite(tmp_path / "brain_label.tif", lit, imagej=True, **size)
    roi = Box((10, 20, 0), (40, 40, 64))
    tifffile.imwrite(tmp_path / "part_prob.tif", 255 * lit[roi.slices], imagej=True, **size)
    record = {"model": {}, "used": {"roi": str(roi)}, "origin_vox": roi.start,
              "input": {"name": "brain.tif", "shape": image.shape}}  # fmt: skip
    (tmp_path / "part_run.json").write_text(json.dumps(record))
    return tmp_path


def test_of_an_image_the_part_is_read_in_which_a_prediction_of_a_box_lies(part, capsys):
    volumes = [open_volume(part / name) for name in ("part_prob.tif", "brain.tif")]
    (prob, image), said = cut_alike(volumes)
    assert prob is volumes[0]
    assert "10:40,20:40,0:64" in said[0]
    assert np.array_equal(image.read(Box.of(image.shape)) > 500, prob.read(Box.of(prob.shape)) > 0)
    assert shift_between(*volumes) == (10, 20, 0)
    assert shift_between(*volumes[::-1]) == (-10, -20, 0)
    assert (
        run(
            capsys,
            "trace",
            part / "part_prob.tif",
            "--raw",
            part / "brain.tif",
            "-o",
            part / "t.swc",
        )[0]
        == 0
    )
    report = part / "report"
    command = ("evaluate", part / "part_prob.tif", part / "brain_label.tif", "-o", report)
    status, _ = run(capsys, *command, "--raw", part / "brain.tif")
    assert status == 0
    assert "10:40,20:40,0:64" in (report / "report.html").read_text()
    scores = json.loads((report / "scores.json").read_text())
    assert '"recall": 1.0' in json.dumps(scores)


def test_a_smaller_volume_of_which_nothing_says_where_it_lies_is_no_part(part):
    (part / "part_run.json").unlink()
    volumes = [open_volume(part / name) for name in ("part_prob.tif", "brain.tif")]
    assert cut_alike(volumes) == (volumes, [])
    assert shift_between(*volumes) == (0, 0, 0)


def test_a_label_starts_from_the_prediction_of_a_box(part):
    brain = Annotated(
        part / "brain.tif", open_volume(part / "brain.tif"), Box((20, 30, 0), (48, 56, 64))
    )
    label = label_to_start_from(brain, "prediction", part / "part_prob.tif")
    assert (label[4, 0, 8:60] == 1).all()
    assert (label[:20, :10] != 2).all()
    assert (label[20:] == 2).all()
    outside = Annotated(brain.source, brain.volume, Box((0, 0, 0), (8, 8, 8)))
    with pytest.raises(InputError, match="of its box"):
        label_to_start_from(outside, "prediction", part / "part_prob.tif")
