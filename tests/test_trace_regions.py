"""Traced by regions equals traced as a whole: each file, byte for byte, and node by node."""

import pickle

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import neuroglow
from lines import ball, draw, random_walks, straight
from neuroglow.blocks.cluster import Place
from neuroglow.blocks.executors import SerialExecutor, Workers
from neuroglow.errors import SettingsError, StoppedError
from neuroglow.skeleton import region_steps
from neuroglow.trace import region_run

SHAPE = (40, 64, 128)
FILES = (".swc", "_trees.csv", "_bridges.csv", "_decisions.csv")


def tangled(rng, shape=SHAPE):
    """Give a probability: walks that cross, touch and loop, gaps, and somata cut by faces."""
    walks = random_walks(rng, shape, 16, radius=0.6) + random_walks(rng, shape, 1, radius=2.5)
    forks = [straight((20, 10, x), (20, 54, x + 20), 0.6) for x in (10, 31, 60, 95)]
    forks += [straight((20, 33, x), (38, 40, x - 25), 0.6) for x in (42, 70, 104)]
    cells = [ball((20, 31, 64), 6.0), straight((20, 31, 64), (2, 60, 125))]
    cells += [ball((31, 15, 33), 5.5), straight((31, 15, 33), (5, 5, 3))]
    seen = ndimage.gaussian_filter(draw(*walks, *forks, *cells, shape=shape, value=1.0), 0.5)
    dips = ndimage.gaussian_filter(rng.normal(size=shape), 2.5)
    seen[dips > 1.8 * dips.std()] *= 0.4
    seen = np.maximum(seen, draw(*cells[::2], shape=shape))
    seen += ndimage.gaussian_filter(rng.normal(size=shape), 0.7) * 0.1
    return np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("regions")


@pytest.fixture(scope="module")
def probability(folder):
    voxels = tangled(np.random.default_rng(1))
    tifffile.imwrite(folder / "p.tif", voxels)
    return folder / "p.tif"


def traced(probability, out, **settings):
    given = {"threshold": 0.5, "low": 0.4, "block": 32, "gap_um": 14, "voxel_size": (1, 1, 1)}
    return neuroglow.trace(probability, out=out, **given, **settings)


def files(out):
    return [out.with_name(out.stem + end).read_text() for end in FILES]


@pytest.fixture(scope="module")
def wholes(probability, folder):
    """The traces of the whole: with and without crossings and neurons that touch."""
    found = {
        angle: traced(probability, folder / f"whole{angle}.swc", crossing_angle=angle)
        for angle in (75, 0)
    }
    for report in found.values():
        assert report.summary["bridges"] > 2
        assert report.summary["somata"] == 2
    assert found[0].summary["branch_points"] > 2
    return found


@pytest.fixture
def near(monkeypatch):
    """A margin that is shorter than the volume, so that most regions see only a part of it."""
    monkeypatch.setattr(region_steps, "AROUND_VOX", 12)
    monkeypatch.setattr(region_steps, "AROUND", 2)


@pytest.mark.parametrize(("side", "angle"), [(32, 75), (64, 75), (64, 0)])
@pytest.mark.usefixtures("near")
def test_regions_give_the_same_files(probability, wholes, folder, side, angle):
    out = folder / f"r{side}_{angle}.swc"
    own = traced(probability, out, region=side, crossing_angle=angle)
    assert own.summary == wholes[angle].summary
    assert files(out) == files(wholes[angle].output)
    crossed = [len(np.unique(tree.points.astype(int) // side, axis=0)) for tree in own.trees]
    assert max(crossed) > 96 // side
    assert not any("look different" in note for note in own.notes)


def test_too_short_a_margin_is_said(probability, folder, monkeypatch):
    monkeypatch.setattr(region_steps.RegionTask, "margin_of", lambda *_: (2, 2, 2))
    own = traced(probability, folder / "short.swc", region=64)
    assert any("look different" in note for note in own.notes)


@pytest.mark.usefixtures("near")
def test_a_stopped_trace_goes_on_at_the_region(probability, wholes, folder, monkeypatch):
    done: list[int] = []
    step = region_steps._DO["cleaned"]

    def stop(task, block):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(block.index)
        step(task, block)

    monkeypatch.setitem(region_steps._DO, "cleaned", stop)
    out = folder / "stopped.swc"
    with pytest.raises(StoppedError, match="goes on"):
        traced(probability, out, region=64)
    again = {"lines": [], "cleaned": []}
    monkeypatch.setitem(region_steps._DO, "lines", noted(region_steps._DO["lines"], again["lines"]))
    monkeypatch.setitem(region_steps._DO, "cleaned", noted(step, again["cleaned"]))
    traced(probability, out, region=64, mode="resume")
    assert again == {"lines": [], "cleaned": [1]}
    assert files(out) == files(wholes[75].output)


@pytest.mark.usefixtures("near")
def test_a_stopped_trace_may_go_on_with_other_settings(probability, wholes, folder, monkeypatch):
    """Only the middle lines are kept; nothing of the other settings is mixed in."""
    step, out = region_steps._DO["tidied"], folder / "changed.swc"

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(region_steps._DO, "tidied", stop)
    with pytest.raises(StoppedError):
        traced(probability, out, region=64, spur_um=2)
    monkeypatch.setitem(region_steps._DO, "tidied", step)
    traced(probability, out, region=64, mode="resume", crossing_angle=0)
    assert files(out) == files(wholes[0].output)


def noted(step, done):
    """Do a step, and note the region."""

    def do(task, block):
        done.append(block.index)
        step(task, block)

    return do


@pytest.mark.usefixtures("near")
def test_regions_are_chosen_where_the_memory_is_too_small(probability, wholes, folder, monkeypatch):
    monkeypatch.setattr(region_run, "PROCESS_BYTES", 0)
    monkeypatch.setattr(region_run, "LINE_BYTES", 1)
    with pytest.raises(SettingsError, match="--max-memory") as refused:
        traced(probability, folder / "none.swc", max_memory=1)
    assert "voxels of line" in refused.value.found
    monkeypatch.setattr(region_steps.RegionTask, "margin_of", lambda *_: (32, 32, 32))
    own = traced(probability, folder / "small.swc", max_memory=1100)
    assert any("regions of 32 voxels" in n or "regions of 64 voxels" in n for n in own.notes)
    assert files(own.output) == files(wholes[75].output)


def test_regions_need_an_output():
    with pytest.raises(SettingsError, match="an output"):
        neuroglow.trace(np.zeros((40, 40, 40), np.float32), region=32)


class Sending(SerialExecutor):
    """An executor that sends work as to another process, and does it here."""

    def submit(self, fn, /, *args, **kwargs):
        return super().submit(*pickle.loads(pickle.dumps((fn, *args))), **kwargs)


def test_regions_are_traced_wherever_they_are_sent(probability, wholes, folder, monkeypatch):
    monkeypatch.setattr(Place, "workers", lambda *_, **__: Workers(1, Sending))
    out = folder / "sent.swc"
    traced(probability, out, region=64, crossing_angle=0)
    assert files(out) == files(wholes[0].output)
