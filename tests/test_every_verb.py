"""One law for every verb that works by blocks: what fails is named and repeated, alone."""

import inspect
import os
from importlib import import_module

import numpy as np
import pytest
import tifffile

import neuroglow
from lines import draw, straight
from neuroglow.blocks import blockwise
from neuroglow.blocks.attempt import Outcome, attempt_each
from neuroglow.blocks.cluster import Place
from neuroglow.blocks.executors import local_workers
from neuroglow.errors import BlocksFailedError, OutputError
from neuroglow.formats.levels import LevelBlock
from neuroglow.status import status
from test_predict import save_tiny, small_blocks
from test_receipts import bytes_in

SHAPE = (40, 64, 140)
HOW_IT_WAS_MADE = (".json", ".html", ".png", ".ome.zarr/zarr.json")


class Inputs:
    """The inputs of all verbs."""

    def __init__(self, folder):
        self.image, self.found, self.swc = (folder / n for n in ("in.tif", "p.tif", "t.swc"))
        noise = np.random.default_rng(1).normal(300, 20, SHAPE).astype(np.uint16)
        noise[20:23, 30:33, :] += 400
        tifffile.imwrite(self.image, noise)
        ways = [straight((8 * i, 5, 20), (8 * i, 55, 120)) for i in range(1, 5)]
        lit = draw(*ways, shape=SHAPE)
        tifffile.imwrite(self.found, lit.astype(np.float32))
        self.truth = folder / "truth.tif"
        tifffile.imwrite(self.truth, (lit > 0.5).astype(np.uint8))
        self.swc.write_text("1 0 20 20 10 2 -1\n2 0 120 20 30 2 1\n")
        self.model = str(save_tiny(folder / "tiny"))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("given"))


def predicted(given, out, **how):
    how = {"model": given.model, "max_memory": small_blocks(given.model, 300_000)} | how
    return neuroglow.predict(given.image, out=out / "o.ome.zarr", precision="float32", **how)


def surveyed(given, out, **how):
    return neuroglow.survey(given.image, out=out / "o.csv", cube=64, min_tissue=0, **how)


def traced(given, out, **how):
    how = {"threshold": 0.5, "block": 64} | how
    return neuroglow.trace(given.found, out=out / "o.swc", **how)


def labelled(given, out, **how):
    return neuroglow.label(given.swc, given.image, out=out / "o.ome.zarr", block=64, **how)


def evaluated(given, out, **how):
    return neuroglow.evaluate(given.found, given.truth, out=out / "o", block=64, **how)


def converted(given, out, **how):
    cut = {"chunk": (16, 32, 32), "shard": (16, 64, 64)}
    return neuroglow.convert(given.image, out=out / "o.ome.zarr", **cut, **how)


def made(given, out, **how):
    how = {"seed": 3} | how
    return neuroglow.phantom_brain(out / "o", shape=(32, 32, 64), block=32, **how)


VERBS = {
    "predict": predicted, "survey": surveyed, "trace": traced, "label": labelled,
    "evaluate": evaluated, "convert": converted, "phantom": made,
}  # fmt: skip
INPUTS = {"trace": "found", "label": "swc", "evaluate": "truth"}
OUTPUTS = {"survey": "o.csv", "trace": "o.swc", "evaluate": "o", "phantom": "o"}


@pytest.fixture
def blocks(monkeypatch):
    """The blocks of the verb that are tried, in order; while there is a fault, block 1 fails."""

    class Tried(list):
        fault = ""

    tried = Tried()

    def attempted(work, deadline, stop_s, some):
        if isinstance(work, LevelBlock):
            return attempt_each(work, deadline, stop_s, some)
        if tried.fault and some[0].index == 1:
            return (Outcome("failed", tried.fault),)
        tried.extend(block.index for block in some)
        return attempt_each(work, deadline, stop_s, some)

    monkeypatch.setattr(blockwise, "attempt_each", attempted)
    monkeypatch.setattr(import_module("neuroglow.evaluate"), "MANY", 0)
    return tried


def left(out):
    """Give what a verb leaves, but not what says how and when it was made."""
    return {n: text for n, text in bytes_in(out).items() if not n.endswith(HOW_IT_WAS_MADE)}


def change(verb, given):
    """Change the input of a verb; give what undoes it, and the options of the changed run."""
    if verb == "phantom":
        return (lambda: None), {"seed": 4}
    path = getattr(given, INPUTS.get(verb, "image"))
    kept, times = path.read_bytes(), path.stat()
    content = bytearray(kept)
    content[-4 if verb == "label" else -3] ^= 1  # in an SWC, a digit of the radius
    path.write_bytes(content)

    def undo():
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return undo, {}


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_block_that_fails_is_named_and_repeated_alone_and_only_for_the_same_input(
    verb, given, blocks, tmp_path
):
    run, whole = VERBS[verb], tmp_path / "whole"
    run(given, whole)
    every = blocks.copy()
    blocks.clear()
    blocks.fault = "a torn chunk"
    out = tmp_path / "out"
    with pytest.raises(BlocksFailedError, match="a torn chunk"):
        run(given, out)
    seen = status(out / OUTPUTS.get(verb, "o.ome.zarr"))
    assert seen.failed == {1: "a torn chunk"}
    assert seen.done + seen.skipped == seen.total - 1 > 0
    assert any("!" in row for row in seen.map())
    undo, other = change(verb, given)
    for mode in ("resume", "retry-failed"):
        with pytest.raises(OutputError, match=r"input has changed|another seed"):
            run(given, out, mode=mode, **other)
    undo()
    blocks.clear()
    blocks.fault = ""
    run(given, out, mode="retry-failed")
    first = every[: seen.total]
    assert blocks == [1, *every[seen.total :]]
    assert sorted(first) == list(range(seen.total))
    assert left(out) == left(whole)
    with pytest.raises(OutputError):
        run(given, tmp_path / "never begun", mode="retry-failed")


@pytest.fixture
def limits(monkeypatch):
    """The time limits of the workers that a verb asks for; all work is done here."""
    asked = []

    def workers(self, count, *, begin=None, limit_s=None, at_once=1):
        asked.append(limit_s)
        return local_workers(1)

    monkeypatch.setattr(Place, "workers", workers)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_time_limit_of_a_verb_is_that_of_all_its_blocks(verb, given, limits, tmp_path):
    VERBS[verb](given, tmp_path, time_limit=50)
    assert set(limits) == {50}


@pytest.mark.slow
def test_a_region_may_take_as_long_as_its_blocks(given, limits, tmp_path):
    traced(given, tmp_path, time_limit=50, block=32, region=64)
    assert set(limits) == {50, 8 * 50}


@pytest.mark.parametrize("verb", [*VERBS, "pyramid"])
def test_every_verb_by_blocks_has_the_options_of_a_run(verb):
    command = {"phantom": "brain"}.get(verb, verb)
    function = getattr(import_module(f"neuroglow.cli.{verb}"), command)
    options = inspect.signature(function).parameters
    assert {"workers", "scheduler"} <= options.keys()
    if verb != "pyramid":  # it is repeated as it is
        assert {"time_limit", "resume", "retry_failed"} <= options.keys()
