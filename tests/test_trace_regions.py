"""Traced by regions equals traced as a whole: each file, byte for byte, and node by node."""


import numpy as np
import pytest
import tifffile
from scipy import ndimage

import neuroglow
from lines import ball, draw, random_walks, straight
from neuroglow.skeleton import region_steps

SHAPE = (64, 96, 160)
FILES = (".swc", "_trees.csv", "_bridges.csv", "_decisions.csv")


def tangled(rng, shape=SHAPE):
    """Give a probability: walks that cross, touch and loop, gaps, and somata cut by faces."""
    walks = random_walks(rng, shape, 16, radius=1.0) + random_walks(rng, shape, 1, radius=3)
    cells = [ball((30, 47, 64), 6.0), straight((30, 47, 64), (30, 90, 150))]
    cells += [ball((33, 65, 100), 5.5), straight((33, 65, 100), (5, 5, 130))]
    seen = ndimage.gaussian_filter(draw(*walks, *cells, shape=shape, value=1.0), 0.7)
    dips = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    seen[dips > 1.3 * dips.std()] *= 0.4
    seen = np.maximum(seen, draw(*cells[::2], shape=shape))
    seen += ndimage.gaussian_filter(rng.normal(size=shape), 0.7) * 0.2
    return np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("regions")


@pytest.fixture(scope="module")
def probability(folder):
    voxels = tangled(np.random.default_rng(5))
    tifffile.imwrite(folder / "p.tif", voxels)
    return folder / "p.tif"


def traced(probability, out, **settings):
    given = {"threshold": 0.6, "low": 0.45, "block": 32, "gap_um": 14, "voxel_size": (1, 1, 1)}
    return neuroglow.trace(probability, out=out, **given, **settings)


def files(out):
    return [out.with_name(out.stem + end).read_text() for end in FILES]


@pytest.fixture(scope="module")
def whole(probability, folder):
    report = traced(probability, folder / "whole.swc")
    assert report.summary["bridges"] > 2
    assert report.summary["branch_points"] > 2
    assert report.summary["somata"] == 2
    return report


@pytest.mark.parametrize("side", [32, 64, 96])
def test_regions_give_the_same_files(probability, whole, folder, monkeypatch, side):
    """The margin is shorter than the volume: most regions see only a part of it."""
    monkeypatch.setattr(region_steps, "AROUND_VOX", 12)
    monkeypatch.setattr(region_steps, "AROUND", 2)
    report = traced(probability, folder / f"r{side}.swc", region=side)
    assert report.summary == whole.summary
    assert files(report.output) == files(whole.output)
    crossing = [
        tree for tree in report.trees if len(np.unique(tree.points.astype(int) // side, axis=0)) > 2
    ]
    assert side > 64 or len(crossing) > 3
    assert not any("look different" in note for note in report.notes)
