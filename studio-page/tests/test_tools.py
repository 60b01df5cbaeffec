"""The working tools in a real browser: annotate and train, check, choose; also after reload and kill."""

from __future__ import annotations

import csv
import json
import os
import signal

import numpy as np
import pytest
import tifffile
from browsing import states
from playwright.sync_api import expect
from serving import held

from neuroglow.cubes.manifest import Cube, read_manifest
from neuroglow.selection.survey_table import FREE, write_survey
from neuroglow.skeleton.editing import forest_of, roots_of
from neuroglow.trees.swc import Tree, read_swc, write_swc

LONG = 400_000
"""Milliseconds that training may take on a machine that does other things too."""


@pytest.fixture(scope="module")
def tools_folder(folder):
    """The folder with a trace that has a bridge, and a survey of eight cubes."""
    points = np.column_stack([np.full(12, 40.0), np.full(12, 24.0), np.arange(12) * 4.0 + 5])
    bridge = np.zeros(12)
    bridge[[5, 6, 7]] = 1
    columns = {"probability": np.where(bridge > 0, 0.2, 0.9), "bridge": bridge}
    tree = Tree(points, np.ones(12), np.zeros(12, np.int64), np.arange(12) - 1, columns)
    write_swc(tree, folder / "bridged.swc")
    write_swc(tree, folder / "moved.swc")
    rng = np.random.default_rng(2)
    cubes = [
        Cube(
            f"c{i}",
            folder / "brain.tif",
            box=f"0:20,{24 * (i // 4)}:{24 * (i // 4) + 24},{14 * (i % 4)}:{14 * (i % 4) + 14}",
            other={name: str(rng.random()) for name in FREE},
        )
        for i in range(8)
    ]
    write_survey(cubes, folder / "cubes.csv")
    return folder


def stroke(visitor, *ways):
    """Drag over the middle of the xy slice, from one offset to another."""
    box = visitor.page.locator(".view.xy canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.page.mouse.move(x + ways[0][0], y + ways[0][1])
    visitor.page.mouse.down()
    for dx, dy in ways[1:]:
        visitor.page.mouse.move(x + dx, y + dy, steps=4)
    visitor.page.mouse.up()


def white(visitor):
    """Count the pixels of the xy slice, above its scale bar, that are nearly white and grey."""
    seen = visitor.pixels("slice-xy")[:-45, :, :3].astype(int)
    return int(((seen.min(axis=2) > 215) & (np.ptp(seen, axis=2) < 12)).sum())


def steps_in(log):
    """Count the steps in the log of a training run."""
    lines = log.read_text().splitlines() if log.exists() else []
    return len({json.loads(line)["step"] for line in lines if '"loss"' in line})


def label_of(folder):
    (cube,) = read_manifest(folder / "annotations")
    return tifffile.imread(cube.label)


def test_a_cube_is_annotated_trained_on_and_its_model_listed(visitor, server, tools_folder):
    where = {"volume": "brain.tif", "box": "4:36,8:40,8:40"}
    visitor.go("annotate", **where)
    expect(visitor.at("label-around")).to_have_text("64 µm around the crosshair")
    visitor.at("label-start").select_option("background")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "not saved yet")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    stroke(visitor, (-40, -20), (40, 20))
    ringed = white(visitor)
    seen = visitor.settled("projection").astype(int)
    assert (seen[..., 1] - seen[..., 0] > 40).sum() > 30  # the stroke, green, in three dimensions
    visitor.page.mouse.move(3, 3)
    assert white(visitor) < ringed - 20  # the brush's ring was at the pointer
    visitor.page.keyboard.press("3")
    stroke(visitor, (40, -40), (50, -40))
    visitor.page.keyboard.press("z")
    visitor.page.keyboard.press("s")
    states(visitor, "label-state", "Saved as brain_z4_y8_x8")
    first = label_of(tools_folder)
    assert first.shape == (32, 32, 32)
    assert set(np.unique(first)) == {0, 1}  # the stroke of `ignore` was undone
    assert 20 < (first == 1).sum() < 3000
    visitor.page.keyboard.press("y")
    visitor.at("label-save").click()
    states(visitor, "label-state", "Saved as")
    server.kill()
    server.start()
    visitor.page.reload()
    states(visitor, "label-state", "Saved before; loaded.")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    visitor.at("train-steps").fill("5")
    visitor.at("train-start").click()
    log = tools_folder / "annotations_run/log.jsonl"
    with held("annotations", lambda: steps_in(log) >= 2, verb="train") as job:
        server.kill()
        os.killpg(job, signal.SIGKILL)
        server.start()
        visitor.page.reload()
        visitor.page.wait_for_selector("[data-testid=training][data-state=lost]")
    visitor.at("training").get_by_test_id("resume").click()
    visitor.page.wait_for_selector("[data-testid=training][data-state=done]", timeout=LONG)
    assert steps_in(log) == 5
    assert visitor.at("curves").get_attribute("aria-label").startswith("Training loss of 5 steps")
    assert visitor.at("new-model").inner_text() == "annotations_run"
    visitor.page.reload()
    visitor.page.wait_for_selector("[data-testid=training][data-state=done]")
    visitor.at("train-from").locator("option[value=annotations_run]").wait_for(state="attached")
    assert set(np.unique(label_of(tools_folder))) == {0, 1, 2}


def test_a_rejected_bridge_splits_the_tree_in_the_saved_file(visitor, server, tools_folder):
    before = (tools_folder / "bridged.swc").read_bytes()
    visitor.go("check", trees="bridged.swc", volume="brain.tif")
    states(visitor, "check-count", "1 tree")
    visitor.at("note").fill("two fibres")
    visitor.at("note").press("Enter")
    visitor.page.keyboard.press("r")
    states(visitor, "check-count", "2 trees")
    states(visitor, "status", "1 tree before, 2 trees now")
    visitor.page.keyboard.press("z")
    states(visitor, "check-count", "1 tree")
    visitor.page.keyboard.press("y")
    states(visitor, "check-count", "2 trees")
    server.kill()
    server.start()
    visitor.page.reload()
    states(visitor, "check-count", "2 trees")
    states(visitor, "place-bridge-1", "rejected")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "bridged_corrected.swc")
    tree = read_swc(tools_folder / "bridged_corrected.swc")
    assert len(np.unique(roots_of(forest_of(tree)))) == 2
    rows = list(
        csv.DictReader((tools_folder / "bridged_corrected_checked.csv").read_text().splitlines())
    )
    assert (rows[0]["decision"], rows[0]["note"]) == ("rejected", "two fibres")
    assert (tools_folder / "bridged.swc").read_bytes() == before
    expect(visitor.at("check-out")).to_have_value("bridged_corrected_2.swc")
    visitor.at("check-out").fill("bridged_corrected.swc")
    visitor.at("check-save").click()
    states(visitor, "errors", "not overwritten")
    visitor.page.locator(
        "[data-testid=compare-other] option", has_text="bridged_corrected.swc"
    ).wait_for(state="attached")
    visitor.page.keyboard.press("z")
    expect(visitor.at("check-saved")).to_be_empty()
    expect(visitor.at("errors")).to_be_empty()


def test_trees_are_split_and_joined_by_clicks(visitor, tools_folder):
    visitor.go("check", trees="moved.swc", volume="brain.tif")
    states(visitor, "check-count", "1 tree")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    visitor.at("place-bridge-1").click()
    visitor.page.locator(".view.xy canvas").click()
    states(visitor, "selected", "of tree 0")
    visitor.page.keyboard.press("c")
    states(visitor, "check-count", "2 trees")
    chosen = visitor.at("selected").inner_text()
    visitor.page.keyboard.press("m")
    box = visitor.page.locator(".view.xy canvas").bounding_box()
    visitor.page.mouse.click(
        box["x"] + 6, box["y"] + box["height"] / 2
    )  # left of all nodes: none is near
    states(visitor, "check-count", "2 trees")
    visitor.at("check-undo").click()
    states(visitor, "check-count", "1 tree")
    visitor.at("compare-other").select_option("bridged.swc")
    visitor.at("compare").click()
    states(visitor, "compared", "0.0 µm")
    assert "radius 1.00 µm" in chosen


def test_a_selection_is_saved_and_kept_over_a_reload(visitor, server, tools_folder):
    visitor.go("choose", survey="cubes.csv")
    states(visitor, "choose-count", "0 brushed, 0 taken, 0 dropped, of 8 cubes")
    chart = visitor.at("chart").bounding_box()
    visitor.page.mouse.move(chart["x"] + 3, chart["y"] + 3)
    visitor.page.mouse.down()
    visitor.page.mouse.move(
        chart["x"] + chart["width"] - 3, chart["y"] + chart["height"] - 3, steps=3
    )
    visitor.page.mouse.up()
    states(visitor, "choose-count", "8 brushed")
    visitor.page.wait_for_selector("[data-testid=cube-c0] img[src^=blob]")
    visitor.at("take").click()
    states(visitor, "errors", "with a reason")
    states(visitor, "choose-count", "0 taken")
    visitor.at("reason").fill("faint")
    visitor.at("take").click()
    expect(visitor.at("errors")).to_be_empty()
    visitor.at("reason").fill("torn")
    visitor.at("drop-c3").click()
    states(visitor, "choose-count", "7 taken, 1 dropped")
    server.kill()
    server.start()
    visitor.page.reload()
    states(visitor, "choose-count", "7 taken, 1 dropped")
    visitor.at("choose-out").fill("mine.csv")
    visitor.at("choose-save").click()
    states(visitor, "choose-saved", "mine.csv, 7 cubes, 1 of them to validate")
    cubes = read_manifest(tools_folder / "mine.csv")
    assert {cube.name for cube in cubes} == {f"c{i}" for i in (0, 1, 2, 4, 5, 6, 7)}
    assert {cube.other["reason"] for cube in cubes} == {"faint"}
    assert "dropped: torn" in (tools_folder / "mine.html").read_text()
    assert len(read_manifest(tools_folder / "mine_cubes")) == 7
    visitor.at("annotate-chosen").click()
    visitor.at("annotate-c0").click()
    expect(visitor.at("label-begin")).to_be_visible()


def test_nothing_is_annotated_while_the_box_is_none_of_the_volume(visitor):
    visitor.go("annotate", volume="brain.tif")
    visitor.at("label-box").fill("4:36, 8:40")
    visitor.at("label-box").press("Enter")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "Not begun")
    visitor.at("label-box").fill("4:36, 8:40, 16:48")
    visitor.at("label-box").press("Enter")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "not saved yet")


@pytest.mark.parametrize(
    ("route", "params", "wait"),
    [
        ("annotate", {"volume": "plain.tif", "box": "0:8,0:8,0:8"}, "label-begin"),
        ("check", {"trees": "bridged.swc", "volume": "brain.tif"}, "accept"),
        ("choose", {"survey": "cubes.csv"}, "chart"),
        ("annotate", {}, "annotate-brain.tif"),
        ("check", {}, "check-bridged.swc"),
        ("choose", {}, "choose-cubes.csv"),
    ],
)
def test_axe_finds_no_serious_fault(visitor, tools_folder, route, params, wait):
    visitor.go(route, **params)
    visitor.at(wait).wait_for()
    for _ in ("dark", "light"):
        assert visitor.faults() == []
        visitor.at("theme").click()
