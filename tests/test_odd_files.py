"""Files as people have them: read right, or refused in words; never a traceback, never wrong."""

import importlib
import logging
import re

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroglow.errors import NeuroglowError, ReadError
from neuroglow.files import remarks
from neuroglow.files.outputs import output_names
from neuroglow.formats.opening import find_volumes, open_volume
from neuroglow.space.geometry import Box
from neuroglow.space.units import micrometres_of
from odd_files import IMAGE, MAKERS, SIZE, ngff

importlib.import_module("odd_formats")  # adds its makers


def whole(volume):
    return volume.read(Box.of(volume.shape))


@pytest.mark.parametrize("name", MAKERS)
def test_an_odd_file_is_read_right_or_refused_in_words(name, tmp_path):
    source, right = MAKERS[name](tmp_path)
    if isinstance(right, str):
        with pytest.raises(NeuroglowError) as refused:
            whole(open_volume(source))
        assert re.search(right, str(refused.value)), str(refused.value)
        return
    voxels, size = right
    volume = open_volume(source)
    assert np.array_equal(whole(volume), voxels)
    box = Box((2, 3, 5), (7, 20, 11))
    assert np.array_equal(volume.read(box), voxels[box.slices])
    assert volume.voxel_size_um == (None if size is None else pytest.approx(size))


@pytest.mark.parametrize(
    ("spelt", "factor"),
    [
        *[
            (u, 1)
            for u in ("um", "µm", "μm", "Âµm", "\\u00B5m", "micron", " Microns", "Micrometre")
        ],
        *[("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("inch", 25400), ("Å", 1e-4)],
        *[(u, None) for u in ("pixel", "", None, "furlong", "second")],
    ],
)
def test_units_of_every_spelling(spelt, factor):
    assert micrometres_of(spelt) == factor


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    axes=st.permutations("zyx"),
    dtype=st.sampled_from(["uint8", ">u2", "<i2", "uint32", ">f4", "float64"]),
    unit=st.sampled_from([("um", 1), ("nanometer", 1e-3), ("Micron", 1), ("mm", 1e3)]),
    kind=st.sampled_from(["zarr 2", "zarr 3", "hdf5", "tiff"]),
    upper=st.booleans(),
)
def test_any_axes_type_order_and_unit_is_as_an_independent_reader_has_it(
    tmp_path_factory, axes, dtype, *, unit, kind, upper
):
    folder, names = tmp_path_factory.mktemp("v"), "".join(axes)
    names = names.upper() if upper else names
    stored = (IMAGE % 250).transpose(["zyx".index(a) for a in axes]).astype(dtype)
    word, factor = unit
    scale = [SIZE["zyx".index(a)] / factor for a in axes]
    size = SIZE
    if kind.startswith("zarr"):
        source = ngff(folder / "a.zarr", stored, names, word, scale=scale, version=int(kind[-1]))
        seen = zarr.open_array(source / "0", mode="r")[...]
    elif kind == "hdf5":
        source, size = folder / "a.h5", None
        with h5py.File(source, "w") as file:
            file["d"] = stored
            for dimension, name in zip(file["d"].dims, names, strict=True):
                dimension.label = name
        with h5py.File(source) as file:
            seen = file["d"][...]
    else:
        source, size = folder / "a.tif", None
        tifffile.imwrite(source, stored, metadata={"axes": names.upper()}, photometric="minisblack")
        seen = tifffile.imread(source)
    right = seen.transpose([axes.index(a) for a in "zyx"])
    try:
        volume = open_volume(source)
    except NeuroglowError as error:
        assert kind == "tiff", str(error)  # planes that are not yx are refused
        assert names[-2:].upper() != "YX"
        return
    assert np.array_equal(whole(volume), right)
    assert volume.dtype.isnative
    assert volume.voxel_size_um == (None if size is None else pytest.approx(size))


def test_what_is_guessed_and_left_out_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(remarks, "_said", set())
    said = {
        "zarr_unit_unknown": "voxel size cannot be read",
        "fiji_planes_as_channels": "8 channels are read as planes",
        "slices_with_projection": "MAX_z.tif",
        "tiff_appended_planes": "8 series of one plane",
        "tiff_with_thumbnail": "left out",
        "zarr_container_of_one": "the one image",
    }
    for name, words in said.items():
        (tmp_path / name).mkdir()
        source, _ = MAKERS[name](tmp_path / name)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            open_volume(source)
            open_volume(source)
        assert sum(words in record.getMessage() for record in caplog.records) == 1, name


def test_a_zarr_that_was_rewritten_is_read_anew(tmp_path):
    path = ngff(tmp_path / "a.zarr", IMAGE)
    before = open_volume(path)
    identity = before.identity
    assert np.array_equal(whole(before), IMAGE)
    zarr.open_array(path / "0", mode="r+")[...] = IMAGE + 1
    assert np.array_equal(whole(open_volume(path)), IMAGE + 1)
    assert open_volume(path).identity != identity
    ngff(path, IMAGE[:4].astype("uint8"))
    assert np.array_equal(whole(open_volume(path)), IMAGE[:4].astype("uint8"))
    with pytest.raises(ReadError, match="since it was opened"):
        before.read(Box((5, 0, 0), (6, 4, 4)))


def test_a_tiff_of_several_files_is_another_when_one_of_them_is(tmp_path):
    source, _ = MAKERS["ome_in_two_files"](tmp_path)
    before = open_volume(source)
    assert before.identity == open_volume(source).identity
    second = (tmp_path / "1.ome.tif").read_bytes()
    (tmp_path / "1.ome.tif").write_bytes(second + b"\0")
    assert open_volume(source).identity != before.identity
    assert find_volumes(tmp_path) == [source]


def test_labels_results_and_projections_in_a_folder_are_no_images(tmp_path, caplog):
    for name in ("b.tif", "a.tif", "a_prob.tif", "label.tif", "b_mask.tif"):
        tifffile.imwrite(tmp_path / name, IMAGE)
    tifffile.imwrite(tmp_path / "AVG_a.tif", IMAGE[0])
    with caplog.at_level(logging.WARNING):
        assert find_volumes(tmp_path) == [tmp_path / "a.tif", tmp_path / "b.tif"]
    assert "a_prob.tif" in caplog.text
    assert "AVG_a.tif" in caplog.text
    assert len(find_volumes(tmp_path, images=False)) == 5
    (tmp_path / "only").mkdir()
    tifffile.imwrite(tmp_path / "only/a_prob.tif", IMAGE)
    with pytest.raises(NeuroglowError, match=r"only a_prob\.tif"):
        find_volumes(tmp_path / "only")


def test_outputs_of_inputs_with_one_name_are_named_by_their_folders(tmp_path):
    images = [tmp_path / folder / "image.tif" for folder in ("a", "b")]
    assert output_names(images) == ["a_image", "b_image"]
    assert output_names([tmp_path / "a.tif", tmp_path / "b.tif"]) == ["a", "b"]
    assert len(set(output_names([tmp_path / "a.tif", tmp_path / "a.h5"]))) == 2
    with pytest.raises(NeuroglowError, match="given once"):
        output_names([images[0], images[0]])


def test_a_channel_of_a_folder_of_slices_is_chosen(tmp_path):
    source, _ = MAKERS["slices_two_channels"](tmp_path)
    files = open_volume(source, channel=1).files
    assert [f.name for f in files] == [f"z{z}_C1.tif" for z in range(8)]
