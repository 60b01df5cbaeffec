"""Make the pictures of docs/how-to/view.md, in real viewers, from one seeded phantom.

    make test-viewers   # the environment, once
    QT_API=pyside6 xvfb-run -a -s "-screen 0 1400x900x24" \\
        .venv-viewers/bin/python benchmarks/view_pictures.py [neuroglancer] [napari]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import neuroglow
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.space.volume import ArrayVolume

PICTURES = Path(__file__).parents[1] / "docs/pictures"
SOFTWARE = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]


def make_files(folder):
    cube = neuroglow.make_cube({"shape": (64, 96, 96), "region": "plexus"}, seed=3)
    export_tiff(ArrayVolume(cube.image, (1.0, 1.0, 1.0)), folder / "cube.tif")
    neuroglow.predict(folder / "cube.tif", out=folder / "cube_prob.ome.zarr")
    neuroglow.trace(folder / "cube_prob.ome.zarr", out=folder / "trees.swc")
    return folder / "cube.tif", folder / "cube_prob.ome.zarr", folder / "trees.swc"


def in_neuroglancer(files):
    from playwright.sync_api import sync_playwright

    opened = neuroglow.view(*files)
    with sync_playwright() as started:
        arguments = [*SOFTWARE, "--enable-unsafe-swiftshader"]
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(opened.url)
        page.wait_for_timeout(25_000)
        page.screenshot(path=PICTURES / "view-neuroglancer.png")
        browser.close()
    opened.close()


def in_napari(files):
    from qtpy.QtWidgets import QApplication

    opened = neuroglow.view(*files, napari=True)
    window = opened.viewer.window
    window.resize(1280, 800)
    window.add_plugin_dock_widget("neuroglow", "Enhance")
    until = time.monotonic() + 5
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.02)  # PySide6 loses a reference to None in each call
    path = PICTURES / "view-napari.png"
    window.screenshot(str(path), canvas_only=False, flash=False)
    opened.close()


def main(chosen):
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder))
        if "neuroglancer" in chosen:
            in_neuroglancer(files)
        if "napari" in chosen:
            in_napari(files)


if __name__ == "__main__":
    main(sys.argv[1:] or ["neuroglancer", "napari"])
