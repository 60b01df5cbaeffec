"""SWC files as people have them: read alike by every verb, or refused with the line and the cure."""

import logging

import numpy as np
import pytest
import tifffile

from neuroglow import evaluate, label
from neuroglow.cubes.manifest import Cube, open_labels
from neuroglow.errors import InputError
from neuroglow.formats.opening import open_volume
from neuroglow.phantom.neurons import read_neurons
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import read_swc, write_swc
from running import run

GOOD = "1 2 4 8 8 1.5 -1\n2 2 14 8 9 1.5 1\n3 2 24 10 8 1.5 2\n4 2 14 20 12 1 2\n"

READ = {
    "windows line ends": GOOD.replace("\n", "\r\n").encode(),
    "old mac line ends": GOOD.replace("\n", "\r").encode(),
    "a comment in latin-1": "# Müller, Universität Köln\n".encode("latin-1") + GOOD.encode(),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "tabs, blank lines, comments behind": GOOD.replace(" ", "\t")
    .replace("\n", " # x\n\n")
    .encode(),
    "no line end at the end": GOOD.strip().encode(),
    "parents after their children": "\n".join(GOOD.splitlines()[::-1]).encode(),
    "real numbers as ids": GOOD.replace(" 2 4 ", ".0 2.0 4 ").encode(),
    "utf-16, as editors write it": ("# \u00b5m\n" + GOOD).encode("utf-16"),
    "words in further columns": GOOD.replace("\n", " axon ?\n").encode(),
    "more columns": GOOD.replace("\n", " 0.5 7\n").encode(),
    "commas": GOOD.replace(" ", ",").encode(),
    "semicolons and decimal commas": GOOD.replace(" ", ";").replace("1.5", "1,5").encode(),
    "commas and spaces": GOOD.replace(" ", ", ").encode(),
    "scientific notation": GOOD.replace(" 14 ", " 1.4e1 ").replace("1.5", "15E-1").encode(),
    "gaps between ids": GOOD.replace("\n4 ", "\n4000 ").encode(),
    "a root whose parent is 0": GOOD.replace("-1", "0").encode(),
}
"""All of them hold the same tree."""

UNKNOWN = ("nan", "NA", "0", "-1")

BROKEN = {
    "a cycle": (GOOD + "5 2 1 1 1 1 6\n6 2 2 2 2 1 5\n", "a tree must not have a cycle", "line 5"),
    "its own parent": (GOOD + "5 2 1 1 1 1 5\n", "a tree must not have a cycle", "such as id 5"),
    "a parent that is not there": (GOOD + "5 2 1 1 1 1 77\n", "or -1", "parent 77"),
    "an id twice": (GOOD + "4 2 1 1 1 1 2\n", "an id of its own", "id 4 twice"),
    "six columns": (GOOD + "5 2 1 1 1 4\n", "seven columns of numbers", "'5 2 1 1 1 4'"),
    "decimal commas": (GOOD.replace("1.5", "1,5"), "use decimal points", "line 1"),
    "words": (GOOD + "soma 1 1 1 1 1 -1\n", "seven columns of numbers", "line 5"),
    "a coordinate that is none": (GOOD + "5 2 nan 1 1 1 4\n", "finite numbers", "line 5"),
    "an infinite one": (GOOD + "5 2 inf 1 1 1 4\n", "finite numbers", "line 5"),
    "an infinite radius": (GOOD + "5 2 1 1 1 inf 4\n", "radii", "line 5"),
    "a cycle behind a cycle": (
        GOOD + "5 2 1 1 1 1 6\n6 2 2 2 2 1 7\n7 2 2 2 3 1 6\n",
        "a tree must not have a cycle",
        "3 nodes in or below one, such as id 6",
    ),
    "a huge one": (GOOD + "5 2 1e30 1 1 1 4\n", "at most 1e+12", "line 5"),
    "columns in another order": (
        "".join(f"{r.split()[5]} {r}\n" for r in GOOD.splitlines()),
        "whole numbers",
        "line 1",
    ),
    "nothing at all": ("", "contains nodes", "0 bytes"),
}


@pytest.fixture
def place(tmp_path):
    """A volume of 24 x 32 x 32 voxels, a probability of it, and a folder for its tree."""
    image = np.random.default_rng(2).normal(300, 20, (24, 32, 32)).astype(np.uint16)
    (tmp_path / "trees").mkdir()
    tifffile.imwrite(tmp_path / "image.tif", image)
    probability = np.zeros((24, 32, 32), np.uint8)
    probability[7:10, 7:10, 3:26] = np.linspace(100, 255, 23)
    tifffile.imwrite(tmp_path / "prob.tif", probability)
    (tmp_path / "set.csv").write_text(
        "name,image,label,split\na,image.tif,trees/t.swc,train\nb,image.tif,trees/t.swc,val\n"
    )
    return tmp_path


def command(verb, folder):
    """Give the command line of a verb that reads trees/t.swc."""
    tree, image, out = folder / "trees/t.swc", folder / "image.tif", folder / "out"
    return {
        "label": ("label", tree, "--like", image, "-o", f"{out}.tif"),
        "evaluate": ("evaluate", folder / "prob.tif", tree, "-o", f"{out}.html"),
        "train": ("train", folder / "set.csv", "-o", out, "--steps", 1, "--patch", 16),
        "phantom": ("phantom", "cube", "--swc", folder / "trees", "--size", 32, "-o", out),
    }[verb]


@pytest.mark.parametrize("kind", READ)
def test_files_of_any_origin_hold_the_same_tree(tmp_path, kind):
    (tmp_path / "good.swc").write_text(GOOD)
    (tmp_path / "t.swc").write_bytes(READ[kind])
    good, tree = read_swc(tmp_path / "good.swc"), read_swc(tmp_path / "t.swc")
    order = np.lexsort(tree.points.T)
    expected = np.lexsort(good.points.T)
    assert np.array_equal(tree.points[order], good.points[expected])
    assert np.array_equal(tree.radii[order], good.radii[expected])
    assert (tree.parents < np.arange(4)).all()
    mothers = {tuple(p): tuple(tree.points[m]) for p, m in zip(tree.points, tree.parents, strict=True) if m >= 0}  # fmt: skip
    for point, mother in zip(good.points[1:], good.points[good.parents[1:]], strict=True):
        assert mothers[tuple(point)] == tuple(mother)


@pytest.mark.parametrize("radius", UNKNOWN)
def test_a_radius_that_is_missing_is_not_known(tmp_path, radius):
    (tmp_path / "t.swc").write_text(GOOD.replace("1.5", radius))
    assert read_swc(tmp_path / "t.swc").radii.tolist() == [0, 0, 0, 1]


def test_several_roots_are_several_trees(place, capsys):
    (place / "trees/t.swc").write_text(GOOD + "9 2 4 25 20 1 -1\n10 2 20 25 20 1 9\n")
    assert (read_swc(place / "trees/t.swc").parents < 0).sum() == 2
    for verb in ("label", "evaluate"):
        assert run(capsys, *command(verb, place))[0] == 0
    label = tifffile.imread(place / "out.tif")
    assert label[20, 25, 12] == label[8, 8, 5] == 1


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("verb", ["label", "evaluate", "train", "phantom"])
def test_each_verb_refuses_broken_files(place, capsys, verb, kind):
    content, rule, found = BROKEN[kind]
    (place / "trees/t.swc").write_text(content)
    before = sorted(place.rglob("*"))
    status, said = run(capsys, *command(verb, place))
    assert status == 2, said
    assert rule in said
    assert found in said
    assert "t.swc" in said
    assert "Traceback" not in said
    left = [p for p in sorted(place.rglob("*")) if p not in before and p.is_file()]
    assert [p.name for p in left if p.suffix in (".tif", ".html", ".safetensors")] == []


@pytest.mark.parametrize("verb", ["label", "evaluate", "train"])
def test_a_tree_of_another_place_is_refused(place, capsys, verb):
    rows = [row.split() for row in GOOD.splitlines()]
    far = [[*r[:2], *(f"{float(v) * 1000 + 7e5:g}" for v in r[2:5]), *r[5:]] for r in rows]
    (place / "trees/t.swc").write_text("\n".join(map(" ".join, far)))
    status, said = run(capsys, *command(verb, place))
    assert status == 2, said
    assert "the nodes of a tree lie in its volume" in said
    assert "0% of them do when read as micrometres" in said
    assert "t.swc" in said


@pytest.mark.parametrize("verb", ["label", "evaluate", "train"])
def test_nanometres_are_guessed_and_said(place, capsys, verb):
    rows = [row.split() for row in GOOD.splitlines()]
    nm = [[*r[:2], *(f"{float(v) * 1000:g}" for v in r[2:5]), *r[5:]] for r in rows]
    (place / "trees/t.swc").write_text("\n".join(map(" ".join, nm)))
    status, said = run(capsys, *command(verb, place))
    assert status == 2, said
    assert "these look like nanometres" in said
    assert "--swc-unit nm" in said


@pytest.mark.parametrize("verb", ["label", "evaluate", "train"])
def test_a_radius_larger_than_the_volume_is_refused(place, capsys, verb):
    (place / "trees/t.swc").write_text(GOOD.replace("1.5", "1500"))  # nanometres?
    status, said = run(capsys, *command(verb, place))
    assert status == 2, said
    assert "a radius must be smaller than the volume" in said
    assert "1500 voxels, of a volume 32 voxels long" in said
    assert "t.swc" in said


@pytest.mark.parametrize("verb", ["label", "evaluate", "train"])
def test_a_node_that_is_far_off_is_refused(place, capsys, verb):
    (place / "trees/t.swc").write_text(GOOD + "5 2 1e11 12 12 1 4\n")
    status, said = run(capsys, *command(verb, place))
    assert status == 2, said
    assert "the nodes of trees lie at most 10 cm apart" in said


def test_a_file_that_is_missing_or_no_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file[\s\S]*none\.swc"):
        read_swc(tmp_path / "none.swc")
    (tmp_path / "folder.swc").mkdir()
    with pytest.raises(InputError, match=r"folder\.swc"):
        read_swc(tmp_path / "folder.swc")


HEADERS = {
    # header: (x, y, z of the node 5 6 7, radius 1, unit)
    "# OFFSET 20.0 30.0 40.0": ((25, 36, 47), 1, None),
    "#offset: 1,2,3": ((6, 8, 10), 1, None),
    "# Offset = -5 0 0.5": ((0, 6, 7.5), 1, None),
    "# SCALE 0.5 0.5 2": ((2.5, 3, 14), 0.5, None),
    "# scale: 10": ((50, 60, 70), 10, None),
    "# SCALE 2 2 2\n# OFFSET 1 0 0": ((11, 12, 14), 2, None),
    "# unit: nm": ((5, 6, 7), 1, "nm"),
    "# units = pixels": ((5, 6, 7), 1, "voxel"),
    "# Unit: \u00b5m": ((5, 6, 7), 1, "um"),
    "# unit mm": ((5000, 6000, 7000), 1000, "um"),
    '# Meta: {"id": 7, "units": "8 nanometer"}': ((40, 48, 56), 8, "nm"),
    "# unit: mm\n# OFFSET 1 0 0": ((6000, 6000, 7000), 1000, "um"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_header_is_applied_and_said(tmp_path, caplog, header, encoding):
    (x, y, z), radius, unit = HEADERS[header]
    file = tmp_path / "a.swc"
    file.write_text(f"{header}\n1 2 5 6 7 1 -1\n", encoding=encoding)
    tree = read_swc(file)
    assert tree.points[0].tolist() == pytest.approx([z, y, x])
    assert tree.radii[0] == pytest.approx(radius)
    assert tree.unit == unit
    said = header.count("\n") + 1 - ("\u00b5" in header)
    assert len(caplog.records) == len(tree.notes) == said
    write_swc(tree, tmp_path / "b.swc")
    again = read_swc(tmp_path / "b.swc")
    assert np.allclose(again.points, tree.points)
    assert again.unit == (None if unit == "um" else unit)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("# SCALE 0 1 1", "says scale 0 1 1, which is not applied"),
        ("# scale bar: 10 um", "which is not applied"),
        ("# unit: furlong", "not known and not applied"),
        ("# OFFSET unknown", "says offset unknown, which is not applied"),
    ],
)
def test_a_header_that_means_nothing_is_said_and_nothing_done(tmp_path, header, words):
    file = tmp_path / "a.swc"
    file.write_text(f"{header}\n1 2 5 6 7 1 -1\n")
    tree = read_swc(file)
    assert tree.points[0].tolist() == [7, 6, 5]
    assert words in " ".join(tree.notes)


def test_two_headers_that_contradict_each_other_are_refused(tmp_path):
    file = tmp_path / "a.swc"
    file.write_text("# OFFSET 1 2 3\n# OFFSET 4 5 6\n1 2 5 6 7 1 -1\n")
    with pytest.raises(InputError, match="says offset once"):
        read_swc(file)


def in_header(place, header, factor=1.0, shift=(0, 0, 0)):
    """Write GOOD as a file whose header makes it what it is."""
    rows = [row.split() for row in GOOD.splitlines()]
    lines = [header]
    for i, kind, x, y, z, radius, parent in rows:
        at = ((float(v) - s) * factor for v, s in zip((x, y, z), shift, strict=True))
        numbers = " ".join(f"{v:g}" for v in (*at, float(radius) * factor))
        lines.append(f"{i} {kind} {numbers} {parent}")
    (place / "trees/t.swc").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("header", "factor", "shift"),
    [
        ("# unit: nm", 1000.0, (0, 0, 0)),
        ("# SCALE 0.1 0.1 0.1", 10.0, (0, 0, 0)),
        ("# OFFSET 100 200 300", 1.0, (100, 200, 300)),
        ("# unit: mm", 0.001, (0, 0, 0)),
    ],
)
def test_verbs_draw_a_tree_where_its_header_places_it(place, header, factor, shift):
    (place / "trees/t.swc").write_text(GOOD)
    label(place / "trees/t.swc", place / "image.tif", out=place / "good.tif")
    in_header(place, header, factor, shift)
    report = label(place / "trees/t.swc", place / "image.tif", out=place / "l.tif")
    drawn = tifffile.imread(place / "l.tif")
    assert np.array_equal(drawn, tifffile.imread(place / "good.tif"))
    assert "its header" in str(report)
    scored = evaluate(
        drawn, place / "trees/t.swc", prediction_map="0=background,1=neurite,2=ignore"
    )
    assert scored.means["dice"] == 1
    assert "its header" in str(scored)
    cube = Cube("a", place / "image.tif", place / "trees/t.swc")
    labels = open_labels(cube, open_volume(place / "image.tif"))
    assert np.array_equal(labels.read(Box.of(drawn.shape)), drawn)
    ((tree, _),) = read_neurons(str(place / "trees"))
    assert np.allclose(np.ptp(tree.points, axis=0), (4, 12, 20))


@pytest.mark.parametrize("verb", ["label", "evaluate", "train"])
def test_an_option_that_contradicts_the_header_wins_and_it_is_said(place, capsys, caplog, verb):
    (place / "trees/t.swc").write_text("# unit: nm\n" + GOOD)  # which is in micrometres
    refused = run(capsys, *command(verb, place))
    assert refused[0] == 2
    assert "--swc-unit um" in refused[1]
    with caplog.at_level(logging.WARNING):
        status, said = run(capsys, *command(verb, place), "--swc-unit", "um")
    assert status == 0, said
    assert "says nanometres, and is not followed: micrometres, as asked" in said + caplog.text


def test_neurons_of_phantoms_are_not_in_voxels(place):
    (place / "trees/t.swc").write_text("# unit: voxel\n" + GOOD)
    with pytest.raises(InputError, match="in micrometres"):
        read_neurons(str(place / "trees"))


def test_trees_of_several_units_are_drawn_together(place):
    in_header(place, "# unit: nm", 1000.0)
    (place / "trees/u.swc").write_text("1 2 4 20 20 1 -1\n2 2 20 20 20 1 1\n")
    label(place / "trees", place / "image.tif", out=place / "l.tif")
    drawn = tifffile.imread(place / "l.tif")
    assert drawn[20, 20, 12] == drawn[8, 8, 8] == 1


def test_a_soma_alone_is_a_ball(place):
    (place / "trees/t.swc").write_text("1 1 16 16 12 4 -1\n")
    label(place / "trees/t.swc", place / "image.tif", out=place / "l.tif", margin_vox=0)
    drawn = tifffile.imread(place / "l.tif") == 1
    assert drawn.sum() == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.15)
    assert drawn[12, 16, 16]
