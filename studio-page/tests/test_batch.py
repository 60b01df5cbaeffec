"""A folder in a batch: one order for all its volumes."""

from __future__ import annotations

import re
import shutil

import pytest
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def pool(folder):
    """A folder of three small volumes."""
    place = folder / "pool"
    place.mkdir()
    for name in ("one", "two", "three"):
        shutil.copy(folder / "brain.tif", place / f"{name}.tif")
    return place


def test_all_volumes_of_a_folder_are_enhanced_by_one_order(visitor, server, pool):
    visitor.at("enhance-pool").click()
    expect(visitor.at("batch-three.tif")).to_be_checked()
    visitor.at("run-all").click()
    parts = [visitor.at(f"part-pool/{name}_prob.tif") for name in ("one", "three", "two")]
    expect(parts[0]).to_have_attribute("data-state", "done")
    job = visitor.page.locator(".job").first
    job.get_by_test_id("cancel").click()
    expect(job).to_have_attribute("data-state", re.compile("cancelled|done"))
    server.kill()
    server.start()
    visitor.page.reload()
    if job.get_attribute("data-state") == "cancelled":
        job.get_by_test_id("resume").click()
    for part in parts:
        expect(part).to_have_attribute("data-state", "done")
    expect(job).to_have_attribute("data-state", "done")
    assert all((pool / f"{name}_prob.tif").is_file() for name in ("one", "two", "three"))
    visitor.page.reload()
    expect(visitor.at("batch-two.tif")).not_to_be_checked()
    visitor.at("look-pool/two_prob.tif").click()
    visitor.wait_for_views(2)
