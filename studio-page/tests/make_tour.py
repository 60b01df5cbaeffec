"""Make the pictures of docs/how-to/studio.md and studio-tools.md, with a phantom in a real browser.

.venv/bin/python studio-page/tests/make_tour.py [FOLDER]
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from browsing import Visitor, chromium_program
from playwright.sync_api import expect, sync_playwright
from serving import TOKEN, Server, free_port, neuroglow

PICTURES = Path(__file__).parents[2] / "docs/pictures/studio"


def make_folder(place: Path) -> None:
    """A phantom of 64 voxels a side, its probability and its trees."""
    words = ("phantom", "cube", "--shape", "64,96,96", "--voxel-size", "1.5,1,1", "--seed", 8)
    neuroglow(*words, "--snr", "6,25", "--density", "2,3", "--out", "phantom", folder=place)
    shutil.copy(place / "phantom/image.tif", place / "cortex.tif")
    neuroglow("predict", "cortex.tif", "--out", "cortex_prob.ome.zarr", folder=place)
    neuroglow("trace", "cortex_prob.ome.zarr", "--out", "cortex.swc", folder=place)
    pool = ("phantom", "pool", "--cubes", 12, "--size", 32, "--seed", 5, "--out", "pool")
    neuroglow(*pool, folder=place)


def show(visitor: Visitor, theme: str, name: str) -> None:
    """Save the window in a theme."""
    if visitor.page.evaluate("document.documentElement.dataset.theme") != theme:
        visitor.at("theme").click()
    visitor.after_frame()
    PICTURES.mkdir(parents=True, exist_ok=True)
    visitor.page.screenshot(path=PICTURES / f"{name}-{theme}.png")


def tour(visitor: Visitor) -> None:
    """Go through the pages, in the order of the document."""
    expect(visitor.at("item-cortex.tif").locator("img")).to_be_visible()
    expect(visitor.at("item-cortex_prob.ome.zarr").locator("img")).to_be_visible()
    show(visitor, "dark", "browse")
    files = {"volume": "cortex.tif", "probability": "cortex_prob.ome.zarr"}
    visitor.look(**files, trees="cortex.swc", slab=12, scale=0.5)
    show(visitor, "dark", "look")
    visitor.go("enhance", volume="cortex.tif")
    visitor.at("out").fill("again_prob.ome.zarr")
    visitor.at("run").click()
    card = visitor.page.locator("[data-output='again_prob.ome.zarr']")
    expect(card).to_have_attribute("data-state", "done")
    visitor.wait_for_views(2)
    show(visitor, "light", "enhance")
    tools(visitor)


def tools(visitor: Visitor) -> None:
    """Go through the tools, in the order of their document."""
    visitor.go("choose")
    visitor.at("survey-source").select_option("pool")
    visitor.at("survey-run").click()
    survey = visitor.page.locator("[data-output='pool_survey.csv']")
    expect(survey).to_have_attribute("data-state", "done")
    show(visitor, "light", "survey")
    survey.get_by_test_id("look-at").click()
    brush(visitor)
    visitor.at("reason").fill("faint and crowded")
    visitor.at("take").click()
    pictures = visitor.page.locator(".gallery img")
    for number in range(pictures.count()):
        expect(pictures.nth(number)).to_have_attribute("src", re.compile("blob"))
    show(visitor, "dark", "choose")
    annotate(visitor)
    visitor.at("train-steps").fill("20")
    visitor.at("train-start").click()
    expect(visitor.at("training")).to_have_attribute("data-state", "done", timeout=400_000)
    visitor.at("curves").scroll_into_view_if_needed()
    show(visitor, "light", "train")
    files = {"volume": "cortex.tif", "probability": "cortex_prob.ome.zarr"}
    visitor.go("trace", **files)
    visitor.wait_for_views(2)
    visitor.at("trace-out").fill("again.swc")
    visitor.at("trace-run").click()
    expect(visitor.at("to-check")).to_be_visible()
    visitor.after_frame()
    show(visitor, "dark", "trace")
    visitor.go("evaluate", result="cortex_prob.ome.zarr")
    visitor.at("evaluate-truth").select_option("phantom/label.tif")
    visitor.at("evaluate-legend").fill("0=background,1=neurite,2=ignore")
    visitor.at("evaluate-run").click()
    report = visitor.page.locator("[data-output='cortex_prob_report']")
    expect(report).to_have_attribute("data-state", "done")
    show(visitor, "light", "evaluate")
    visitor.go("check", trees="cortex.swc", **files)
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    expect(visitor.at("accept")).to_be_visible()
    visitor.wait_for_views(2)
    show(visitor, "dark", "check")


def brush(visitor: Visitor) -> None:
    """Drag over the right half of the chart."""
    visitor.at("chart").wait_for()
    chart = visitor.at("chart").bounding_box()
    assert chart is not None
    mouse = visitor.page.mouse
    mouse.move(chart["x"] + chart["width"] / 2, chart["y"] + 5)
    mouse.down()
    mouse.move(chart["x"] + chart["width"] - 5, chart["y"] + chart["height"] - 5, steps=3)
    mouse.up()


def annotate(visitor: Visitor) -> None:
    """Begin a label with the prediction, paint a stroke, and save it."""
    visitor.go("annotate", volume="cortex.tif", box="0:64,16:80,16:80")
    visitor.at("label-start").select_option("prediction")
    visitor.at("label-begin").click()
    expect(visitor.at("label-state")).to_contain_text("not saved yet")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    box = visitor.page.locator(".view.xy canvas").bounding_box()
    assert box is not None
    visitor.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.page.keyboard.press("z")
    visitor.page.keyboard.press("s")
    expect(visitor.at("label-state")).to_contain_text("Saved as")
    show(visitor, "light", "annotate")


def main(place: Path) -> None:
    """Serve the folder, and look at it."""
    make_folder(place)
    token = place.parent / "token"
    token.write_text(TOKEN)
    server = Server(place, token, free_port())
    server.start()
    with sync_playwright() as play:
        options = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        browser = play.chromium.launch(executable_path=chromium_program(), args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{server.address}#token={TOKEN}")
        tour(Visitor(page, server.address))
        browser.close()
    server.kill()


if __name__ == "__main__":
    expect.set_options(timeout=120_000)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        main(data)
    sys.exit(0)
