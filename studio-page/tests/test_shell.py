"""The shell: navigation, help, dark and light, honest empty and error states, accessibility."""

from __future__ import annotations

import signal

import pytest
from playwright.sync_api import expect
from serving import Server, free_port


def test_the_token_leaves_the_address(visitor):
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    assert "token" not in visitor.page.url


def test_without_the_token_the_page_says_what_to_do(chromium, server):
    page = chromium.new_page()
    page.goto(server.address)
    expect(page.get_by_test_id("errors")).to_contain_text("token")
    page.close()


def test_the_folder_is_listed_with_pictures_and_kinds(visitor):
    expect(visitor.at("item-brain.tif").locator("img")).to_be_visible()
    assert visitor.at("item-brain.tif").locator("img").evaluate("image => image.naturalWidth") > 20
    for name, kind in (
        ("brain_prob.tif", "probability"),
        ("brain.swc", "trees"),
        ("whole.ome.zarr", "volume"),
    ):
        expect(visitor.at(f"item-{name}").locator(".kind")).to_have_text(kind)


def test_opening_a_volume_shows_it(visitor):
    visitor.at("open-brain.tif").click()
    visitor.page.wait_for_selector(".viewer[data-ready=true]")
    assert "volume=brain.tif" in visitor.page.url


def test_a_file_that_is_dropped_on_the_page_comes_into_the_folder(visitor, folder, tmp_path):
    """The browser's own drag and drop, as from a file manager."""
    own = tmp_path / "from_desktop.tif"
    own.write_bytes((folder / "plain.tif").read_bytes())
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    browser = visitor.page.context.new_cdp_session(visitor.page)
    data = {"items": [], "files": [str(own)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 250, "data": data})
    expect(visitor.at("item-from_desktop.tif").locator("img")).to_be_visible()
    assert (folder / "from_desktop.tif").read_bytes() == own.read_bytes()
    visitor.page.reload()
    expect(visitor.at("item-from_desktop.tif")).to_be_visible()


def test_a_folder_that_is_dropped_is_refused_with_what_to_do(visitor, folder):
    """An OME-Zarr is a folder; the browser would send nothing of it."""
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    browser = visitor.page.context.new_cdp_session(visitor.page)
    data = {"items": [], "files": [str(folder / "whole.ome.zarr")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 250, "data": data})
    expect(visitor.at("errors")).to_contain_text("whole.ome.zarr")
    expect(visitor.at("errors")).to_contain_text("start neuroglow studio in the folder")


def test_trees_and_reports_have_pictures_too(visitor):
    for name in ("brain.swc", "scores"):
        image = visitor.at(f"item-{name}").locator("img")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.naturalWidth") > 20, name


@pytest.mark.parametrize(
    ("act", "shown"),
    [
        ("enhance-brain.tif", "run"),
        ("annotate-brain.tif", "label-begin"),
        ("trace-brain_prob.tif", "trace-run"),
        ("check-brain.swc", "check-save"),
        ("annotate-phantom", "annotate-image.tif"),
        ("evaluate-brain_prob.tif", "evaluate-run"),
        ("label-brain.swc", "label-run"),
        ("enhance-all", "run-all"),
    ],
)
def test_an_item_opens_in_the_tool_that_applies(visitor, act, shown):
    visitor.at(act).click()
    expect(visitor.at(shown)).to_be_visible()


def test_a_dropped_file_comes_into_the_folder_and_overwrites_nothing(visitor, folder, tmp_path):
    own = tmp_path / "dropped.tif"
    own.write_bytes((folder / "plain.tif").read_bytes())
    visitor.at("upload").set_input_files(own)
    expect(visitor.at("item-dropped.tif")).to_be_visible()
    assert (folder / "dropped.tif").read_bytes() == own.read_bytes()
    visitor.at("upload").set_input_files(own)
    expect(visitor.at("errors")).to_contain_text("dropped.tif")


def kill_on(visitor, server, word):
    """Kill the server as soon as the page asks for something whose address has a word; once."""
    asked = []

    def hear(request):
        if word in request.url and not asked:
            asked.append(request.url)
            server.kill()

    visitor.page.on("request", hear)
    return asked


def test_pictures_come_when_a_server_that_was_killed_is_back(visitor, server):
    """Killed at the first thumbnail that is asked for; the page is not loaded again."""
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    visitor.at("nav-help").click()
    asked = kill_on(visitor, server, "api/thumbnail")
    visitor.at("nav-browse").click()
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    assert asked
    server.start()
    for name in ("brain.tif", "brain_prob.tif", "brain.swc", "whole.ome.zarr"):
        expect(visitor.at(f"item-{name}").locator("img")).to_be_visible()


def test_the_folder_is_listed_when_a_server_that_was_killed_is_back(visitor, server):
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    visitor.at("nav-help").click()
    asked = kill_on(visitor, server, "api/folder")
    visitor.at("nav-browse").click()
    expect(visitor.at("errors")).to_contain_text("does not answer")
    assert asked
    server.start()
    expect(visitor.at("item-brain.tif")).to_be_visible()
    expect(visitor.at("errors")).to_be_empty()


def test_an_upload_that_is_broken_off_leaves_nothing_and_is_done_again(
    visitor, server, folder, tmp_path
):
    own = tmp_path / "broken_off.tif"
    own.write_bytes((folder / "plain.tif").read_bytes())
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    server.process.send_signal(signal.SIGSTOP)  # so that the file is on its way
    with visitor.page.expect_request("**/api/upload*"):
        visitor.at("upload").set_input_files(own)
    server.kill()
    expect(visitor.at("errors")).to_contain_text("interrupted")
    server.start()
    assert not (folder / own.name).exists()
    visitor.at("upload").set_input_files(own)
    expect(visitor.at("status")).to_contain_text("is in the folder")
    expect(visitor.at("errors")).to_be_empty()
    assert (folder / own.name).read_bytes() == own.read_bytes()
    visitor.page.reload()
    expect(visitor.at("item-broken_off.tif")).to_be_visible()
    assert [path.name for path in folder.iterdir() if "broken_off" in path.name] == [own.name]


def test_the_help_opens_over_the_page_also_without_the_server(visitor, server):
    visitor.look(volume="brain.tif")
    address = visitor.page.url
    server.kill()
    visitor.page.keyboard.press("?")
    expect(visitor.at("panel-help")).to_contain_text("raise the threshold")
    visitor.page.keyboard.press("Escape")
    expect(visitor.at("panel-help")).to_have_count(0)
    server.start()
    visitor.at("show-whole").click()
    visitor.page.keyboard.press("?")
    assert visitor.faults() == []
    visitor.page.keyboard.press("?")
    expect(visitor.at("panel-help")).to_have_count(0)
    assert visitor.page.url.split("?")[0] == address.split("?")[0]


def test_pages_keep_the_files_that_are_open_and_lead_to_others(visitor):
    visitor.look(volume="brain.tif", probability="brain_prob.tif", trees="brain.swc")
    for page, shown in (("enhance", "run"), ("trace", "trace-run"), ("check", "check-save")):
        visitor.at(f"nav-{page}").click()
        expect(visitor.at(shown)).to_be_visible()
    visitor.at("nav-look").click()
    visitor.wait_for_views(2)
    assert "trees=brain.swc" in visitor.page.url
    visitor.at("nav-enhance").click()
    visitor.at("another").click()
    visitor.at("choose-phantom").click()
    expect(visitor.at("choose-image.tif")).to_be_visible()
    visitor.go("enhance", volume="gone.tif")
    expect(visitor.at("errors")).to_contain_text("gone.tif")
    visitor.at("nav-enhance").click()
    expect(visitor.at("choose-brain.tif")).to_be_visible()


def test_a_card_keeps_its_form_after_other_pages(visitor):
    """Each page adds its own style to all."""
    visitor.go("choose")
    expect(visitor.at("survey-run")).to_be_visible()
    visitor.go("browse")
    picture = visitor.at("item-phantom").locator(".thumbnail")
    expect(picture.locator("img")).to_be_visible()
    assert picture.bounding_box()["width"] == 96


def test_a_report_opens_and_opens_again_after_a_reload(visitor, server):
    visitor.at("open-scores").click()
    for _ in range(3):
        frame = visitor.page.frame_locator("[data-testid=report]")
        expect(frame.locator("h1").first).to_be_visible()
        server.kill()
        server.start()
        visitor.page.reload()


def test_an_empty_folder_says_so(chromium, server, tmp_path):
    other = Server(tmp_path, server.token_file, free_port())
    other.start()
    page = chromium.new_page()
    page.goto(f"{other.address}#token={server.token_file.read_text()}")
    expect(page.get_by_test_id("empty")).to_be_visible()
    page.close()
    other.kill()


def test_a_wrong_address_says_so(visitor):
    visitor.go("nowhere")
    expect(visitor.page.get_by_text("No such page")).to_be_visible()
    visitor.go("look", volume="none.tif")
    expect(visitor.at("errors")).to_contain_text("none.tif")
    visitor.go("look")
    expect(visitor.at("empty")).to_be_visible()


def test_a_lost_server_is_named_and_found_again(visitor, server):
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    server.kill()
    visitor.go("look", volume="brain.tif")
    expect(visitor.at("errors")).to_contain_text("does not answer")
    server.start()
    visitor.page.reload()
    visitor.wait_for_views(1)


def test_a_message_goes_when_another_page_is_opened(visitor, folder, tmp_path):
    own = tmp_path / "told.tif"
    own.write_bytes((folder / "plain.tif").read_bytes())
    visitor.at("upload").set_input_files(own)
    expect(visitor.at("status")).to_have_text("told.tif is in the folder.")
    visitor.at("nav-jobs").click()
    expect(visitor.at("status")).to_have_text("")


def test_keys_do_what_the_help_says(visitor):
    visitor.look(volume="brain.tif", probability="brain_prob.tif")
    before = float(visitor.at("threshold").input_value())
    visitor.page.keyboard.press("]")
    assert float(visitor.at("threshold").input_value()) > before
    visitor.page.keyboard.press("b")
    assert visitor.at("binary").is_checked()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_no_serious_fault(visitor, theme):
    expect(visitor.at("items")).to_have_attribute("data-ready", "true")
    if visitor.page.evaluate("document.documentElement.dataset.theme") != theme:
        visitor.at("theme").click()
    faults = visitor.faults()
    visitor.look(volume="brain.tif", probability="brain_prob.tif", trees="brain.swc")
    faults += visitor.faults()
    visitor.go("enhance", volume="brain.tif")
    expect(visitor.at("run")).to_be_visible()
    faults += visitor.faults()
    visitor.go("trace", probability="brain_prob.tif")
    expect(visitor.at("trace-run")).to_be_visible()
    faults += visitor.faults()
    shown_first = {"enhance": "batch-brain.tif", "trace": "choose-brain_prob.tif",
                   "evaluate": "evaluate-run", "annotate": "label-run"}  # fmt: skip
    for route, shown in shown_first.items():
        visitor.go(route)
        expect(visitor.at(shown)).to_be_visible()
        faults += visitor.faults()
    for route, shown in (("jobs", "jobs"), ("help", "panel-help"), ("look", "empty")):
        visitor.go(route)
        expect(visitor.at(shown)).to_be_attached()
        faults += visitor.faults()
    assert faults == []
