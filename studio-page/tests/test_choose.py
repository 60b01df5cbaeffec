"""Choose: a survey and a selection ordered on the page, then annotated; also without the server in the middle."""

from __future__ import annotations

import csv

from browsing import states
from playwright.sync_api import expect
from serving import held

from neuroglow.cubes.manifest import read_manifest


def test_a_survey_and_a_selection_are_ordered_and_their_cubes_annotated(visitor, server, folder):
    visitor.go("choose")
    visitor.at("survey-source").select_option("whole.ome.zarr")
    visitor.at("survey-cube").fill("8")
    visitor.at("survey-run").click()  # cubes have at least 16 voxels: nothing is ordered
    visitor.at("survey-cube").fill("16")
    visitor.at("survey-out").fill("ordered_survey.csv")
    visitor.at("survey-run").click()
    job = visitor.page.locator("[data-output='ordered_survey.csv']")
    unfinished = folder / "ordered_survey.csv.partial"
    with held("whole.ome.zarr", lambda: any(unfinished.glob("*")), verb="survey"):
        expect(job).to_have_attribute("data-state", "running")
        server.kill()
        server.start()
        visitor.page.reload()
        expect(job).to_have_attribute("data-state", "running")
    expect(job).to_have_attribute("data-state", "done")
    job.get_by_test_id("look-at").click()
    with (folder / "ordered_survey.csv").open(newline="") as table:
        count = len(list(csv.DictReader(table)))
    assert count >= 18
    states(visitor, "choose-count", f"of {count} cubes")
    assert (folder / "ordered_survey.html").is_file()
    select_three(visitor, server, folder)


def select_three(visitor, server, folder):
    """Order a selection by a rule, go on with it after a reload, annotate its cubes."""
    visitor.at("selecting").locator("summary").first.click()
    visitor.at("select-n").fill("3")
    visitor.at("select-run").click()
    job = visitor.page.locator("[data-output='ordered_selection.csv']")
    expect(job).to_have_attribute("data-state", "done")
    server.kill()
    server.start()
    visitor.page.reload()
    visitor.at("selecting").locator("summary").first.click()
    job.get_by_test_id("look-at").click()
    states(visitor, "choose-count", "3 taken")
    chosen = read_manifest(folder / "ordered_selection.csv")
    assert {cube.other["rank"] for cube in chosen} == {"1", "2", "3"}
    assert len(read_manifest(folder / "ordered_selection_cubes")) == 3
    visitor.go("jobs")
    job.get_by_test_id("to-annotate").click()
    name = next(iter(chosen)).name
    visitor.at(f"annotate-{name}").click()
    expect(visitor.at("label-begin")).to_be_visible()


def test_a_selection_that_the_rule_cannot_make_says_why(visitor, folder):
    survey = folder / "no_indicators.csv"
    survey.write_text("name,image,snr\na,brain.tif,1\n")
    visitor.go("choose", survey="no_indicators.csv")
    visitor.at("selecting").locator("summary").first.click()
    visitor.at("select-n").fill("1")
    visitor.at("select-run").click()
    job = visitor.page.locator("[data-output='no_indicators_selection.csv']")
    expect(job).to_have_attribute("data-state", "failed")
    expect(job.get_by_test_id("reason")).to_contain_text("indicators")
    expect(job.get_by_test_id("reason").locator(".found")).to_contain_text("free_signal_density")
    expect(job.get_by_test_id("resume")).to_have_count(0)
