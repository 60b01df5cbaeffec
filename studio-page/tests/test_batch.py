"""A folder in a batch: one order for all its volumes; and a prediction that is seen block by block."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from browsing import orange
from playwright.sync_api import expect
from serving import held, neuroglow

from neuroglow.progress_file import read_progress

LONG = 960
"""Voxels along x of a volume of several blocks."""


@pytest.fixture(scope="module")
def pool(folder):
    """A folder of three small volumes."""
    place = folder / "pool"
    place.mkdir()
    for name in ("one", "two", "three"):
        shutil.copy(folder / "brain.tif", place / f"{name}.tif")
    return place


def test_all_volumes_of_a_folder_are_enhanced_by_one_order(visitor, server, pool):
    visitor.at("enhance-pool").click()
    expect(visitor.at("batch-three.tif")).to_be_checked()
    visitor.at("run-all").click()
    parts = [visitor.at(f"part-pool/{name}_prob.tif") for name in ("one", "three", "two")]
    job = visitor.page.locator(".job").first
    with held("two.tif", (pool / "three_prob.tif.partial").exists):
        expect(parts[0]).to_have_attribute("data-state", "done")
        with visitor.page.expect_response("**/cancel"):
            job.get_by_test_id("cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled")
    server.kill()
    server.start()
    visitor.page.reload()
    job.get_by_test_id("resume").click()
    for part in parts:
        expect(part).to_have_attribute("data-state", "done")
    expect(job).to_have_attribute("data-state", "done")
    assert all((pool / f"{name}_prob.tif").is_file() for name in ("one", "two", "three"))
    visitor.page.reload()
    expect(visitor.at("batch-two.tif")).not_to_be_checked()
    visitor.at("look-pool/two_prob.tif").click()
    visitor.wait_for_views(2)


def thirds(visitor):
    """Count the pixels of the probability in the first and in the last third of the xy slice."""
    pixels = visitor.pixels("slice-xy")
    third = pixels.shape[1] // 3
    return orange(pixels[:, :third]), orange(pixels[:, -third:])


def in_second_block(folder):
    """Tell whether the newest job has said that it is well within its second block of two."""
    files = sorted(folder.glob(".neuroglow-studio/jobs/*/progress.json"))
    state = read_progress(files[-1]) if files else {}
    return state.get("work") == "wide.tif" and state["done"] > 0.55 * state["total"]


def test_the_probability_appears_block_by_block_while_it_runs(visitor, server, folder):
    """The image repeats, so that the last blocks hold as much as the first ones."""
    image = tifffile.imread(folder / "brain.tif")
    wide = np.tile(image, (1, 3, 1 + LONG // image.shape[2]))[:, :128, :LONG]
    tifffile.imwrite(
        folder / "wide.tif", wide, imagej=True, resolution=(1, 1),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )  # fmt: skip
    visitor.page.set_viewport_size({"width": 1280, "height": 800})
    visitor.go("enhance", volume="wide.tif")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    visitor.slide("blend", 1)
    visitor.slide("slab", 80)
    assert thirds(visitor) == (0, 0)
    visitor.page.locator("[data-testid=order] summary").click()
    visitor.at("memory").fill("600 MB")
    visitor.at("out").fill("wide_prob.ome.zarr")
    visitor.at("run").click()
    card = visitor.page.locator("[data-output='wide_prob.ome.zarr']")
    with held("wide_prob.ome.zarr", lambda: in_second_block(folder)):
        expect(card).to_have_attribute("data-state", "running")
        during, tries = (0, 0), 1800
        while during[0] <= 20 and tries:
            visitor.page.wait_for_timeout(100)
            during, tries = thirds(visitor), tries - 1
        assert during[0] > 20
        assert during[1] < during[0] / 3
        with visitor.page.expect_response("**/cancel"):
            card.get_by_test_id("cancel").click()
    expect(card).to_have_attribute("data-state", "cancelled")
    server.kill()
    server.start()
    visitor.page.reload()
    visitor.wait_for_views(2)
    visitor.slide("blend", 1)
    visitor.slide("slab", 80)
    first, last = thirds(visitor)
    assert first > 20
    assert last < first / 3
    neuroglow("predict", "wide.tif", "--out", "wide_prob.ome.zarr", "--resume", "--max-memory",
              "600MB", folder=folder)  # fmt: skip
    visitor.page.reload()
    visitor.wait_for_views(2)
    visitor.slide("blend", 1)
    visitor.slide("slab", 80)
    first, last = thirds(visitor)
    assert last > first / 3
