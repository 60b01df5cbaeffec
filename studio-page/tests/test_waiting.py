"""What is done before something has come; answers that come late, in another order, or to a page that was left."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tifffile
from browsing import Late, states
from playwright.sync_api import expect

from neuroglow.cubes.manifest import read_manifest
from neuroglow.trees.swc import Tree, write_swc


@pytest.fixture(scope="module")
def traces(folder):
    """Write straight trees along x, each with two bridges."""
    points = np.column_stack([np.full(14, 40.0), np.full(14, 24.0), np.arange(14) * 3.5 + 5])
    bridge = np.repeat([0.0, 1, 0, 2, 0], [3, 3, 3, 2, 3])
    columns = {"probability": np.where(bridge > 0, 0.2, 0.9), "bridge": bridge}
    tree = Tree(points, np.ones(14), np.zeros(14, np.int64), np.arange(14) - 1, columns)
    for name in ("swift", "noted", "named", "shared"):
        write_swc(tree, folder / f"{name}.swc")
    return folder


def check(visitor, name):
    visitor.go("check", trees=name, volume="brain.tif")
    states(visitor, "check-count", "1 tree")


def asked_for(page, pattern):
    """Note what the page asks for."""
    asked = []
    page.on("request", lambda request: pattern in request.url and asked.append(request.url))
    return asked


PLANES = {"axes": "ZYX"}

# Pages that were left.


def test_what_a_page_asked_for_is_no_matter_of_the_next_one(visitor):
    """A file that is not there, and a second volume that comes when its projection is gone."""
    late = Late(visitor.page, "**/api/volume?*gone.tif*")
    visitor.go("look", volume="gone.tif")
    late.wait()
    visitor.at("nav-help").click()
    late.let_go()
    visitor.after_frame()
    expect(visitor.at("panel-help")).to_be_visible()
    assert visitor.at("errors").inner_text() == ""
    late = Late(visitor.page, "**/api/volume?*brain_prob.tif*")
    visitor.go("look", volume="brain.tif", probability="brain_prob.tif")
    late.wait()
    visitor.page.wait_for_selector("[data-testid=projection][data-loaded='1']", state="attached")
    visitor.at("nav-help").click()
    late.let_go()
    visitor.after_frame()
    assert visitor.at("errors").inner_text() == ""


def test_nobody_is_taken_back_to_a_page_and_nothing_begun_twice(visitor, folder):
    before = set(folder.glob("tracing*.swc"))
    late = Late(visitor.page, "**/api/check/new")
    visitor.go("trace", probability="brain_prob.tif")
    visitor.at("trace-new").click()
    late.wait()
    visitor.at("trace-new").evaluate("button => button.click()")
    visitor.at("nav-browse").click()
    with visitor.page.expect_response("**/api/check/new"):
        late.let_go()
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    visitor.after_frame()
    assert "#/browse" in visitor.page.url
    assert late.count == 1
    assert len(set(folder.glob("tracing*.swc")) - before) == 1


# What was done before it came.


def test_what_is_set_before_a_volume_is_open_stays(visitor):
    late = Late(visitor.page, "**/api/volume?*")
    visitor.go("look", volume="brain.tif", probability="brain_prob.tif", high=40, threshold=0.2)
    late.wait()
    visitor.slide("high", 90)
    visitor.slide("threshold", 0.7)
    late.let_go()
    visitor.wait_for_views(2)
    assert visitor.at("high").input_value() == "90"
    assert visitor.at("threshold").input_value() == "0.7"


@pytest.mark.parametrize(
    ("route", "params", "field"),
    [
        ("check", {"trees": "named.swc", "volume": "brain.tif"}, "check-out"),
        ("choose", {"survey": "few.csv"}, "choose-out"),
    ],
)
def test_a_name_that_is_typed_before_one_is_proposed_stays(visitor, traces, route, params, field):
    (traces / "few.csv").write_text("name,image,snr\na,brain.tif,1\nb,brain.tif,2\n")
    late = Late(visitor.page, "**/api/folder?*")
    visitor.go(route, **params)
    late.wait()
    visitor.at(field).fill("mine.csv")
    late.let_go()
    visitor.after_frame()
    expect(visitor.at(field)).to_have_value("mine.csv")


def test_trees_wait_for_the_volume_that_they_lie_in(visitor):
    visitor.go("trace", probability="brain_prob.tif", volume="brain.tif")
    visitor.wait_for_views(2)
    visitor.slide("threshold", 0.6)
    visitor.at("trace-out").fill("waited.swc")
    visitor.at("trace-run").click()
    card = visitor.page.locator("[data-output='waited.swc']")
    expect(card).to_have_attribute("data-state", "done")
    late = Late(visitor.page, "**/api/volume?*")
    asked = asked_for(visitor.page, "api/trees")
    visitor.page.reload()
    expect(card).to_have_attribute("data-state", "done")
    assert asked == []
    late.let_go()
    expect(visitor.at("trees").locator("li").first).to_be_visible()
    assert all("volume=brain.tif" in url for url in asked)


def test_a_field_that_is_not_asked_for_stops_nothing(visitor):
    """Nor is one refused that nobody sees: what is folded is opened."""
    visitor.go("evaluate", result="brain.swc", truth="brain_label.tif")
    visitor.at("evaluate-legend").fill("nonsense!")
    visitor.at("evaluate-truth").select_option("phantom/tree.swc")
    visitor.at("evaluate-out").fill("seen")
    visitor.at("evaluate-run").click()
    expect(visitor.page.locator("[data-output='seen']").first).to_be_visible()
    visitor.go("enhance", volume="brain.tif")
    summary = visitor.page.locator("[data-testid=order] summary")
    summary.click()
    visitor.at("memory").fill("much")
    summary.click()
    expect(visitor.at("memory")).to_be_hidden()
    visitor.at("run").click()
    expect(visitor.at("memory")).to_be_visible()
    expect(visitor.at("memory")).to_be_focused()


# Answers in another order.


def test_an_older_list_of_jobs_does_not_take_a_newer_one_back(visitor):
    late = Late(visitor.page, "**/api/jobs", answers=True, most=1)
    visitor.go("trace", probability="brain_prob.tif")
    late.wait()
    visitor.slide("threshold", 0.6)
    visitor.at("trace-out").fill("overtaken.swc")
    visitor.at("trace-run").click()
    card = visitor.page.locator("[data-output='overtaken.swc']")
    expect(card).to_have_attribute("data-state", "done")
    frozen = Late(visitor.page, "**/api/jobs")
    frozen.wait()
    late.let_go()
    visitor.after_frame()
    assert card.count() == 1
    frozen.let_go()


def test_a_card_follows_its_job_in_place(visitor):
    """So that what is pressed is still there when the press ends; and two presses stop it once."""
    grown = []

    def grow(route):
        answer = route.fetch()
        found = answer.json()
        for job in found["jobs"]:
            grown.append(job["id"])
            job.update(state="running", progress=min(0.9, len(grown) / 100))
        route.fulfill(response=answer, json=found)

    visitor.go("trace", probability="brain_prob.tif")
    visitor.slide("threshold", 0.6)
    visitor.at("trace-out").fill("followed.swc")
    visitor.at("trace-run").click()
    card = visitor.page.locator("[data-output='followed.swc']")
    expect(card).to_have_attribute("data-state", "done")
    visitor.page.route("**/api/jobs", grow)
    cancel = card.get_by_test_id("cancel")
    before = cancel.element_handle()
    share = card.locator(".pace").inner_text()
    expect(card.locator(".pace")).not_to_have_text(share)
    assert before.evaluate("button => button.isConnected")
    late = Late(visitor.page, "**/cancel")
    cancel.click()
    late.wait()
    cancel.click()
    assert late.count == 1
    late.let_go()


def test_the_prediction_that_was_chosen_last_is_shown(visitor, folder):
    place = folder / "choice"
    place.mkdir()
    shutil.copy(folder / "brain.tif", place / "cube.tif")
    for name in ("one", "two", "three"):
        shutil.copy(folder / "brain_prob.tif", place / f"{name}_prob.tif")
    visitor.go("annotate", volume="choice/cube.tif")
    visitor.at("label-start").select_option("prediction")
    late = Late(visitor.page, "**/api/volume?*two_prob*")
    visitor.at("label-prediction").select_option("choice/two_prob.tif")
    late.wait()
    asked = asked_for(visitor.page, "two_prob.tif/0/c/")
    visitor.at("label-prediction").select_option("choice/one_prob.tif")
    visitor.wait_for_views(2)
    with visitor.page.expect_response("**/two_prob.tif/0/zarr.json*"):
        late.let_go()
    visitor.after_frame()
    visitor.wait_for_views(2)
    assert asked == []


# Files that change while they are looked at.


def deep(folder, name, grey):
    """Write a volume of several chunks, of which the projection reads a coarser level."""
    (folder / "changing").mkdir(exist_ok=True)
    noise = np.random.default_rng(1).integers(0, 4, (200, 160, 160))
    tifffile.imwrite(folder / name, np.uint8(grey + noise), imagej=True, metadata=PLANES)


def test_a_file_that_was_replaced_is_shown_as_it_is_now(visitor, folder):
    deep(folder, "changing/replaced.tif", 10)
    visitor.look(volume="changing/replaced.tif", at="10,80,80", scale=1, low=-5, high=300)
    other = np.zeros((120, 80, 80), np.uint8)
    tifffile.imwrite(folder / "changing/replaced.tif", other, imagej=True, metadata=PLANES)
    for _ in range(90):
        visitor.page.keyboard.press("ArrowUp")
    states(visitor, "status", "has changed")
    expect(visitor.at("slice-xy")).to_have_attribute("aria-label", "xy slice, plane 101 of 120")
    visitor.wait_for_views(1)


def test_a_file_that_is_gone_is_not_shown_as_empty(visitor, folder):
    deep(folder, "changing/removed.tif", 10)
    visitor.look(volume="changing/removed.tif", at="10,80,80", scale=1)
    (folder / "changing/removed.tif").unlink()
    for _ in range(90):
        visitor.page.keyboard.press("ArrowUp")
    states(visitor, "errors", "changing/removed.tif")


def test_an_output_that_is_gone_is_no_longer_offered(visitor, folder):
    visitor.go("trace", probability="brain_prob.tif")
    visitor.slide("threshold", 0.6)
    visitor.at("trace-out").fill("lost.swc")
    visitor.at("trace-run").click()
    card = visitor.page.locator("[data-output='lost.swc']")
    expect(card.get_by_test_id("to-check")).to_be_visible()
    (folder / "lost.swc").unlink()
    expect(card).to_contain_text("no longer there")
    expect(card.get_by_test_id("to-check")).to_have_count(0)


# Check.


def test_each_place_is_decided_as_it_was_seen(visitor, server, traces):
    """Two decisions, the second before the first has been answered."""
    check(visitor, "swift.swc")
    late = Late(visitor.page, "**/api/check/decide")
    visitor.page.keyboard.press("a")
    late.wait()
    visitor.page.keyboard.press("r")
    late.let_go()
    states(visitor, "check-count", "2 of 4 places decided")
    states(visitor, "check-count", "2 trees")
    visitor.page.reload()
    states(visitor, "check-count", "2 of 4 places decided")
    marks = visitor.at("places").locator(".mark").all_inner_texts()
    assert marks == ["✓ accepted", "✗ rejected", "", ""]


def test_a_note_is_typed_on_while_an_answer_comes_and_kept_for_its_place(visitor, traces):
    """Without the field in focus, its letters would be keys that decide."""
    check(visitor, "noted.swc")
    late = Late(visitor.page, "**/api/check/decide")
    visitor.page.keyboard.press("a")
    late.wait()
    visitor.at("note").click()
    visitor.page.keyboard.type("d")
    late.let_go()
    states(visitor, "check-count", "1 of 4 places decided")
    visitor.page.keyboard.type("ark area")
    assert visitor.at("note").input_value() == "dark area"
    visitor.at("previous").click()
    assert visitor.at("note").input_value() == ""
    visitor.at("next").click()
    assert visitor.at("note").input_value() == "dark area"
    states(visitor, "check-count", "1 of 4 places decided")
    visitor.at("accept").click()
    states(visitor, "check-count", "2 of 4 places decided")
    visitor.page.reload()
    states(visitor, "check-count", "2 of 4 places decided")
    visitor.at("place-bridge-1").click()
    assert visitor.at("note").input_value() == "dark area"


def test_two_pages_of_one_trace_show_the_same_trees(visitor, traces):
    other = visitor.page.context.new_page()
    other.goto(visitor.page.url.split("#")[0])
    session = visitor.page.evaluate("sessionStorage.getItem('neuroglow-token')")
    other.evaluate("token => sessionStorage.setItem('neuroglow-token', token)", session)
    for page in (visitor.page, other):
        page.goto(f"{visitor.address}#/check?trees=shared.swc&volume=brain.tif")
        page.reload()
        expect(page.get_by_test_id("check-count")).to_contain_text("1 tree")
    visitor.page.keyboard.press("r")
    states(visitor, "check-count", "2 trees")
    other.keyboard.press("j")
    other.keyboard.press("r")
    expect(other.get_by_test_id("check-count")).to_contain_text("3 trees")
    expect(other.get_by_test_id("check-count")).to_contain_text("2 of 4 places")
    other.close()


# Annotate.


def test_a_label_that_could_not_be_saved_when_it_was_left_is_there_again(visitor, server):
    visitor.go("annotate", volume="brain.tif", box="0:16,0:16,0:16")
    visitor.at("label-start").select_option("background")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "not saved yet")
    visitor.at("slice-xy").click()
    states(visitor, "label-state", "Changed; not saved yet.")
    server.kill()
    visitor.at("nav-help").click()
    expect(visitor.at("errors")).to_contain_text("does not answer")
    server.start()
    visitor.page.go_back()
    states(visitor, "label-state", "Changed; not saved yet.")
    visitor.at("label-save").click()
    states(visitor, "label-state", "Saved as")
    assert " 0 neurite" not in visitor.at("label-state").inner_text()


def test_a_label_is_saved_as_it_was_last(visitor, folder):
    """A save, a stroke, and a second save before the first has been answered."""
    visitor.go("annotate", volume="brain.tif", box="16:32,0:16,0:16")
    visitor.at("label-start").select_option("background")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "not saved yet")
    late = Late(visitor.page, "**/api/label?*", most=1)
    visitor.page.keyboard.press("s")
    late.wait()
    visitor.at("slice-xy").click()
    states(visitor, "label-state", "Changed; not saved yet.")
    visitor.page.keyboard.press("s")
    visitor.after_frame()
    late.let_go()
    states(visitor, "label-state", "Saved as")
    visitor.page.reload()
    states(visitor, "label-state", "Saved before; loaded.")
    cubes = {cube.name: cube for cube in read_manifest(folder / "annotations")}
    assert (tifffile.imread(cubes["brain_z16_y0_x0"].label) == 1).any()


def test_what_was_entered_for_the_training_stays_when_a_label_is_saved(visitor):
    visitor.go("annotate", volume="brain.tif", box="16:32,16:32,0:16")
    visitor.at("label-start").select_option("background")
    visitor.at("label-begin").click()
    states(visitor, "label-state", "not saved yet")
    visitor.at("label-save").click()
    states(visitor, "train-cubes", "annotated cube")
    visitor.at("train-steps").fill("7")
    late = Late(visitor.page, "**/api/annotations?*")
    visitor.at("label-save").click()
    late.wait()
    visitor.at("train-steps").focus()
    late.let_go()
    visitor.after_frame()
    expect(visitor.at("train-steps")).to_be_focused()
    assert visitor.at("train-steps").input_value() == "7"
    asked = asked_for(visitor.page, "api/jobs")
    visitor.at("train-steps").fill("")
    asked.clear()
    visitor.at("train-start").click()
    assert not visitor.at("train-steps").evaluate("field => field.checkValidity()")
    assert asked == []


# Training runs.


def test_a_run_is_followed_after_its_server_was_silent(visitor, server, folder):
    run = folder / "some_run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"settings": {"steps": 4}}))
    (run / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 0.5}) + "\n")
    visitor.go("run", path="some_run")
    states(visitor, "run", "Step 1 of 4")
    server.kill()
    expect(visitor.at("errors")).to_contain_text("does not answer")
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 2, "loss": 0.4}) + "\n")
    server.start()
    states(visitor, "run", "Step 2 of 4")
