"""The studio in a real browser: a real server of its own, a phantom, Chromium; nothing is simulated.

Tests wait for conditions, never for time. CHROMIUM names another browser program.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from browsing import PATIENCE, Visitor, chromium_program
from playwright.sync_api import expect, sync_playwright
from serving import TOKEN, Server, free_port, neuroglow

sys.path.append(str(Path(__file__).parents[2] / "tests/studio"))  # for what both tests share
expect.set_options(timeout=PATIENCE)
SHAPE, VOXEL_UM = (40, 48, 56), (2.0, 1.0, 1.0)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A folder as a user's: a phantom with its truth, the same as OME-Zarr and as a plain TIFF, a report."""
    place = tmp_path_factory.mktemp("studio") / "my folder"
    place.mkdir()
    size, voxel = ",".join(map(str, SHAPE)), ",".join(map(str, VOXEL_UM))
    phantom = ("phantom", "cube", "--out", "phantom", "--shape", size, "--voxel-size", voxel)
    neuroglow(*phantom, "--seed", 3, "--snr", "25,40", folder=place)
    image = tifffile.imread(place / "phantom/image.tif")
    for name in ("image", "label"):
        shutil.copy(
            place / f"phantom/{name}.tif", place / f"brain{'' if name == 'image' else '_label'}.tif"
        )
    shutil.copy(place / "phantom/tree.swc", place / "brain.swc")
    shares = (image - image.min()) / np.ptp(image.astype(float))
    tifffile.imwrite(
        place / "brain_prob.tif",
        np.uint8(255 * shares),
        imagej=True,
        resolution=(1, 1),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )
    tifffile.imwrite(place / "plain.tif", np.uint8(200 * shares))
    neuroglow("convert", "brain.tif", "--out", "whole.ome.zarr", folder=place)
    truth = ("brain_label.tif", "--label-map", "0=background,1=neurite,2=ignore")
    neuroglow("evaluate", "brain_prob.tif", *truth, "--out", "scores", folder=place)
    return place


@pytest.fixture(scope="session")
def server(folder, tmp_path_factory):
    token = tmp_path_factory.mktemp("secret") / "token"
    token.write_text(TOKEN)
    server = Server(folder, token, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def chromium():
    program = chromium_program()
    if program is None:
        pytest.fail("Chromium is needed: apt-get install chromium, or name it by CHROMIUM")
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium, server):
    """A person at a small window, who has opened the printed address; any error of the page's own fails."""
    server.start()
    context = chromium.new_context(viewport={"width": 720, "height": 480}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda request: (
            request.url.startswith((server.address, "blob:", "data:")) or faults.append(request.url)
        ),
    )
    page.goto(f"{server.address}#token={TOKEN}")
    yield Visitor(page, server.address)
    context.close()
    assert faults == []


@pytest.fixture(scope="session")
def bright(folder) -> tuple[int, int, int]:
    """The brightest voxel of a neurite, zyx, not at a face."""
    image = tifffile.imread(folder / "brain.tif").astype(float)
    image[tifffile.imread(folder / "brain_label.tif") != 1] = 0
    inner = np.zeros_like(image)
    inner[4:-4, 4:-4, 4:-4] = image[4:-4, 4:-4, 4:-4]
    z, y, x = np.unravel_index(inner.argmax(), inner.shape)
    return int(z), int(y), int(x)
