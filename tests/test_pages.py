"""What pages and pictures hold: a verdict first, titles, true scale bars, real planes, no network."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from neuroglow.evaluate.definitions import DEFINITIONS, TITLES
from neuroglow.pictures.colours import GROUND, distinct, glow, oklab
from neuroglow.pictures.sheet import Panel, draw_sheet, image_png, three_panels
from neuroglow.pictures.stack import FOUND_KEYS, gather_slabs
from neuroglow.pictures.view import View, scale_bar
from neuroglow.report import Page, new_figure
from neuroglow.selection.examples import pick_examples
from neuroglow.trace.pictures import CLASSES, length_classes

VOID = {"meta", "img", "input", "br", "link"}
SHAPE, SIZE = (40, 30, 50), (2.0, 1.0, 0.5)


class Checked(HTMLParser):
    """Reads a page strictly: every element is closed, in order; keeps what it has seen."""

    def __init__(self, page):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.seen if name == tag]


def voxels():
    return np.random.default_rng(5).random(SHAPE).astype(np.float32)


def stack(**images):
    some = voxels()
    readers = {name: (lambda box, v=v: v[box.slices]) for name, v in images.items()}
    found = gather_slabs(SHAPE, SIZE, readers or {"score": lambda box: some[box.slices]}, 16)
    return found, found.stack(threshold=0.3, over="detections", keys=FOUND_KEYS)


def whole_page():
    figure = new_figure(width=4, height=2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="a")
    axes.legend()
    page = Page("A <title>", {"F1": "the harmonic mean"}).verdict("It is good: F1 > 0.9.")
    page.picture(image_png(np.zeros((4, 4, 3), np.uint8)), "of nothing", title="A picture")
    page.stack(stack()[1], "slabs", title="Plane by plane").chart(figure, "a line", title="A chart")
    page.table([{"volume": "a", "F1": 0.5}], "all").details("more", [{"x": 1}])
    return page.settings("neuroglow evaluate a b", {"seed": 1}).html()


def test_a_page_is_whole_html_with_its_verdict_first():
    page = Checked(whole_page())
    text = whole_page()
    places = [text.index(part) for part in ('class="verdict"', "<figure", "<table")]
    assert places == sorted(places)
    assert "F1 &gt; 0.9" in text
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert all(attrs["aria-label"] for attrs in page.all("svg") + page.all("canvas"))
    assert text.count("<figure") == text.count("<strong>") == 3  # each has its title
    (term,) = [attrs for attrs in page.all("a") if attrs.get("class") == "term"]
    assert term["title"] == "the harmonic mean"
    assert any(attrs.get("id") == term["href"][1:] for attrs in page.all("dt"))


def test_a_page_fetches_nothing_and_is_the_same_twice():
    text = whole_page()
    assert text == whole_page()
    for attrs in (attrs for _, attrs in Checked(text).seen):
        for name in ("src", "href", "xlink:href", "data", "srcset", "poster", "action"):
            assert (attrs.get(name) or "#").startswith(("#", "data:")), attrs
    style = text[: text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "http" not in text.replace("http-equiv", "")


def test_a_page_is_dark_light_and_printed():
    text = whole_page()
    for part in ("prefers-color-scheme: dark", 'data-theme="dark"', "@media print", "<button"):
        assert part in text
    assert "currentColor" in text  # the chart's ink is the page's
    assert re.search(r"<svg[^>]*>.*#(?:000000|ffffff)[^<]*text", text) is None


@pytest.mark.parametrize("pixels", [37, 300, 1201])
@pytest.mark.parametrize("pixels_a_unit", [0.003, 0.7, 1.0, 12.0])
def test_a_scale_bar_is_a_round_length_of_a_third_at_most(pixels, pixels_a_unit):
    bar = scale_bar(pixels, pixels_a_unit, "µm")
    mantissa = bar.length / 10 ** np.floor(np.log10(bar.length) + 1e-9)
    assert min(abs(mantissa - n) for n in (1, 2, 5)) < 1e-6
    assert 0.1 * pixels < bar.pixels <= 0.3 * pixels * (1 + 1e-9)
    assert bar.pixels == pytest.approx(bar.length * pixels_a_unit)


@pytest.mark.parametrize("size", [(2.0, 1.0, 0.5), (1.0, 1.0, 1.0), None])
def test_the_drawn_bar_is_as_long_as_so_many_voxels(size):
    """Measured in the picture: white pixels of the bar, voxels of a marked line."""
    view = View.of(SHAPE, size, side=300)
    for axis in range(3):
        bar, (height, width) = view.bar(axis), view.panel(axis)
        sheet = draw_sheet([[Panel(np.zeros((height, width, 3), np.uint8), "title", bar)]])
        white = (sheet == 255).all(axis=2)
        run = max(int(row.sum()) for row in white[height:])
        ends = np.zeros((2, 3))
        across = 1 if axis == 2 else 2
        ends[1, across] = bar.length / (size[across] if size else 1)
        drawn = np.diff(view.place(ends, axis)[:, 1])[0]
        assert abs(run - drawn) <= 1
        assert bar.unit == ("µm" if size else "voxels")


def test_one_scale_along_all_axes():
    view = View.of(SHAPE, SIZE, side=300)
    a_um = [
        np.ptp(view.place(np.array([[0, 0, 0], 10 / np.asarray(SIZE)]), k), axis=0)
        for k in range(3)
    ]
    np.testing.assert_allclose(a_um, a_um[0][0])
    steep = View.of((8, 64, 64), (50.0, 1.0, 1.0))
    titles = [
        p.title
        for p in three_panels(
            steep, {a: np.zeros((*steep.panel(k), 3), np.uint8) for k, a in enumerate("zyx")}, "raw"
        )
    ]
    assert ["not to scale" in title for title in titles] == [False, True, True]


def test_the_sliders_planes_are_the_real_planes():
    some = voxels()
    found, shown = stack(score=some)
    assert [a for a, _ in found.planes] + [SHAPE[0]] == [0] + [b for _, b in found.planes]
    for (start, stop), slab in zip(found.planes, shown.slabs, strict=True):
        assert slab["planes"].startswith(
            f"{start}–{stop - 1} of {SHAPE[0]} ({start * 2}–{stop * 2} µm"
        )
        kept = np.asarray(Image.open(io.BytesIO(base64.b64decode(slab["score"].split(",")[1]))))
        expected = found.view.enlarge(some[start:stop].max(0), 0)
        np.testing.assert_array_equal(kept, np.rint(expected * 255))
    text = Page("a").stack(shown, "slabs", title="b").html()
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert json.loads(data) == list(shown.slabs)
    sliders = {a["name"]: a for a in Checked(text).all("input")}
    assert int(sliders["planes"]["max"]) == len(found.planes) - 1
    assert float(sliders["threshold"]["value"]) == 0.3
    (style,) = [a["style"] for a in Checked(text).all("div") if a.get("class") == "bar"]
    across = SHAPE[2] * SIZE[2]
    assert float(style[6:-1]) == pytest.approx(100 * shown.bar.length / across, rel=1e-3)


def test_any_blocks_give_the_same_slabs_and_few_bytes(monkeypatch):
    monkeypatch.setattr("neuroglow.pictures.stack.TOGETHER", 1)  # else it is one block
    some = np.random.default_rng(6).random((20, 1100, 700)).astype(np.float32)
    readers = {"score": lambda box: some[box.slices]}
    one, other = (gather_slabs(some.shape, None, readers, block) for block in (96, 500))
    np.testing.assert_array_equal(one.images["score"], other.images["score"])
    assert max(one.images["score"].shape[1:]) <= 512
    assert one.images["score"].max() == some.max()


def test_a_truth_is_kept_in_slabs_with_what_is_ignored():
    truth = np.zeros(SHAPE, np.float32)
    truth[3, 4], truth[10, 5] = 1, 0.5
    _, shown = stack(score=voxels(), truth=truth)
    kept = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(s["truth"].split(",")[1]))))
        for s in shown.slabs
    ]
    assert set(np.unique(kept)) == {0, 128, 255}


def test_what_the_raw_image_hardly_shows_stands_out():
    dark, bright = np.full((1, 1, 3), 10, np.uint8), np.full((1, 1, 3), 240, np.uint8)
    new, known = (glow(below, np.ones((1, 1))).astype(int)[0, 0] for below in (dark, bright))
    none = glow(dark, np.zeros((1, 1))).astype(int)[0, 0]
    assert np.ptp(new) > 150 and np.ptp(none) < 80  # deep colour over dark
    assert np.ptp(known) < 0.6 * np.ptp(new)  # pale over bright
    assert np.abs(new - none).max() > 150


def test_360_trees_have_360_colours():
    colours = distinct(360)
    assert len(set(colours)) == 360
    lab = oklab(np.array([*colours, GROUND], float))
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(apart, 1)
    assert apart.min() > 0.03
    assert apart[:12, :12].min() > 0.12  # the longest trees are told apart at a glance
    assert apart[-1].min() > 0.3  # and all from the ground


def test_classes_of_length_hold_every_tree_once():
    from neuroglow.trees.swc import Tree

    def line(n):
        points = np.column_stack([np.zeros(n), np.zeros(n), np.arange(n)]).astype(float)
        return Tree(points, np.zeros(n), np.zeros(n, int), np.arange(n) - 1)

    trees = [line(n) for n in (401, 201, 200, 60, 11, 3)]
    colours, legend = length_classes(trees, "µm")
    assert colours == [CLASSES[0], CLASSES[0], CLASSES[1], CLASSES[2], CLASSES[4], CLASSES[4]]
    assert sum(int(words.split(": ")[1].split()[0]) for _, words in legend) == 6
    assert legend[0][1] == "200 to 400 µm: 2 trees"


def test_every_score_of_the_page_is_defined():
    assert set(TITLES.values()) <= set(DEFINITIONS)
    assert all(DEFINITIONS.values())


def test_examples_of_a_survey_are_typical_hard_and_diverse():
    from pathlib import Path

    from neuroglow.cubes.manifest import Cube
    from neuroglow.selection.survey_table import FREE

    def cube(i, density, noise, low):
        other = dict(zip(FREE[:3], map(str, (density, noise, low)), strict=True))
        return Cube(f"c{i}", Path("x.tif"), None, "", other=other)

    cubes = [cube(i, 0.01 * i, 5 + i, i / 20) for i in range(21)]
    found = dict(pick_examples(cubes, 2))
    assert found["typical"] == [10, 9] or found["typical"] == [10, 11]
    assert found["hard"] == [20, 19]
    assert 0 in found["diverse"]
    rows = [i for some in found.values() for i in some]
    assert len(rows) == len(set(rows)) == 6
