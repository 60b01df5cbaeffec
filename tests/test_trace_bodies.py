"""Somata that a model suppressed: found in the raw image, or else in the faint probability."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import neuroglow
from lines import ball, draw, straight
from neuroglow.errors import StoppedError
from neuroglow.skeleton import bodies, region_steps
from neuroglow.skeleton.bodies import BodySearch
from neuroglow.skeleton.widened import widened
from neuroglow.status import status

SHAPE = (64, 64, 64)
BODY = np.array((31.7, 32.2, 31.6))
WAYS = [(0, 0, 1), (0, 0.6, -0.8), (0.7, 0.7, 0.1), (-0.6, -0.7, 0.4), (0.3, -0.9, -0.4)]


def dendrites(radius, gap):
    """Draw what a model sees of five dendrites: each begins some voxels from the soma."""
    ways = [np.array(way) / np.linalg.norm(way) for way in WAYS]
    return [straight(BODY + (radius + gap) * way, BODY + 27 * way) for way in ways]


def picture(*drawn, seed=1):
    """Give an image: what is drawn, blurred, in noise; a soma is 8 times as bright as the rest."""
    bright = sum(ndimage.gaussian_filter(part, 1.0) for part in drawn)
    noise = np.random.default_rng(seed).normal(size=drawn[0].shape)
    return np.clip(200 + 20 * (8 * bright + noise), 0, 65535).astype(np.uint16)


def body(radius, hollow):
    seen = 8 * draw(ball(BODY, radius), shape=SHAPE)
    return seen - 8 * draw(ball(BODY, radius - 2), shape=SHAPE) if hollow else seen


def counts(report):
    return [report.summary[k] for k in ("trees", "somata", "tips")]


@pytest.mark.parametrize(("radius", "hollow"), [(4.0, False), (5.0, True), (10.0, False)])
def test_a_soma_that_only_the_image_shows_is_the_root_of_one_tree(radius, hollow):
    seen = draw(*dendrites(radius, 4), shape=SHAPE)
    raw = picture(draw(*dendrites(radius, 0), shape=SHAPE), body(radius, hollow))
    assert counts(neuroglow.trace(seen, threshold=0.5))[1] == 0
    report = neuroglow.trace(seen, threshold=0.5, raw=raw)
    assert counts(report) == [1, 1, 5]
    assert np.linalg.norm(report.trees[0].points[0] - BODY) < 1.5
    assert report.trees[0].radii[0] == pytest.approx(radius, abs=1.2)


def cracked(hollow, value):
    """Draw a faint soma with a crack."""
    faint = draw(ball(BODY, 9), shape=SHAPE, value=value)
    if hollow:
        faint[draw(ball(BODY, 7), shape=SHAPE) > 0] = 0
    faint[30:33, 33:36, 36:] = 0
    return faint


@pytest.mark.parametrize("low", [None, 0.45])
@pytest.mark.parametrize("value", [0.03, 0.2])
@pytest.mark.parametrize("hollow", [False, True])
def test_a_faint_soma_with_cracks_is_found_without_an_image(hollow, value, low):
    """However far neurites are followed."""
    seen = np.maximum(draw(*dendrites(9, 3), shape=SHAPE), cracked(hollow, value))
    report = neuroglow.trace(seen, threshold=0.5, low=low)
    assert counts(report) == [1, 1, 5]
    assert any("--raw" in note for note in report.notes)


def test_a_faint_body_is_no_soma_unless_lines_run_to_it():
    """A model is a little unsure of many nuclei, and of tissue beside neurites."""
    for lines, somata in ((dendrites(9, 3)[:3], 0), (dendrites(9, 3)[:4], 1)):
        seen = np.maximum(draw(*lines, shape=SHAPE), cracked(False, 0.2))
        assert neuroglow.trace(seen, threshold=0.5).summary["somata"] == somata
    passing = [straight((z, 44, 4), (z, 44, 60)) for z in (23, 29, 35, 41)]
    seen = np.maximum(draw(*passing, shape=SHAPE), cracked(False, 0.2))
    assert neuroglow.trace(seen, threshold=0.5).summary["somata"] == 0


@pytest.mark.parametrize("away", [0.0, 1.5, 4.0])
def test_a_neurite_that_passes_by_a_soma_is_a_tree_of_its_own(away):
    """At its surface, or a little away; the soma has dendrites."""
    y = BODY[1] + 8 + away
    fibre = straight((31, y, 3), (31, y, 60))
    seen = np.maximum(draw(*dendrites(8, 3)[2:], shape=SHAPE), draw(fibre, shape=SHAPE))
    raw = picture(draw(*dendrites(8, 0)[2:], fibre, shape=SHAPE), body(8, hollow=False))
    report = neuroglow.trace(seen, threshold=0.5, raw=raw)
    assert counts(report) == [2, 1, 5]


@pytest.mark.parametrize("size", [(0.5, 0.5, 0.5), (3.0, 1.0, 1.0)])
def test_bodies_are_measured_in_micrometres(size):
    unit = np.array(size)
    places = np.moveaxis(np.indices((40, 64, 64)), 0, -1) * unit
    centre = unit * (19.3, 30.2, 33.1)
    seen = (np.linalg.norm(places - centre, axis=-1) <= 7).astype(np.float32)
    search = BodySearch(lambda: lambda box: seen[box.slices], (0.5,), seen.shape, unit, 3.0)
    (found,) = search.near(centre[None] / unit)
    assert np.linalg.norm(found.centre - centre) <= max(1, unit.max())
    assert found.radius == pytest.approx(7, abs=max(1, unit.max()))


def test_tubes_and_sheets_are_no_bodies():
    way = draw(straight((32, 20, 4), (32, 20, 60), 4.0), shape=SHAPE)
    way[:, 40:48] = 1
    search = BodySearch(lambda: lambda box: way[box.slices], (0.5,), SHAPE, np.ones(3), 3.0)
    assert not search.near(np.full((1, 3), 32.0))


@pytest.mark.slow
@pytest.mark.parametrize("shown", [True, False])
def test_a_soma_across_a_face_of_regions_is_the_same(shown, tmp_path, monkeypatch):
    """Whether an image shows it, or it is found where lines converge."""
    monkeypatch.setattr(region_steps, "AROUND_VOX", 12)
    monkeypatch.setattr(region_steps, "AROUND", 2)
    radius = 6.0
    seen = draw(*dendrites(radius, 4), shape=SHAPE)
    faint = np.zeros_like(seen) if shown else draw(ball(BODY, radius), shape=SHAPE, value=0.03)
    tifffile.imwrite(tmp_path / "p.tif", np.maximum(seen, faint))
    given = {"threshold": 0.5, "voxel_size": (1, 1, 1), "block": 32}
    if shown:
        raw = picture(draw(*dendrites(radius, 0), shape=SHAPE), body(radius, hollow=False))
        tifffile.imwrite(tmp_path / "raw.tif", raw)
        given |= {"raw": tmp_path / "raw.tif"}
    files = [tmp_path / "whole.swc", tmp_path / "parts.swc"]
    for out, side in zip(files, (None, 32), strict=True):
        report = neuroglow.trace(tmp_path / "p.tif", out=out, region=side, **given)
        assert counts(report) == [1, 1, 5]
    assert files[0].read_text() == files[1].read_text()
    assert not any("look different" in note for note in report.notes)


def test_the_search_is_resumed_where_it_was_stopped(tmp_path, monkeypatch):
    seen = np.tile(draw(*dendrites(9, 3), ball(BODY, 9), shape=SHAPE), (1, 1, 6))
    tifffile.imwrite(tmp_path / "p.tif", seen)
    given = {"threshold": 0.5, "voxel_size": (1, 1, 1), "block": 64}
    neuroglow.trace(tmp_path / "p.tif", out=tmp_path / "once.swc", **given)
    monkeypatch.setattr(bodies, "TILE", 64)
    told, out = [], tmp_path / "twice.swc"

    def stop(progress):
        told.append(progress.work)
        if told.count("somata") == 3:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        neuroglow.trace(tmp_path / "p.tif", out=out, on_progress=stop, **given)
    stopped = status(out)
    assert [part.about["pass"] for part in stopped.parts] == ["somata"]
    assert 0 < stopped.done + stopped.skipped < stopped.total
    neuroglow.trace(tmp_path / "p.tif", out=out, mode="resume", **given)
    assert out.read_text() == (tmp_path / "once.swc").read_text()


def test_faint_neurites_in_a_crowd_are_no_soma():
    crowd = draw(ball(BODY, 9), shape=SHAPE, value=0.1)
    between = np.indices(SHAPE)[1:] % 3 > 0
    crowd[between[0] | between[1]] = 0
    seen = np.maximum(draw(*dendrites(9, 3), shape=SHAPE), crowd)
    assert neuroglow.trace(seen, threshold=0.5).summary["somata"] == 0


@pytest.mark.parametrize("half", [0, 1, 2, 5, 40])
def test_a_mask_is_widened_as_by_a_maximum_filter(half):
    mask = np.random.default_rng(half).random((9, 20, 31)) > 0.97
    for axis in range(3):
        filtered = ndimage.maximum_filter1d(mask, 2 * half + 1, axis=axis, mode="nearest")
        assert np.array_equal(widened(mask, half, axis), filtered)


def test_only_the_tiles_around_a_place_are_searched():
    search = BodySearch(lambda: pytest.fail, (0.5,), (330, 1000, 500), np.array((2, 1, 1)), 5.0)
    assert search.factors.tolist() == [1, 2, 2]
    places = np.random.default_rng(1).uniform(0, search.shape, (3, 3))
    around = {part.index for part in search.around(places)}
    for part in search.tiles:
        start = np.multiply(part.read.start, search.factors)
        stop = np.multiply(part.read.stop, search.factors)
        holds = ((places >= start) & (places < stop)).all(axis=1).any()
        assert holds == (part.index in around)
    assert 0 < len(around) < len(search.tiles)
    assert search.around(np.zeros((0, 3))) == []
