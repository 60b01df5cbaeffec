"""Look at volumes: what is bright in the file is bright on the screen, in each view and after each mishap."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode

import numpy as np
import pytest
import tifffile
import zarr
from browsing import orange
from PIL import Image
from playwright.sync_api import expect

from conftest import SHAPE, VOXEL_UM


def place_of(voxel):
    return ",".join(str(v * size) for v, size in zip(voxel, VOXEL_UM, strict=True))


def reload(visitor, server):
    visitor.page.reload()


def lose_the_server(visitor, server):
    """Kill the server while the page is open, start it again, and open the page again."""
    server.kill()
    visitor.at("show-whole").click()
    server.start()
    visitor.page.reload()


def nothing(visitor, server):
    """Look at it as it was opened."""


@pytest.mark.parametrize("mishap", [nothing, reload, lose_the_server])
@pytest.mark.parametrize("volume", ["brain.tif", "whole.ome.zarr"])
def test_a_neurite_is_bright_in_all_slices(visitor, server, bright, volume, mishap):
    visitor.look(volume=volume, at=place_of(bright))
    mishap(visitor, server)
    visitor.wait_for_views(1)
    if mishap is lose_the_server:
        visitor.look(volume=volume, at=place_of(bright))
    for name in ("slice-xy", "slice-zy", "slice-xz"):
        tissue = visitor.pixels(name)[..., 0]
        assert visitor.middle(name).mean() > 180, name
        assert np.median(tissue[tissue > 0]) < 110, name


def test_the_projection_shows_the_maximum_along_the_depth(visitor, folder):
    visitor.look(volume="brain.tif", low=-5)
    visitor.at("showCrosshair").uncheck()
    seen = visitor.picture("projection")[4:-4, 4:-4].astype(float)  # without the gap between views
    tissue = seen.max(axis=2) > 25
    rows, columns = np.flatnonzero(tissue.sum(1) > 40), np.flatnonzero(tissue.sum(0) > 40)
    inside = seen[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1, 0]
    image = tifffile.imread(folder / "brain.tif").max(axis=0).astype(float)
    small = np.array(Image.fromarray(inside).resize(image.shape[::-1], Image.Resampling.BOX))
    alike = [
        np.corrcoef(np.sqrt(image).ravel(), turned.ravel())[0, 1]
        for turned in (small, small[::-1], small[:, ::-1])
    ]
    assert alike[0] > 0.75, alike
    assert alike[0] > alike[1] + 0.2, alike
    assert alike[0] > alike[2] + 0.2, alike


@pytest.mark.parametrize(("name", "axis"), [("slice-xy", 0), ("slice-xz", 1), ("slice-zy", 2)])
def test_a_slab_shows_the_maximum_of_its_planes(visitor, bright, name, axis):
    voxel = list(bright)
    voxel[axis] = max(0, voxel[axis] - 4)
    visitor.look(volume="brain.tif", at=place_of(voxel))
    one = visitor.pixels(name)[..., 0].astype(int)
    visitor.slide("slab", 40)
    slab = visitor.pixels(name)[..., 0].astype(int)
    assert (slab >= one - 1).mean() > 0.99
    assert visitor.middle(name).mean() > 180


def test_the_image_is_toggled_by_its_key(visitor, bright):
    visitor.look(volume="brain.tif", at=place_of(bright))
    assert visitor.middle("slice-xy").mean() > 180
    visitor.page.keyboard.press("1")
    assert visitor.middle("slice-xy").max() == 0
    visitor.page.keyboard.press("1")
    assert visitor.middle("slice-xy").mean() > 180


def extent(pixels):
    """Width and height of what is not black, above the scale bar."""
    seen = pixels[:-45, :, :3].max(axis=2) > 30
    rows, columns = np.flatnonzero(seen.sum(1) > 5), np.flatnonzero(seen.sum(0) > 5)
    return np.ptp(columns) + 1, np.ptp(rows) + 1


def test_the_depth_scale_stretches_z_in_the_slices_and_the_projection(visitor):
    visitor.look(volume="brain.tif", low=-5, scale=1.0)
    visitor.at("showCrosshair").uncheck()
    flat, side = extent(visitor.pixels("slice-xy")), extent(visitor.pixels("slice-xz"))
    visitor.at("turn-up").click(click_count=6)  # 90 degrees: z lies in the plane of the screen
    before = extent(visitor.picture("projection")[4:-4, 4:-4])
    visitor.slide("depthScale", 0.5)
    assert extent(visitor.pixels("slice-xy")) == flat
    after = extent(visitor.pixels("slice-xz"))
    assert after[0] == side[0]
    assert after[1] == pytest.approx(side[1] / 2, abs=2)
    turned = extent(visitor.picture("projection")[4:-4, 4:-4])
    assert turned[1] / turned[0] < 0.65 * before[1] / before[0]


def test_opacity_dims_the_projection(visitor):
    visitor.look(volume="brain.tif", low=-5)
    visitor.at("showCrosshair").uncheck()
    means = []
    for opacity in (1, 0.5, 0.1):
        visitor.slide("opacity", opacity)
        means.append(visitor.picture("projection")[4:-4, 4:-4].mean())
    assert means[0] > 1.2 * means[1] > 1.44 * means[2]


def test_the_projection_is_turned_and_zoomed(visitor):
    visitor.look(volume="brain.tif", low=-5)
    front = visitor.settled("projection").astype(int)
    visitor.at("turn-left").click(click_count=3)
    turned = visitor.settled("projection").astype(int)
    assert np.abs(turned - front).mean() > 3
    visitor.at("front").click()
    assert np.abs(visitor.settled("projection").astype(int) - front).mean() < 0.5
    visitor.at("zoom-3d-in").click()
    assert np.abs(visitor.settled("projection").astype(int) - front).mean() > 3


def test_the_threshold_acts_at_once_and_is_kept(visitor, server, bright):
    visitor.look(
        volume="brain.tif", probability="brain_prob.tif", at=place_of(bright), threshold=0.2
    )
    counts = [orange(visitor.pixels("slice-xy"))]
    for threshold in (0.4, 0.7, 1.0):
        visitor.slide("threshold", threshold)
        counts.append(orange(visitor.pixels("slice-xy")))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 5 * max(1, counts[2])
    visitor.slide("threshold", 0.4)
    visitor.at("binary").check()
    visitor.page.wait_for_url("**threshold=0.4*binary=1*")
    binary = visitor.pixels("slice-xy")
    for again in (visitor.page.reload, lambda: restart(visitor, server)):
        again()
        visitor.wait_for_views(2)
        assert visitor.at("binary").is_checked()
        assert (visitor.pixels("slice-xy") == binary).all()


def test_blending_goes_from_the_image_to_the_probability(visitor, bright):
    visitor.look(
        volume="brain.tif", probability="brain_prob.tif", at=place_of(bright), threshold=0.3
    )
    visitor.slide("blend", 0)
    assert orange(visitor.pixels("slice-xy")) == 0
    visitor.slide("blend", 1)
    red, green, blue = visitor.middle("slice-xy").mean((0, 1))
    assert red > green > blue


def test_trees_are_drawn_coloured_and_hidden(visitor):
    visitor.look(volume="brain.tif", trees="brain.swc", slab=200, low=200, high=300)
    visitor.at("showCrosshair").uncheck()
    shown = visitor.pixels("slice-xy")
    coloured = (np.ptp(shown[..., :3].astype(int), axis=2) > 60).sum()
    assert coloured > 50
    visitor.at("trees").locator("input[type=color]").first.fill("#00ff00")
    assert (visitor.pixels("slice-xy")[..., :3] == [0, 255, 0]).all(axis=2).any()
    visitor.at("showTrees").uncheck()
    hidden = visitor.pixels("slice-xy")
    assert (np.ptp(hidden[..., :3].astype(int), axis=2) > 60).sum() == 0


def test_the_view_stays_when_trees_are_chosen_to_be_shown_too(visitor):
    visitor.look(volume="brain.tif", slab=2)
    visitor.slide("slab", 40)
    visitor.page.wait_for_url("**slab=40*")
    visitor.at("choose-trees").select_option("brain.swc")
    expect(visitor.at("trees").locator("li").first).to_be_visible()
    assert visitor.at("slab").input_value() == "40"
    visitor.at("choose-volume").select_option("whole.ome.zarr")
    visitor.page.wait_for_url("**volume=whole*")
    expect(visitor.at("choose-volume")).to_have_value("whole.ome.zarr")
    assert visitor.at("slab").input_value() == "0"


def test_trees_are_seen_over_the_volumes_of_the_projection(visitor):
    """A projection of maxima has no depth: it would hide them."""
    visitor.look(volume="brain.tif", probability="brain_prob.tif", trees="brain.swc", threshold=0)
    visitor.at("showCrosshair").uncheck()
    visitor.page.locator("[data-testid=trees] input[type=color]").first.fill("#0000ff")
    blue = (visitor.settled("projection")[..., 2].astype(int) - 100 > 100).sum()
    visitor.at("showTrees").uncheck()
    seen = visitor.settled("projection").astype(int)
    assert blue > 30
    assert (seen[..., 2] - seen[..., 0] > 100).sum() == 0


def test_tiffs_of_8_and_16_bits_are_opened_by_a_click(visitor, folder):
    for name, bits in (("brain.tif", "uint16"), ("plain.tif", "uint8")):
        visitor.go("browse")
        expect(visitor.at(f"item-{name}")).to_contain_text(bits)
        visitor.at(f"open-{name}").click()
        visitor.page.wait_for_selector(".viewer[data-ready=true]")
        image = tifffile.imread(folder / name)
        assert image.dtype == bits
        z, y, x = np.unravel_index(image.argmax(), image.shape)
        size = VOXEL_UM if name == "brain.tif" else (1, 1, 1)
        visitor.look(volume=name, at=f"{z * size[0]},{y * size[1]},{x * size[2]}")
        assert visitor.middle("slice-xy", 1).mean() > 200


def a_terabyte(place):
    """Write an OME-Zarr of 8192 voxels a side, empty but for its middle, and its pyramid."""
    group = zarr.create_group(place)
    scales = [2**n for n in range(7)]
    datasets = [
        {"path": str(n), "coordinateTransformations": [{"type": "scale", "scale": [s, s, s]}]}
        for n, s in enumerate(scales)
    ]
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets, "name": "image"}],
    }
    noise = np.random.default_rng(1).normal(100, 5, (64, 64, 64)).astype("uint16")
    for n, scale in enumerate(scales):
        array = group.create_array(
            str(n), shape=(8192 // scale,) * 3, chunks=(64,) * 3, dtype="uint16", fill_value=100
        )
        middle = array.shape[0] // 2
        tissue = noise.copy()
        tissue[28:36, 28:36, 28:36] = 2000
        array[(slice(middle - 32, middle + 32),) * 3] = tissue
    return group["0"].nbytes


def test_a_terabyte_opens_with_what_the_screen_needs(visitor, server, folder):
    assert a_terabyte(folder / "tera.ome.zarr") > 1e12
    asked = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.at("nav-browse").click()
    visitor.page.reload()
    visitor.at("open-tera.ome.zarr").click()
    visitor.wait_for_views(1)
    assert visitor.middle("slice-xy").mean() > 180
    visitor.look(volume="tera.ome.zarr", at="4096,4096,4096", scale=0.25)
    assert visitor.middle("slice-xy", radius=8).mean() > 180
    chunks = [url for url in asked if "/zarr/tera.ome.zarr/" in url and "/c/" in url]
    assert any("/0/c/" in url for url in chunks)
    assert len(chunks) < 400
    restart(visitor, server)
    visitor.wait_for_views(1)
    assert visitor.middle("slice-xy", radius=8).mean() > 180


def test_views_are_linked_by_a_click(visitor):
    visitor.look(volume="brain.tif")
    visitor.at("slice-xy").click(position={"x": 120, "y": 100})
    before = visitor.at("slice-zy").get_attribute("aria-label")
    visitor.at("slice-xy").click(position={"x": 160, "y": 100})
    expect(visitor.at("slice-zy")).not_to_have_attribute("aria-label", before)


def test_planes_are_turned_by_wheel_and_key(visitor):
    visitor.look(volume="brain.tif")
    middle = SHAPE[0] // 2 + 1
    expect(visitor.at("slice-xy")).to_have_attribute(
        "aria-label", f"xy slice, plane {middle} of {SHAPE[0]}"
    )
    visitor.at("slice-xy").click()
    visitor.page.keyboard.press("ArrowUp")
    expect(visitor.at("slice-xy")).to_have_attribute(
        "aria-label", f"xy slice, plane {middle + 1} of {SHAPE[0]}"
    )
    visitor.at("slice-xy").hover()
    visitor.page.mouse.wheel(0, -100)
    expect(visitor.at("slice-xy")).to_have_attribute(
        "aria-label", f"xy slice, plane {middle} of {SHAPE[0]}"
    )


def test_the_voxel_size_is_asked_where_the_file_states_none(visitor, server):
    visitor.look(volume="plain.tif")
    expect(visitor.at("voxel-size")).to_be_visible()
    assert len({visitor.at(f"voxel-{axis}").bounding_box()["y"] for axis in "zyx"}) == 1
    for axis, size in zip("zyx", ("3", "0.5", "0.5"), strict=True):
        visitor.at(f"voxel-{axis}").fill(size)
    server.kill()
    visitor.at("voxel-size-set").click()
    expect(visitor.at("errors")).to_contain_text("does not answer")
    server.start()
    visitor.at("voxel-size-set").click()
    expect(visitor.at("voxel-size")).to_have_count(0)
    expect(visitor.at("errors")).to_be_empty()
    visitor.page.reload()
    visitor.wait_for_views(1)
    expect(visitor.at("voxel-size")).to_have_count(0)


def test_a_box_is_typed_and_refused_outside(visitor):
    visitor.look(volume="brain.tif")
    visitor.at("box").fill("0:20, 0:24, 0:28")
    visitor.at("box").press("Enter")
    visitor.page.wait_for_url("**box=0%3A20*")
    visitor.at("box").fill("0:20, 0:24, 0:2800")
    visitor.at("box").press("Enter")
    assert not visitor.at("box").evaluate("input => input.checkValidity()")


def test_a_box_is_drawn_on_a_slice(visitor):
    visitor.look(volume="brain.tif")
    visitor.at("draw-box").click()
    box = visitor.at("slice-xy").bounding_box()
    visitor.page.mouse.move(box["x"] + box["width"] / 2 - 20, box["y"] + box["height"] / 2 - 20)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] / 2 + 20, box["y"] + box["height"] / 2 + 20)
    visitor.page.mouse.up()
    z, y, x = (part.split(":") for part in visitor.at("box").input_value().split(", "))
    assert z == ["0", str(SHAPE[0])]
    assert 0 <= int(y[0]) < int(y[1]) <= SHAPE[1]
    assert 0 <= int(x[0]) < int(x[1]) <= SHAPE[2]


def test_a_sub_box_is_read_at_a_pyramid_level(visitor, server, folder):
    """In the middle bright and dark planes alternate along x: at the next level they are one grey."""
    stripes = np.random.default_rng(6).normal(100, 5, (32, 48, 160))
    stripes[8:24, 12:36, 40:120:2] += 200
    tifffile.imwrite(folder / "stripes.tif", np.uint16(stripes), imagej=True, resolution=(1, 1),
                     metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"})  # fmt: skip
    asked = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.look(volume="stripes.tif", scale=0.2, at="16,24,80", low=-5, high=60, compress=0)
    visitor.at("showCrosshair").uncheck()
    fine = visitor.middle("slice-xy", radius=20)[..., 0]
    assert 0.4 < (fine < 50).mean() < 0.6
    assert 0.4 < (fine > 140).mean() < 0.6
    visitor.at("level").select_option("1")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    coarse = visitor.middle("slice-xy", radius=20)[..., 0]
    assert 60 < coarse.min() <= coarse.max() < 140
    visitor.slide("high", 20)
    assert filled(visitor.settled("projection")[4:-4, 4:-4]) == pytest.approx(160 / 48, rel=0.15)
    asked.clear()
    visitor.at("box").fill("0:32, 0:48, 40:72")
    visitor.at("box").press("Enter")
    visitor.page.wait_for_url("**box=0%3A32*")
    assert not [url for url in asked if "/zarr/stripes.tif/0/c/" in url]
    for act in (visitor.page.reload, lambda: restart(visitor, server)):
        act()
        visitor.wait_for_views(1)
        assert visitor.at("level").input_value() == "1"
        visitor.at("showCrosshair").uncheck()
        assert filled(visitor.settled("projection")[4:-4, 4:-4]) == pytest.approx(32 / 48, rel=0.15)


def filled(pixels):
    """Width over height of what is filled, not only outlined."""
    seen = pixels.max(axis=2) > 30
    width = (seen.sum(0) > 0.5 * seen.sum(0).max()).sum()
    return width / (seen.sum(1) > 0.5 * width).sum()


def restart(visitor, server):
    server.kill()
    server.start()
    visitor.page.reload()


def test_the_picture_holds_the_four_views(visitor, bright):
    visitor.look(volume="brain.tif", at=place_of(bright))
    with visitor.page.expect_download() as download:
        visitor.at("picture").click()
    image = np.array(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L"))
    viewer = visitor.at("viewer").bounding_box()
    assert image.shape == (int(viewer["height"]), int(viewer["width"]))
    quarters = [
        image[rows, columns]
        for rows in (slice(0, 150), slice(-150, None))
        for columns in (slice(0, 150), slice(-150, None))
    ]
    assert all(quarter.max() > 100 for quarter in quarters)


FRAMES = """async (film) => {
  const video = document.createElement("video");
  video.muted = true;
  video.src = `data:video/webm;base64,${film}`;
  const canvas = document.createElement("canvas");
  const seen = [];
  const take = () => {
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    seen.push(canvas.toDataURL());
  };
  const over = new Promise((done, failed) => { video.onended = done; video.onerror = () => failed(video.error); });
  const each = () => { take(); video.requestVideoFrameCallback(each); };
  video.requestVideoFrameCallback(each);
  await video.play();
  await over;
  return seen;
}"""
"""Play a film in a page of its own, and return its frames as pictures."""


def test_the_movie_shows_the_projection_as_it_turns_once(visitor, chromium):
    visitor.look(volume="brain.tif", low=-5)
    visitor.at("showCrosshair").uncheck()
    size = visitor.picture("projection").shape
    with visitor.page.expect_download() as download:
        visitor.at("movie").click()
    film = download.value.path().read_bytes()
    page = chromium.new_page()
    seen = page.evaluate(FRAMES, b64encode(film).decode())
    page.close()
    frames = [
        np.array(Image.open(io.BytesIO(b64decode(one.partition(",")[2]))).convert("L")).astype(int)
        for one in seen
    ]
    assert len(frames) > 5
    assert np.abs(np.array(frames[0].shape) - size[:2]).max() <= 2
    assert frames[0].max() > 100
    apart = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert max(apart) > 5  # it turns
    assert apart[-1] < max(apart) / 2  # and comes back
