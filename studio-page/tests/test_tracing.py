"""Tracing and correcting in a real browser: from a click over blocks, all at once, somata, marks, edits, crops."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from branched_line import LONG, line_with_a_branch_and_a_soma
from browsing import states
from playwright.sync_api import expect
from serving import held

from neuroglow.formats.tiff_export import export_tiff
from neuroglow.skeleton.editing import forest_of, roots_of
from neuroglow.space.volume import ArrayVolume
from neuroglow.trees.swc import Tree, read_swc, write_swc

FILES = {"volume": "line.tif", "probability": "line_prob.tif"}
ORANGE, YELLOW = (255, 123, 84), (255, 225, 77)


def a_line(count=20, x=100.0, step=5.0):
    """Give a straight tree along x, through the middle of the volume."""
    points = np.column_stack(
        [np.full(count, 12.0), np.full(count, 20.0), np.arange(count) * step + x]
    )
    return Tree(points, np.ones(count), np.zeros(count, np.int64), np.arange(count) - 1)


@pytest.fixture(scope="module")
def lines(folder):
    """A line with a branch and a soma, as image and probability; trees along it; a crop of a brain."""
    voxels = line_with_a_branch_and_a_soma()
    export_tiff(ArrayVolume(voxels, (1.0, 1.0, 1.0)), folder / "line_prob.tif")
    noise = np.random.default_rng(4).normal(100, 5, voxels.shape)
    export_tiff(
        ArrayVolume((noise + voxels).astype(np.uint16), (1.0, 1.0, 1.0)), folder / "line.tif"
    )
    for name in ("edited", "joined", "coloured", "compared", "marked", "somatic"):
        write_swc(a_line(), folder / f"{name}.swc")
    write_swc(a_line(12), folder / "shorter.swc")
    crop = folder / "crops"
    crop.mkdir()
    export_tiff(ArrayVolume(voxels[2:22, 5:35, 100:200], (1.0, 1.0, 1.0)), crop / "crop_prob.tif")
    (crop / "manifest.csv").write_text(
        'name,image,label,split,offset\nc,crop_prob.tif,,,"2,5,100"\n'
    )
    write_swc(a_line(60, x=4.0), crop / "brain.swc")
    return folder


def click(visitor, dx=0.0, dy=0.0, view="xy"):
    """Click a slice, so many pixels from its middle."""
    box = visitor.page.locator(f".view.{view} canvas").bounding_box()
    visitor.page.mouse.click(box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy)


def check(visitor, trees, **files):
    visitor.go("check", trees=trees, **(files or FILES))
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    visitor.at("check-count").filter(has_text="tree").wait_for()
    visitor.page.evaluate("document.querySelectorAll('.side details').forEach(d => d.open = true)")
    visitor.at("show-whole").click()


def near(pixels, colour, most=12):
    """Count the pixels of a colour."""
    return int((np.abs(pixels[..., :3].astype(int) - colour).max(axis=2) <= most).sum())


def bordered(visitor):
    """Count the white columns of the xy slice, above its scale bar: the border of what is chosen."""
    pixels = visitor.pixels("slice-xy")[:-45]
    return int((pixels[..., :3] == 255).all(axis=2).any(axis=0).sum())


def restart(visitor, server):
    """Kill the server, start it again, and load the page again."""
    server.kill()
    server.start()
    visitor.page.reload()


def test_a_neurite_is_traced_from_a_click_and_over_all_blocks(visitor, server, lines):
    visitor.go("trace", **FILES)
    visitor.wait_for_views(2)
    visitor.at("trace-new").click()
    states(visitor, "check-count", "0 trees")
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    visitor.page.keyboard.press("t")
    click(visitor, dy=60)
    states(visitor, "errors", "none that reaches the threshold near it")
    click(visitor, dx=-70)
    states(visitor, "grown", "1 open end")
    expect(visitor.at("errors")).to_be_empty()
    states(visitor, "check-count", "1 tree")
    visitor.at("grow-next").click()
    states(visitor, "grown", "1 open end")
    visitor.at("grow-all").click()
    states(visitor, "grown", "No end is left")
    states(visitor, "check-count", "1 tree")
    restart(visitor, server)
    states(visitor, "check-count", "1 tree")
    visitor.at("check-out").fill("clicked.swc")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "clicked.swc")
    tree = read_swc(lines / "clicked.swc")
    assert tree.points[:, 2].min() < 10
    assert tree.points[:, 2].max() > LONG - 10
    assert tree.points[:, 1].max() > 32  # the branch
    assert len(set(roots_of(forest_of(tree)))) == 1


def test_all_is_traced_by_a_job_and_then_checked(visitor, lines):
    visitor.go("trace", **FILES)
    visitor.wait_for_views(2)
    visitor.at("trace-out").fill("all.swc")
    visitor.at("trace-run").click()
    card = visitor.page.locator("[data-output='all.swc']")
    with held("all.swc", lambda: True, verb="trace"):
        expect(card).to_have_attribute("data-state", "running")
        visitor.page.reload()
    expect(card).to_have_attribute("data-state", "done")
    visitor.at("to-check").click()
    states(visitor, "check-count", "1 tree")
    tree = read_swc(lines / "all.swc")
    assert np.ptp(tree.points[:, 2]) > LONG - 20
    visitor.go("trace")
    visitor.at("choose-line_prob.tif").click()
    expect(visitor.page.locator("[data-output='all.swc']")).to_have_attribute("data-state", "done")


def test_somata_are_found_added_and_removed(visitor, server, lines):
    check(visitor, "somatic.swc")
    visitor.at("soma-radius").fill("4")
    visitor.at("soma-find").click()
    states(visitor, "somata-told", "1 found")
    visitor.at("found-0").click()
    visitor.at("soma-add-0").click()
    states(visitor, "somata-own", "soma, node 10")
    visitor.at("own-10").click()
    states(visitor, "selected", "Node 10 of tree")
    states(visitor, "selected", "1 soma")
    visitor.at("soma-find").click()
    states(visitor, "somata-told", "All that are found are in the trees")
    restart(visitor, server)
    states(visitor, "check-count", "1 tree")
    visitor.page.locator("[data-testid=somata] summary").click()
    visitor.at("soma-remove-10").click()
    expect(visitor.at("somata-own")).to_be_hidden()
    visitor.page.keyboard.press("z")
    states(visitor, "somata-own", "soma, node 10")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "somatic_corrected.swc")
    tree = read_swc(lines / "somatic_corrected.swc")
    assert (tree.kinds == 1).sum() == 1
    assert tree.kinds[tree.parents < 0] == [1]
    assert tree.points[tree.kinds == 1][0].tolist() == pytest.approx([12, 20, 150], abs=1)


def test_an_error_is_marked_listed_gone_to_and_checked(visitor, server, lines):
    check(visitor, "marked.swc")
    visitor.at("note").fill("two fibres?")
    visitor.at("note").press("Enter")
    visitor.page.keyboard.press("e")
    click(visitor, dx=30)
    states(visitor, "place-mark-1", "Marked by you")
    states(visitor, "place", "two fibres?")
    marked = visitor.at("slice-zy").get_attribute("aria-label")
    assert near(visitor.pixels("slice-xy"), YELLOW) > 20
    assert near(visitor.settled("projection"), YELLOW, most=60) > 20
    visitor.page.keyboard.press("0")
    expect(visitor.at("slice-zy")).not_to_have_attribute("aria-label", marked)
    visitor.at("place-mark-1").click()
    expect(visitor.at("slice-zy")).to_have_attribute("aria-label", marked)
    visitor.page.keyboard.press("a")
    states(visitor, "place-mark-1", "accepted")
    restart(visitor, server)
    states(visitor, "place-mark-1", "accepted")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "marked_corrected.swc")
    rows = csv.DictReader((lines / "marked_corrected_checked.csv").read_text().splitlines())
    assert [(r["said"], r["decision"]) for r in rows if r["kind"] == "mark"] == [
        ("two fibres?", "accepted")
    ]


def test_a_tree_is_split_and_joined_by_a_second_click(visitor, lines):
    check(visitor, "joined.swc")
    visitor.at("showCrosshair").uncheck()
    visitor.at("showRaw").uncheck()
    visitor.at("showProbability").uncheck()
    assert bordered(visitor) == 0
    click(visitor)
    states(visitor, "selected", "of tree 0")
    visitor.at("part").select_option("branch")
    branch = bordered(visitor)
    visitor.at("part").select_option("tree")
    assert bordered(visitor) > 1.5 * branch > 30
    visitor.page.keyboard.press("c")
    states(visitor, "check-count", "2 trees")
    click(visitor, dx=-25)
    states(visitor, "selected", "of tree 0")
    visitor.page.keyboard.press("m")
    click(visitor, dx=25)
    states(visitor, "check-count", "1 tree")
    visitor.page.reload()
    states(visitor, "check-count", "1 tree")


def test_a_tree_keeps_its_colour_and_stays_hidden_over_an_edit(visitor, lines):
    check(visitor, "coloured.swc")
    for name in ("showCrosshair", "showRaw", "showProbability"):
        visitor.at(name).uncheck()
    visitor.page.locator("[data-testid=trees] input[type=color]").first.fill("#00ff00")
    green = near(visitor.pixels("slice-xy"), (0, 255, 0))
    assert green > 50
    click(visitor)
    states(visitor, "selected", "of tree 0")
    visitor.page.keyboard.press("c")
    states(visitor, "check-count", "2 trees")
    kept = near(visitor.pixels("slice-xy"), (0, 255, 0))
    assert 0.2 * green < kept < 0.8 * green  # the other half is a tree with a colour of its own
    visitor.at("tree-0").uncheck()
    assert near(visitor.pixels("slice-xy"), (0, 255, 0)) == 0
    click(visitor, dx=25)
    visitor.at("smooth").click()
    expect(visitor.at("check-undo")).to_have_text("Undo (2)")
    expect(visitor.at("tree-0")).not_to_be_checked()
    assert near(visitor.pixels("slice-xy"), (0, 255, 0)) == 0


def test_each_edit_is_done_by_clicks_and_saved(visitor, server, lines):
    check(visitor, "edited.swc")
    click(visitor)
    states(visitor, "selected", "of tree 0")
    visitor.at("part").select_option("tree")
    visitor.at("node-type").select_option("2")
    visitor.at("set-type").click()
    states(visitor, "selected", "type 2")
    visitor.at("radius").fill("2.5")
    visitor.at("set-radius").click()
    states(visitor, "selected", "radius 2.50")
    visitor.at("mode-move").click()
    click(visitor, dy=8)
    visitor.at("mode-select").click()
    visitor.at("smooth").click()
    visitor.at("root").click()
    states(visitor, "selected", "of tree")
    visitor.page.keyboard.press("d")
    click(visitor, dy=25)
    click(visitor, dy=35)
    states(visitor, "selected", "Node 21")
    visitor.page.keyboard.press("Escape")
    expect(visitor.at("check-undo")).to_have_text("Undo (7)")
    visitor.at("drop").click()  # the node that was drawn last
    expect(visitor.at("check-undo")).to_have_text("Undo (8)")
    visitor.at("part").select_option("node")
    click(visitor, dx=-15)
    visitor.page.keyboard.press("x")
    states(visitor, "check-count", "2 trees")
    restart(visitor, server)
    states(visitor, "check-count", "2 trees")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "edited_corrected.swc")
    tree = read_swc(lines / "edited_corrected.swc")
    assert len(tree.points) == 20 + 2 - 1 - 1
    assert set(tree.kinds[tree.points[:, 1] < 30]) <= {2, 0}
    assert np.isclose(tree.radii, 2.5).sum() == 19
    moved = tree.points[(tree.points[:, 1] > 20.5) & np.isclose(tree.radii, 2.5)]
    assert len(moved) >= 1


def test_two_tracings_are_compared_and_their_difference_is_ringed(visitor, lines):
    check(visitor, "compared.swc")
    plain = near(visitor.pixels("slice-xy"), ORANGE)
    visitor.at("compare-other").select_option("shorter.swc")
    visitor.at("compare").click()
    states(visitor, "compared", "only in this trace")
    length = float(visitor.at("compared").locator("td").first.inner_text().split()[0])
    assert length == pytest.approx(40, abs=6)
    assert near(visitor.pixels("slice-xy"), ORANGE) > plain + 20
    visitor.at("compare-end").click()
    expect(visitor.at("compare-end")).to_have_count(0)
    assert near(visitor.pixels("slice-xy"), ORANGE) == plain


def test_trees_of_a_brain_are_checked_over_a_crop_of_it(visitor, server, lines):
    files = {"probability": "crops/crop_prob.tif"}
    visitor.look(trees="crops/brain.swc", **files, slab=40, showProbability=0)
    visitor.at("showCrosshair").uncheck()
    across = (np.ptp(visitor.pixels("slice-xy")[..., :3].astype(int), axis=2) > 60).any(axis=0)
    assert across.mean() > 0.9  # the tree passes through the crop from side to side
    check(visitor, "crops/brain.swc", **files)
    states(visitor, "status", "is a crop")
    click(visitor)
    states(visitor, "selected", "of tree 0")
    visitor.page.keyboard.press("c")
    states(visitor, "check-count", "2 trees")
    restart(visitor, server)
    states(visitor, "check-count", "2 trees")
    visitor.at("check-save").click()
    states(visitor, "check-saved", "brain_corrected.swc")
    tree = read_swc(lines / "crops/brain_corrected.swc")
    roots = tree.points[tree.parents < 0]
    assert sorted(roots[:, 2].tolist())[0] == 4  # where the brain has them
    assert 140 < sorted(roots[:, 2].tolist())[1] < 160
