"""Make the pictures of docs/how-to/studio.md: a phantom, the bundled model, a real browser.

.venv/bin/python studio-page/tests/make_tour.py [FOLDER]
"""

from __future__ import annotations

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
