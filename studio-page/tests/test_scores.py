"""A label drawn from trees and an evaluation against it, ordered on the page; with the server killed in the middle."""

from __future__ import annotations

import json

import numpy as np
from browsing import orange
from playwright.sync_api import expect
from serving import held

from neuroglow.formats.opening import open_volume
from neuroglow.space.geometry import Box


def test_a_label_is_drawn_from_trees_and_a_result_evaluated_against_it(visitor, server, folder):
    visitor.at("label-brain.swc").click()
    visitor.at("label-like").select_option("brain.tif")
    visitor.at("label-radius").fill("1.5")
    visitor.at("label-out").fill("drawn.ome.zarr")
    visitor.at("label-run").click()
    label = visitor.page.locator("[data-output='drawn.ome.zarr']")
    expect(label).to_have_attribute("data-state", "done")
    expect(visitor.at("status")).to_have_text("drawn.ome.zarr is complete.")
    voxels = open_volume(folder / "drawn.ome.zarr")
    assert set(np.unique(voxels.read(Box.of(voxels.shape)))) == {0, 1, 2}
    label.get_by_test_id("look-at").click()
    visitor.wait_for_views(2)
    visitor.slide("slab", 200)
    assert orange(visitor.pixels("slice-xy")) > 50
    visitor.go("browse")
    visitor.at("evaluate-drawn.ome.zarr").click()
    visitor.at("evaluate-result").select_option("brain_prob.tif")
    expect(visitor.at("evaluate-truth")).to_have_value("drawn.ome.zarr")
    expect(visitor.at("evaluate-legend")).to_have_value("0=background,1=neurite,2=ignore")
    visitor.at("evaluate-out").fill("judged")
    visitor.at("evaluate-run").click()
    job = visitor.page.locator("[data-output='judged']")
    with held("drawn.ome.zarr", lambda: True, verb="evaluate"):
        expect(job).to_have_attribute("data-state", "running")
        server.kill()
        server.start()
        visitor.page.reload()
        expect(job).to_have_attribute("data-state", "running")
    expect(job).to_have_attribute("data-state", "done")
    assert json.loads((folder / "judged/scores.json").read_text())
    job.get_by_test_id("look-at").click()
    expect(visitor.page.frame_locator("[data-testid=report]").locator("h1").first).to_be_visible()


def test_trees_are_evaluated_against_trees_of_another_folder(visitor, folder):
    visitor.go("evaluate", result="brain.swc")
    expect(visitor.at("evaluate-threshold")).to_be_hidden()
    visitor.at("evaluate-truth").select_option("phantom/tree.swc")
    expect(visitor.at("evaluate-legend")).to_be_hidden()
    visitor.at("evaluate-out").fill("phantom/same")
    visitor.at("evaluate-run").click()
    job = visitor.page.locator("[data-output='phantom/same']")
    expect(job).to_have_attribute("data-state", "done")
    assert (folder / "phantom/same/report.html").is_file()


def test_a_truth_whose_values_are_not_explained_says_so(visitor):
    """The job fails with the rule and its cure; with the legend it succeeds."""
    visitor.go("evaluate", result="brain_prob.tif", truth="brain_label.tif")
    visitor.at("evaluate-out").fill("explained")
    visitor.at("evaluate-run").click()
    failed = visitor.page.locator("[data-output='explained'][data-state=failed]")
    expect(failed.get_by_test_id("reason")).to_contain_text("--label-map")
    visitor.at("evaluate-legend").fill("0=background,1=neurite,2=ignore")
    visitor.at("evaluate-run").click()
    done = visitor.page.locator("[data-output='explained'][data-state=done]")
    expect(done.first).to_be_visible()
