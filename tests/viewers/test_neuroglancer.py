"""neuroglancer in a real browser: what it draws, what its address gives, and what it keeps."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neuroglow
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.space.volume import ArrayVolume
from viewing import make_files, needs

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    *needs("neuroglancer", "playwright"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}"),
]

SOFTWARE = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=SOFTWARE)
        yield opened
        opened.close()


def picture(browser, url, path, drawn, seconds=60):
    """Open an address, and take pictures until one is as it should be; give it (float, RGB).

    Without the side panel, in which the colour of the probability is shown too.
    """
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.goto(url)
    until = time.monotonic() + seconds
    while True:
        page.wait_for_timeout(1000)
        page.screenshot(path=path)
        seen = np.asarray(Image.open(path).convert("RGB")).astype(float)[:, :650]
        if drawn(seen) or time.monotonic() > until:
            page.close()
            return seen


def orange(seen):
    """Tell which pixels have the colour of the probability."""
    red, green, blue = np.moveaxis(seen, -1, 0)
    return (red > 120) & (green > 60) & (green < 0.75 * red) & (blue < 40)


def test_the_probability_is_drawn_where_it_is_and_the_threshold_hides_it(browser, tmp_path):
    raw = np.full((32, 32, 32), 100, np.uint16)
    probability = np.zeros(raw.shape, np.uint8)
    probability[16, 8:12, 20:28] = 160  # 0.63
    for name, voxels in (("raw", raw), ("raw_prob", probability)):
        export_tiff(ArrayVolume(voxels, (1.0, 1.0, 1.0)), tmp_path / f"{name}.tif")
    files = tmp_path / "raw.tif", tmp_path / "raw_prob.tif"
    shares = []
    for threshold, seconds in ((0.5, 60), (0.7, 15)):
        opened = neuroglow.view(*files, threshold=threshold)
        try:
            seen = picture(
                browser, opened.url, tmp_path / "a.png", lambda p: orange(p).sum() > 100, seconds
            )
        finally:
            opened.close()
        panel = orange(seen[50:350, 3:330])  # z = 16, seen along z
        shares.append(panel.mean())
        if threshold == 0.5:
            rows, columns = np.nonzero(panel)
            assert rows.size
            assert rows.mean() < 150 < columns.mean()  # above and right of the middle
            wide, high = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert 1.7 < wide / high < 2.3  # 8 x 4 voxels
    assert shares[0] > 0.01
    assert shares[1] == 0


def test_tiff_and_ome_zarr_trees_and_a_kept_state(browser, made, tmp_path):
    state = tmp_path / "state.json"
    files = made / "cube.tif", made / "cube_prob.ome.zarr", made / "cube.swc"
    opened = neuroglow.view(*files, state=state)
    try:
        assert opened.url.startswith("http://127.0.0.1:")
        seen = picture(browser, opened.url, tmp_path / "a.png", lambda p: orange(p).sum() > 50)
        assert orange(seen).sum() > 50
        kept = opened.state()
        assert [layer["name"] for layer in kept["layers"]] == ["cube", "cube_prob", "cube trees"]
        assert kept["dimensions"]["z"] == [2e-6, "m"]
        with opened.viewer.txn() as changed:
            changed.position = [5, 6, 7]
    finally:
        opened.close()
    text = state.read_text()
    assert "http" not in text
    assert str(made) not in text
    assert json.loads(text)["position"] == [5, 6, 7]
    again = neuroglow.view(*files, state=state)
    try:
        assert again.state()["position"] == [5, 6, 7]
        assert again.viewer.state.position.tolist() == [5, 6, 7]
    finally:
        again.close()


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_who_knows_the_token_gets_anything_and_only_what_is_shown(made):
    (made / "secret.txt").write_text("secret")
    opened = neuroglow.view(made / "cube.tif", made / "cube_prob.ome.zarr")
    try:
        server = opened.url.split("/v/")[0]
        assert status_of(opened.url) == 200
        assert status_of(f"{server}/v/{'0' * 40}/") == 404
        address = next(a for a in opened.names if a.startswith("zarr3://")).removeprefix("zarr3://")
        assert status_of(address + "zarr.json") == 200
        for way in ("../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "0/../../secret.txt"):
            assert status_of(address + way) in (403, 404)
        assert status_of(f"{server}/secret.txt") == 404
    finally:
        opened.close()


def test_ctrl_c_ends_the_command_and_keeps_the_state(made, tmp_path):
    state = tmp_path / "s.json"
    command = [sys.executable, "-m", "neuroglow", "view", made / "cube.tif", "--state", state]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert "http://127.0.0.1:" in run.stdout.readline()
        run.send_signal(signal.SIGINT)
        said = run.stdout.read()
    assert run.returncode == 0
    assert str(state) in said
    assert json.loads(state.read_text())["layers"][0]["source"] == "neuroglow:0"


def test_coarse_views_of_a_channel_are_read_from_its_levels(tmp_path):
    """Means of the finest voxels would read a whole brain for one picture."""
    import zarr

    from neuroglow.formats.opening import open_volume
    from neuroglow.view.layers import lazy_levels
    from neuroglow.view.levelled import levelled

    voxels = np.random.default_rng(0).integers(0, 200, (2, 36, 40, 70)).astype(np.uint8)
    group = zarr.create_group(tmp_path / "a.zarr")
    for level, step in enumerate((1, 2, 4)):
        group.create_array(str(level), data=voxels[:, ::step, ::step, ::step] + level)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "zyx")]
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": [1, 2**level] + 2 * [2**level]}
            ],
        }
        for level in range(3)
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    levels = lazy_levels(open_volume(tmp_path / "a.zarr", channel=1))
    assert [level.shape for level in levels] == [(36, 40, 70), (18, 20, 35), (9, 10, 18)]
    offered = levelled(levels, volume_type="image")

    def view(factors, shape):
        start, stop = np.zeros(3, int), np.array(shape)
        packed, _ = offered.get_encoded_subvolume("npz", start, stop, factors)
        return np.load(io.BytesIO(zlib.decompress(packed)))

    finest = zarr.open_array(tmp_path / "a.zarr/0", mode="r+")
    for factors, step, level in (("1,1,1", 1, 0), ("2,2,2", 2, 1), ("4,4,4", 4, 2)):
        if level:
            finest[:] = 0  # what is shown then comes from elsewhere
        shape = np.ceil(np.array([36, 40, 70]) / step).astype(int)
        shown = view(factors, shape)
        assert np.array_equal(shown, voxels[1, ::step, ::step, ::step] + level)
    mean = (voxels[1, :8:4, :8:4, :8:4] + 2).mean()
    assert abs(view("8,8,8", (5, 5, 9))[0, 0, 0] - mean) < 1
