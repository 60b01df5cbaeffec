"""What is kept follows the content of a file, never its path, its size or its time."""

import os

import h5py
import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile

from neuroglow import open_volume
from neuroglow.network.enhance import units_of
from neuroglow.phantom.neurons import read_neurons
from neuroglow.space.geometry import Box
from neuroglow.trees.place import place_of


def write_hdf5(path, image):
    with h5py.File(path, "w") as file:
        file["data"] = image


def write_mrc(path, image):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(image)
        file.voxel_size = (5e3, 5e3, 2e4)


def write_nhdr(path, image):
    header = {"encoding": "gzip"}
    nrrd.write(str(path), image, header, detached_header=True, index_order="C", compression_level=0)


def write_slices(path, image):
    path.mkdir(exist_ok=True)
    for number, plane in enumerate(image):
        tifffile.imwrite(path / f"z{number:03d}.tif", plane)


WRITERS = {
    "a.tif": tifffile.imwrite,
    "a.h5": write_hdf5,
    "slices": write_slices,
    "a.nrrd": lambda path, image: nrrd.write(
        str(path), image, {"encoding": "raw"}, index_order="C"
    ),
    "a.nhdr": write_nhdr,
    "a.nii": lambda path, image: nibabel.save(nibabel.Nifti1Image(image.T, np.eye(4)), path),
    "a.mrc": write_mrc,
}


def files_of(path):
    return sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_an_input_that_is_replaced_is_read_anew_though_its_size_and_time_are_those_of_before(
    tmp_path, name
):
    rng = np.random.default_rng(3)
    one, other = (300 + 20 * rng.standard_normal((2, 34, 40, 40))).astype(np.uint16)
    path = tmp_path / name
    WRITERS[name](path, one)
    before = open_volume(path)
    whole = Box.of(before.shape)
    assert np.array_equal(before.read(whole), one)
    units = units_of(before, 32).read(whole)
    kept = {
        f: (f.stat().st_size, f.stat().st_atime_ns, f.stat().st_mtime_ns) for f in files_of(path)
    }
    WRITERS[name](path, other)
    for file, (size, *times) in kept.items():
        assert file.stat().st_size == size
        os.utime(file, ns=tuple(times))
    after = open_volume(path)
    assert after.identity != before.identity
    assert np.array_equal(after.read(whole), other)
    assert not np.allclose(units_of(after, 32).read(whole), units)


def test_a_table_of_places_and_a_neuron_are_read_anew(tmp_path):
    image, table, swc = (tmp_path / n for n in ("a.tif", "manifest.csv", "n.swc"))
    tifffile.imwrite(image, np.zeros((5, 8, 8), np.uint16))
    found = []
    for digit in "12":
        table.write_text(f'image,offset\na.tif,"{digit},0,0"\n')
        swc.write_text(f"1 2 0 0 0 1 -1\n2 2 {digit} 0 0 1 1\n")
        for file in (table, swc):
            os.utime(file, ns=(10**18, 10**18))
        neuron = read_neurons(str(tmp_path))[0][0]
        found.append((place_of(open_volume(image)).offset, float(np.max(neuron.points))))
    assert found == [((1.0, 0.0, 0.0), 1.0), ((2.0, 0.0, 0.0), 2.0)]
