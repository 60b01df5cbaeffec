"""Names of files are read in one place, and every verb knows the same volumes."""

import numpy as np
import pytest
import tifffile

from conftest import ROOT
from neuroglow.cubes.manifest import read_manifest
from neuroglow.files.names import VOLUME_SUFFIXES, is_output_file, is_volume, stem_of
from neuroglow.formats.opening import find_volumes


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a/brain.ome.zarr", "brain"),
        ("a.b/brain.OME.TIF", "brain"),
        ("brain.v2.tif", "brain.v2"),
        ("brain.h5::/raw/data", "brain"),
        ("my.ome.ome.tif", "my.ome"),
        (".ome.tif", ".ome"),
        ("brain", "brain"),
    ],
)
def test_the_stem_of_a_name(path, stem):
    assert stem_of(path) == stem


def test_what_opens_is_found_in_a_folder_and_as_a_label(tmp_path):
    h5py = pytest.importorskip("h5py")
    for kind in ("image", "label"):
        (tmp_path / kind).mkdir()
        for suffix in (".hdf", ".h5", ".HDF5"):
            with h5py.File(tmp_path / kind / f"cube_{suffix[1:]}{suffix}", "w") as file:
                file["data"] = np.ones((4, 5, 6), np.uint8)
        tifffile.imwrite(tmp_path / kind / "cube_tif.TIFF", np.ones((5, 5, 6), np.uint8))
    assert len(find_volumes(tmp_path)) == 4
    assert [bool(cube.label) for cube in read_manifest(tmp_path)] == [True] * 4


def test_an_output_is_a_file_or_a_folder_by_its_name():
    assert is_output_file("x.ome.zarr") and is_output_file("x.TIF") and not is_output_file("x.h5")
    assert is_volume("x.ims") and not is_volume("x.png")


def test_no_other_module_knows_endings_of_volumes():
    known = [s for s in VOLUME_SUFFIXES if s not in (".zarr", ".tif", ".ims")]  # in outputs' names
    for path in (ROOT / "src/neuroglow").rglob("*.py"):
        if path.name != "names.py":
            text = path.read_text(encoding="utf-8")
            assert not [s for s in known if f'"{s}"' in text], path
            assert '".ome."' not in text, path
