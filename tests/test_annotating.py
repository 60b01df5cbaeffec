"""Annotating: labels saved as a training set that `train` reads, nothing else overwritten."""

from pathlib import Path

import numpy as np
import pytest

from neuroglow.cubes.annotating import (
    Annotated,
    annotated_cubes,
    label_to_start_from,
    read_annotation,
    save_annotation,
)
from neuroglow.cubes.export import export_cubes
from neuroglow.cubes.manifest import Cube, check_files, open_image, open_labels, read_manifest
from neuroglow.errors import InputError, OutputError
from neuroglow.formats.opening import open_volume
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume


def volume(path, shape=(20, 24, 28), seed=1):
    voxels = np.random.default_rng(seed).integers(100, 200, shape).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    export_tiff(ArrayVolume(voxels, (2.0, 1.0, 1.0)), path)
    return voxels


def a_box(tmp_path, start=(2, 4, 6), shape=(8, 10, 12)):
    path = tmp_path / "brain.tif"
    if not path.exists():
        volume(path)
    return Annotated(path, open_volume(path), Box.of(shape).shift(start))


def painted(annotated, seed=0):
    return np.random.default_rng(seed).integers(0, 3, annotated.box.shape).astype(np.uint8)


def test_a_saved_label_is_what_train_reads(tmp_path):
    annotated = a_box(tmp_path)
    label = painted(annotated)
    saved = save_annotation(tmp_path / "set", annotated, label)
    (cube,) = read_manifest(tmp_path / "set")
    check_files([cube])
    image = open_image(cube)
    whole = Box.of(image.shape)
    assert np.array_equal(open_labels(cube, image).read(whole), label)  # 2 is ignored, no neurite
    assert np.array_equal(image.read(whole), annotated.volume.read(annotated.box))
    assert image.voxel_size_um == (2.0, 1.0, 1.0)
    assert cube.other["offset"] == "2,4,6"
    assert saved.name == "brain_z2_y4_x6"


def test_a_label_is_read_back_and_replaced_by_its_next_version(tmp_path):
    annotated, there = a_box(tmp_path), tmp_path / "set"
    assert read_annotation(there, annotated) is None
    for seed in (0, 1):
        save_annotation(there, annotated, painted(annotated, seed))
    assert np.array_equal(read_annotation(there, annotated), painted(annotated, 1))
    assert len(annotated_cubes(there)) == 1
    assert read_annotation(there, a_box(tmp_path, start=(3, 4, 6))) is None


def test_two_boxes_are_two_cubes(tmp_path):
    there = tmp_path / "set"
    for start in ((0, 0, 0), (2, 4, 6)):
        annotated = a_box(tmp_path, start)
        save_annotation(there, annotated, painted(annotated))
    assert [cube.name for cube in read_manifest(there)] == ["brain_z0_y0_x0", "brain_z2_y4_x6"]


def test_a_label_that_something_else_changed_is_not_replaced(tmp_path):
    annotated, there = a_box(tmp_path), tmp_path / "set"
    cube = save_annotation(there, annotated, painted(annotated))
    volume(cube.label, annotated.box.shape)
    before = cube.label.read_bytes()
    with pytest.raises(OutputError, match="saved here"):
        save_annotation(there, annotated, painted(annotated, 1))
    assert cube.label.read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    annotated, there = a_box(tmp_path), tmp_path / "set"
    volume(there / "image/brain_z2_y4_x6.tif")
    save_annotation(there, annotated, painted(annotated))
    assert {p.name for p in there.glob("image/*")} == {
        "brain_z2_y4_x6.tif",
        "brain_z2_y4_x6_2.tif",
    }
    for name in ("manifest.csv", "notes.txt"):
        other = tmp_path / name.partition(".")[0]
        other.mkdir()
        (other / name).write_text("name,image\na,a.tif\n")
        with pytest.raises(OutputError, match="folder of their own"):
            save_annotation(other, annotated, painted(annotated))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.zeros((8, 10, 11), np.uint8), "shape"),
        (np.full((8, 10, 12), 3, np.uint8), "the value 3"),
        (np.zeros((8, 10, 12), np.int64), "int64"),
    ],
)
def test_a_label_of_another_form_is_refused(tmp_path, label, message):
    with pytest.raises(InputError, match="found: .*" + message):
        save_annotation(tmp_path / "set", a_box(tmp_path), label)
    assert not (tmp_path / "set").exists()


def test_a_label_starts_from_a_prediction_of_either_type(tmp_path):
    annotated = a_box(tmp_path)
    values = np.random.default_rng(3).integers(0, 256, annotated.volume.shape).astype(np.uint8)
    for probability in (values, values.astype(np.float32) / 255):
        export_tiff(ArrayVolume(probability), tmp_path / "p.tif")
        label = label_to_start_from(annotated, "prediction", tmp_path / "p.tif", 0.7)
        assert np.array_equal(label == 1, values[annotated.box.slices] >= 0.7 * 255)
    volume(tmp_path / "other.tif", (4, 5, 6))
    with pytest.raises(InputError, match="shape of its volume"):
        label_to_start_from(annotated, "prediction", tmp_path / "other.tif")
    with pytest.raises(InputError, match="Enhance"):
        label_to_start_from(annotated, "prediction")


def test_a_label_starts_empty(tmp_path):
    annotated = a_box(tmp_path)
    assert (label_to_start_from(annotated, "background") == 0).all()
    assert (label_to_start_from(annotated, "ignore") == 2).all()


def exported(tmp_path, label=None):
    volume(tmp_path / "pool/a.tif")
    cube = Cube("a", tmp_path / "pool/a.tif", label, "val", other={"reason": "typical"})
    export_cubes([cube], tmp_path / "out")
    path = tmp_path / "out/image/a.tif"
    opened = open_volume(path)
    return Annotated(path, opened, Box.of(opened.shape))


def test_an_exported_cube_keeps_its_split_and_reason_and_its_files(tmp_path):
    annotated = exported(tmp_path)
    before = {p: p.read_bytes() for p in Path(tmp_path / "out").rglob("*.*")}
    cube = save_annotation(tmp_path / "set", annotated, painted(annotated))
    assert (cube.name, cube.split, cube.other["reason"]) == ("a", "val", "typical")
    assert before == {p: p.read_bytes() for p in Path(tmp_path / "out").rglob("*.*")}


def test_an_exported_cube_starts_from_its_label(tmp_path):
    mask = (np.random.default_rng(5).random((20, 24, 28)) > 0.9).astype(np.uint8)
    export_tiff(ArrayVolume(mask), tmp_path / "label.tif")
    annotated = exported(tmp_path, tmp_path / "label.tif")
    assert np.array_equal(label_to_start_from(annotated, "label"), mask)
    with pytest.raises(InputError, match="exported with the cube"):
        label_to_start_from(a_box(tmp_path), "label")
