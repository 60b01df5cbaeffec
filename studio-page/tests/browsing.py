"""A visitor of the studio: goes to pages, reads pixels, asks axe."""

from __future__ import annotations

import io
import os
import shutil
import time
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from PIL import Image
from playwright.sync_api import APIResponse, Locator, Page, Route

AXE = Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"

PATIENCE = 180_000
"""Milliseconds that anything may take on a machine that does much else."""

SERIOUS = ("serious", "critical")


def chromium_program() -> str | None:
    """Find Chromium: CHROMIUM, or under its usual names."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


@dataclass
class Visitor:
    """Someone who looks at a page."""

    page: Page
    address: str

    def at(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def go(self, route: str, **params: object) -> None:
        query = f"?{urlencode(params)}" if params else ""
        self.page.goto(f"{self.address}#/{route}{query}")
        self.after_frame()  # so that the page before is gone

    def look(self, **params: object) -> None:
        self.go("look", **params)
        self.wait_for_views(sum(role in params for role in ("volume", "probability")))

    def wait_for_views(self, volumes: int) -> None:
        """Wait until the slices lack nothing and the projection holds so many volumes."""
        self.after_frame()
        self.page.wait_for_selector(".viewer[data-ready=true]")
        self.page.wait_for_selector(
            f"[data-testid=projection][data-loaded='{volumes}']", state="attached"
        )

    def after_frame(self) -> None:
        """Wait until the browser has drawn what is due."""
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def pixels(self, name: str) -> np.ndarray:
        """The pixels of a slice that lacks nothing, rows of red, green, blue, alpha."""
        self.after_frame()
        self.page.wait_for_selector(".viewer[data-ready=true]")
        address = self.at(name).evaluate("canvas => canvas.toDataURL()")
        return np.array(
            Image.open(io.BytesIO(b64decode(address.partition(",")[2]))).convert("RGBA")
        )

    def middle(self, name: str, radius: int = 2) -> np.ndarray:
        """The pixels around the middle of a slice, where the crosshair leaves a gap."""
        pixels = self.pixels(name)
        y, x = pixels.shape[0] // 2, pixels.shape[1] // 2
        return pixels[y - radius : y + radius + 1, x - radius : x + radius + 1, :3].astype(float)

    def picture(self, name: str) -> np.ndarray:
        """The pixels of anything on the screen, once the projection holds what it was asked for."""
        self.after_frame()
        self.page.wait_for_function(
            "!document.querySelector('[data-testid=projection][data-loaded=\"not yet\"]')"
        )
        self.after_frame()
        return np.array(Image.open(io.BytesIO(self.at(name).screenshot())).convert("RGB"))

    def settled(self, name: str) -> np.ndarray:
        """The pixels once two pictures in a row are the same: finer chunks may still arrive."""
        last, tries = self.picture(name), 50
        while tries:
            self.page.wait_for_timeout(100)
            now = self.picture(name)
            if np.array_equal(now, last):
                return now
            last, tries = now, tries - 1
        raise AssertionError(f"{name} goes on changing")

    def slide(self, name: str, value: float) -> None:
        """Move a slider as a hand would: the page hears `input`."""
        move = (
            "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }"
        )
        self.at(name).evaluate(move, value)

    def faults(self) -> list[str]:
        """What axe finds that is serious."""
        self.page.evaluate(AXE.read_text())
        found: list[dict[str, Any]] = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{each['id']}: {node['html'][:160]}"
            for each in found
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]


def states(visitor: Visitor, name: str, text: str, timeout: int = PATIENCE) -> None:
    """Wait until something says so."""
    visitor.page.wait_for_selector(f"[data-testid={name}]:has-text('{text}')", timeout=timeout)


def orange(pixels: np.ndarray) -> int:
    """Count the pixels of a probability: clearly more red than blue."""
    return int((pixels[..., 0].astype(int) - pixels[..., 2] > 60).sum())


class Late:
    """What the page asks for by some address waits until it is let go.

    answers: the server answers at once, and the answer waits. most: how many wait; others do not.
    """

    def __init__(self, page: Page, pattern: str, *, answers: bool = False, most: int = 1000):
        self._page, self._pattern, self._answers, self._most = page, pattern, answers, most
        self._held: list[tuple[Route, APIResponse | None]] = []
        self._open = False
        self.count = 0
        page.route(pattern, self._take)

    def _take(self, route: Route) -> None:
        self.count += 1
        if self._open or self.count > self._most:
            route.continue_()
        else:
            self._held.append((route, route.fetch() if self._answers else None))

    def wait(self) -> None:
        """Wait until something is held."""
        end = time.monotonic() + PATIENCE / 1000
        while not self._held:
            assert time.monotonic() < end, f"nothing asks for {self._pattern}"
            self._page.wait_for_timeout(20)

    def let_go(self) -> None:
        """Let all go on that was held, and what comes; wait until the page has what was held."""
        self._open = True
        for route, answer in self._held:
            if answer is None:
                route.continue_()
            else:
                route.fulfill(response=answer)
        for route, _ in self._held:
            route.request.response()
        self._held = []
