"""Enhance: a prediction with the bundled model to its end; one cancelled and resumed; one without its server."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from browsing import orange, states
from playwright.sync_api import expect
from scipy.ndimage import binary_dilation
from serving import held, neuroglow

from conftest import SHAPE, VOXEL_UM
from neuroglow.files.record import read_record
from neuroglow.formats.opening import open_volume
from neuroglow.network.models import find_model
from neuroglow.space.geometry import Box

START = (0, 8, 28)
"""Where a box begins of which a part is predicted: the right half, without the first rows."""


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
    with held("first_prob.ome.zarr", lambda: True):
        expect(card).to_have_attribute("data-state", "running")
        visitor.page.reload()
    expect(card).to_have_attribute("data-state", "done")
    card.get_by_test_id("to-trace").click()
    expect(visitor.at("trace-run")).to_be_visible()
    visitor.page.go_back()
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
    visitor.at("box").fill(", ".join(f"{a}:{b}" for a, b in zip(START, SHAPE, strict=True)))
    visitor.at("box").press("Enter")
    visitor.at("out").fill("mine_prob.ome.zarr")
    visitor.at("run").click()
    card = visitor.page.locator("[data-output='mine_prob.ome.zarr']")
    expect(card).to_have_attribute("data-state", "done")
    expect(visitor.at("shown")).to_have_text("Over the image: mine_prob.ome.zarr")
    visitor.wait_for_views(2)
    visitor.slide("blend", 1)
    visitor.slide("slab", 200)
    halves_of(visitor)
    assert read_record(folder / "mine_prob.ome.zarr")["model"]["name"]


@pytest.mark.parametrize("box", ["0:40, 0:48", "0:40, 0:48, 0:5600"])
def test_nothing_is_run_while_its_box_is_none_of_the_volume(visitor, folder, box):
    order(visitor, "never_prob.ome.zarr", box=box)
    assert not visitor.at("box").evaluate("input => input.checkValidity()")
    assert visitor.at("box").input_value() == box
    visitor.at("box").fill("")
    visitor.at("box").press("Enter")
    assert visitor.at("box").evaluate("input => input.checkValidity()")
    visitor.go("jobs")
    visitor.page.wait_for_selector("[data-testid=jobs][data-ready=true]")
    assert visitor.page.locator("[data-output='never_prob.ome.zarr']").count() == 0


def test_a_box_typed_before_the_volume_is_open_is_taken(visitor):
    """The page is there before the volume: what is typed then counts once it has come."""
    held = []
    visitor.page.route(
        "**/api/volume?*", lambda route: route.continue_() if held else held.append(route)
    )
    visitor.go("enhance", volume="brain.tif")
    visitor.at("box").fill("0:20, 0:24, 0:28")
    visitor.at("box").press("Enter")
    expect(visitor.at("extent")).to_contain_text("whole volume")
    held[0].continue_()
    expect(visitor.at("extent")).to_have_text("The box 0:20, 0:24, 0:28")
    assert visitor.at("box").evaluate("input => input.checkValidity()")


def halves_of(visitor):
    """Assert that what is orange lies in the right half of the image, where the box is."""
    visitor.at("showCrosshair").uncheck()
    for pixels in (visitor.pixels("slice-xy")[:-45], visitor.settled("projection")[4:-4]):
        middle = pixels.shape[1] // 2
        assert orange(pixels[:, : middle - 6]) == 0  # but for the outline of the box
        assert orange(pixels[:, middle:]) > 50


def test_what_was_made_of_a_box_lies_in_its_box(visitor, folder):
    """The probability, voxel by voxel; its trees; and the image, where the box is what is checked."""
    roi = ",".join(f"{a}:{b}" for a, b in zip(START, SHAPE, strict=True))
    neuroglow("predict", "brain.tif", "--out", "box_prob.ome.zarr", "--roi", roi, folder=folder)
    traced = ("box_prob.ome.zarr", "--raw", "brain.tif", "--out", "box.swc", "--min-length-um", 4)
    neuroglow("trace", *traced, folder=folder)
    whole = open_volume(folder / "box_prob.ome.zarr")
    lit = np.zeros(SHAPE[1:], bool)
    lit[tuple(slice(a, None) for a in START[1:])] = whole.read(Box.of(whole.shape)).max(0) >= 128
    files = {"volume": "brain.tif", "probability": "box_prob.ome.zarr"}
    visitor.look(**files, trees="box.swc", slab=200, scale=0.25, threshold=0.5, blend=1, binary=1)
    visitor.at("showTrees").uncheck()
    halves_of(visitor)
    seen = at_voxels(visitor.pixels("slice-xy"), scale=0.25)
    inside = ~np.isnan(seen)
    assert inside.sum() > 1000
    assert ((seen > 60) == lit)[inside].mean() > 0.99
    visitor.at("showProbability").uncheck()
    visitor.at("showRaw").uncheck()
    visitor.at("showTrees").check()
    near = binary_dilation(lit, iterations=3)
    brightest = visitor.pixels("slice-xy")[..., :3].max(axis=2, keepdims=True)
    drawn = at_voxels(brightest, 0.25, over=0) > 100
    assert near[drawn].mean() > 0.9
    assert 0 < drawn.mean() < 0.2
    visitor.go("check", trees="box.swc", **files)
    states(visitor, "check-count", "tree")
    visitor.at("slice-xy").wait_for()
    visitor.wait_for_views(2)
    expect(visitor.at("slice-xy")).to_have_attribute("aria-label", re.compile(f"of {SHAPE[0]}$"))
    expect(visitor.at("slice-zy")).to_have_attribute(
        "aria-label", re.compile(f"of {SHAPE[2] - START[2]}$")
    )


def at_voxels(pixels, scale, over=2):
    """Read the slice xy at each voxel's middle: red minus channel `over`; NaN outside the canvas."""
    values = np.full(SHAPE[1:], np.nan)
    height, width = pixels.shape[:2]
    for y in range(SHAPE[1]):
        for x in range(SHAPE[2]):
            down = round((y - SHAPE[1] // 2) / scale + height / 2)
            right = round((x - SHAPE[2] // 2) / scale + width / 2)
            if 0 <= down < height - 45 and 0 <= right < width:
                pixel = pixels[down, right].astype(int)
                values[y, x] = pixel[0] - (pixel[over] if over else 0)
    return values


def test_a_prediction_is_cancelled_and_resumed(visitor, folder):
    card = order(visitor, "second_prob.ome.zarr", box="0:40, 0:40, 0:40")
    with (
        held("second_prob.ome.zarr", lambda: True),
        visitor.page.expect_response("**/cancel"),
    ):
        card.get_by_test_id("cancel").click()
    expect(card).to_have_attribute("data-state", "cancelled")
    visitor.page.reload()
    card.get_by_test_id("resume").click()
    expect(card).to_have_attribute("data-state", "done")
    assert (folder / "second_prob.ome.zarr/zarr.json").is_file()


def test_a_job_goes_on_without_its_server(visitor, server):
    card = order(visitor, "third_prob.ome.zarr")
    with held("third_prob.ome.zarr", lambda: True):
        expect(card).to_have_attribute("data-state", "running")
        server.kill()
        expect(visitor.at("errors")).to_contain_text("does not answer")
    server.start()
    expect(card).to_have_attribute("data-state", "done")
    visitor.go("jobs")
    expect(card).to_have_attribute("data-state", "done")
