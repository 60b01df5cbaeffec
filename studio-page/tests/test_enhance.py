"""Enhance: a prediction with the bundled model to its end; one cancelled and resumed; one without its server."""

from __future__ import annotations

import shutil

from browsing import orange
from playwright.sync_api import expect

from conftest import VOXEL_UM
from neuroglow.files.record import read_record
from neuroglow.network.models import find_model


def order(visitor, out, box=""):
    """Order a prediction of the phantom; return its card."""
    visitor.go("enhance", volume="brain.tif")
    visitor.at("box").fill(box)
    visitor.at("box").press("Enter")
    visitor.at("out").fill(out)
    visitor.at("run").click()
    return visitor.page.locator(f"[data-output='{out}']")


def test_a_prediction_runs_to_its_end_and_lies_over_the_image(visitor, folder, bright):
    card = order(visitor, "first_prob.ome.zarr")
    expect(card).to_have_attribute("data-state", "running")
    visitor.page.reload()
    expect(card).to_have_attribute("data-state", "done")
    visitor.wait_for_views(2)
    assert (folder / "first_prob.ome.zarr/zarr.json").is_file()
    at = ",".join(str(v * size) for v, size in zip(bright, VOXEL_UM, strict=True))
    visitor.look(volume="brain.tif", probability="first_prob.ome.zarr", at=at)
    visitor.slide("blend", 1)
    assert orange(visitor.middle("slice-xy")) > 12
    assert orange(visitor.pixels("slice-xy")) < 0.1 * visitor.pixels("slice-xy")[..., 0].size


def test_a_model_of_the_folder_is_loaded_and_run(visitor, server, folder):
    shutil.copytree(find_model("light-microscopy"), folder / "my_model", dirs_exist_ok=True)
    visitor.page.reload()
    visitor.at("enhance-my_model").click()
    visitor.at("choose-brain.tif").click()
    expect(visitor.at("model")).to_have_value("my_model")
    visitor.at("box").fill("0:40, 0:40, 0:40")
    visitor.at("box").press("Enter")
    visitor.at("out").fill("mine_prob.ome.zarr")
    visitor.at("run").click()
    card = visitor.page.locator("[data-output='mine_prob.ome.zarr']")
    expect(card).to_have_attribute("data-state", "done")
    visitor.wait_for_views(2)
    visitor.slide("blend", 1)
    visitor.slide("slab", 200)
    assert orange(visitor.pixels("slice-xy")) > 50
    assert read_record(folder / "mine_prob.ome.zarr")["model"]["name"]


def test_a_prediction_is_cancelled_and_resumed(visitor, folder):
    card = order(visitor, "second_prob.ome.zarr", box="0:40, 0:40, 0:40")
    expect(card).to_have_attribute("data-state", "running")
    card.get_by_test_id("cancel").click()
    expect(card).to_have_attribute("data-state", "cancelled")
    visitor.page.reload()
    card.get_by_test_id("resume").click()
    expect(card).to_have_attribute("data-state", "done")
    assert (folder / "second_prob.ome.zarr/zarr.json").is_file()


def test_a_job_goes_on_without_its_server(visitor, server):
    card = order(visitor, "third_prob.ome.zarr")
    expect(card).to_have_attribute("data-state", "running")
    server.kill()
    expect(visitor.at("errors")).to_contain_text("does not answer")
    server.start()
    expect(card).to_have_attribute("data-state", "done")
    visitor.go("jobs")
    expect(card).to_have_attribute("data-state", "done")
