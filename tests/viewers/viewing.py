"""What the tests of viewers share: which viewers are here, and real files to open."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

import neuroglow
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.space.volume import ArrayVolume

WHY = "{} is not installed here: `make test-viewers` has an environment with it"


def needs(*packages, display=False):
    """Skip the tests of a file where a viewer, or the display that it draws on, is absent."""
    absent = [name for name in packages if find_spec(name.split(".")[0]) is None]
    marks = [pytest.mark.filterwarnings("default")]  # the warnings of viewers are their own
    marks += [pytest.mark.skipif(bool(absent), reason=WHY.format(", ".join(absent)))]
    if display:
        hidden = not os.environ.get("DISPLAY")
        marks += [pytest.mark.skipif(hidden, reason="no display: run it under xvfb-run")]
    return marks


def make_files(folder):
    """Make a synthetic cube (TIFF), its truth as a mask, its probability (OME-Zarr), its trace."""
    cube = neuroglow.make_cube({"shape": (40, 64, 72)}, seed=3)
    truth = np.where(cube.label == 1, 230, 0).astype(np.uint8)
    for name, voxels in (("cube", cube.image), ("cube_truth", truth)):
        export_tiff(ArrayVolume(voxels, (2.0, 1.0, 1.0)), folder / f"{name}.tif")
    neuroglow.predict(folder / "cube.tif", out=folder / "cube_prob.ome.zarr")
    neuroglow.trace(folder / "cube_prob.ome.zarr", out=folder / "cube.swc")
    return folder
