"""The gate by tile: the same tiles in any blocks, exact where it opens, and told in the report."""

import json

import numpy as np
import pytest
import tifffile

from neuroglow import predict
from neuroglow.imaging.gate import coarse
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network import tiles
from neuroglow.network.tiles import TILE, Tiles, join, open_tiles
from neuroglow.space.geometry import Block, Box, tile
from test_engines import ENGINES
from test_predict import EXACT, HALO, save_tiny, small_blocks

SHAPE = (64, 64, 320)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def image():
    """White noise with a line in two of five tiles, far from the others."""
    image = np.random.default_rng(0).normal(400, 20, SHAPE)
    image[30:33, 20:44, 20:23] += 200
    image[30:33, 36:60, 290:293] += 200
    return image.round().astype(np.uint16)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gate_is_exact_where_it_opens_and_the_same_in_any_blocks(image, model, engine):
    form = {"model": model, "engine": engine, **EXACT}
    ungated = predict(image, gate=False, max_memory=4 * 10**9, **form)
    whole = predict(image, max_memory=4 * 10**9, **form)
    blocked = predict(image, max_memory=small_blocks(model, 97 * 64 * 100, engine), **form)
    assert np.abs(whole - blocked).max() <= 1e-6
    opened = [
        part.write for part in tile(Box.of(SHAPE), (TILE,) * 3) if whole[part.write.slices].any()
    ]
    assert len(opened) == 2
    for box in opened:
        assert np.abs(whole[box.slices] - ungated[box.slices]).max() <= 1e-6


def test_the_report_and_the_record_tell_the_tiles_that_were_skipped(tmp_path, image, model):
    tifffile.imwrite(tmp_path / "a.tif", image)
    [report] = predict(tmp_path / "a.tif", model=model, out=tmp_path / "p.tif")
    assert report.tiles == {"total": 5, "skipped": 3}
    assert "3 of 5 tiles" in str(report)
    assert json.loads(report.record.read_text())["tiles"] == report.tiles
    [without] = predict(tmp_path / "a.tif", model=model, out=tmp_path / "q.tif", gate=False)
    assert "tiles" not in str(without)


def test_boxes_cover_every_open_tile_once_and_read_less_than_the_whole():
    rng = np.random.default_rng(3)
    block = Box.of((4 * TILE,) * 3)
    every = [part.write for part in tile(block, (TILE,) * 3)]

    def reads(box):
        return box.grow(HALO).intersect(block).size

    for share in (0.02, 0.1, 0.3, 1.0):
        opened = [box for box in every if rng.random() < share] or every[:1]
        boxes = join(opened, reads)
        covered = np.zeros(block.shape, np.uint8)
        for box in boxes:
            covered[box.slices] += 1
        assert covered.max() == 1
        assert all(covered[box.slices].all() for box in opened)
        assert sum(map(reads, boxes)) <= reads(block)
    assert join(every, reads) == [block]
    assert len(join([every[0], every[-1]], reads)) == 2
    assert join([], reads) == []


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 8, 5), (64, 1, 40)])
def test_means_taken_once_a_block_are_those_of_each_tile(monkeypatch, start):
    x = np.random.default_rng(5).normal(size=(150, 201, 155)).astype(np.float32)
    write = Box(start, (150, 190, 155))
    block = Block(0, write.grow(32).intersect(Box.of(x.shape)), write)
    judged = []
    monkeypatch.setattr(tiles, "judge", lambda *seen: judged.append(seen) or "nothing")
    open_tiles(x[block.read.slices], block)
    assert len(judged) == len(tile(write, (TILE,) * 3))
    for part, means in judged:
        np.testing.assert_array_equal(means, coarse(part))


def test_a_look_from_afar_closes_what_the_gate_cannot():
    """In correlated noise the gate is always open; a network that finds nothing closes it."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(64, 64, 128)), 1)
    x = to_noise_units(np.rint(400 + 50 * noise / noise.std()).astype(np.uint16))
    whole = Box.of(x.shape)
    block = Block(0, whole, whole)
    seen = []

    def predicted(part):
        seen.append(part.shape)
        found = np.zeros(part.shape, np.float32)
        if len(seen) == 2:  # within the second tile, not only around it
            found[:, :, part.shape[2] // 2] = 0.3
        return found

    first, second = (part.write for part in tile(whole, (TILE,) * 3))
    assert open_tiles(x, block) == Tiles((first, second))
    assert open_tiles(x, block, predicted, 0.15) == Tiles((second,), (first,))
    assert seen == [(32, 32, 40), (32, 32, 40)]
    assert open_tiles(x, block, predicted, None) == Tiles((first, second))


def test_a_bright_tile_is_not_looked_at_from_afar():
    x = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    x[30:40, 30:40, 30:40] += 8
    whole = Box.of(x.shape)
    assert open_tiles(x, Block(0, whole, whole), lambda part: part * 0, 0.5) == Tiles((whole,))
