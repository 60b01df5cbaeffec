"""A volume without a voxel size: said at once and once, and nothing claims micrometres."""

import re

import numpy as np
import pytest
import tifffile

import neuroglow
from running import run

UNSIZED = "no voxel size is stated, so that lengths are in voxels"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    line = np.zeros((12, 32, 64), np.uint8)
    line[5:7, 15:17, 5:55] = 230
    path = tmp_path_factory.mktemp("unsized") / "p.tif"
    tifffile.imwrite(path, line)
    return path


@pytest.mark.parametrize("unit", ["um", "voxel"])
def test_trace_says_it_once_and_writes_voxels(plain, tmp_path, caplog, unit):
    report = neuroglow.trace(plain, out=tmp_path / "t.swc", unit=unit)
    assert caplog.text.count(UNSIZED) == 1
    assert "# unit: voxels" in report.output.read_text()
    assert " voxels," in str(report)
    assert " um" not in str(report).replace("_um", "")


def test_with_a_size_trace_writes_micrometres_and_says_nothing(plain, tmp_path, caplog):
    report = neuroglow.trace(plain, out=tmp_path / "t.swc", voxel_size=(1, 1, 1))
    assert UNSIZED not in caplog.text
    assert "# unit: micrometres" in report.output.read_text()


def test_evaluate_says_it_of_all_volumes_in_one_line(plain, tmp_path, caplog):
    for name in ("a", "b", "c"):
        for folder in ("p", "t"):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", tifffile.imread(plain) // 230)
    neuroglow.evaluate(tmp_path / "p", tmp_path / "t")
    assert caplog.text.count(UNSIZED) == 1
    assert "a, b, c: no voxel size" in caplog.text
    caplog.clear()
    neuroglow.evaluate(tmp_path / "p", tmp_path / "t", voxel_size=(2, 1, 1))
    assert UNSIZED not in caplog.text


def test_each_run_says_it_again(plain, caplog):
    for _ in range(2):
        neuroglow.trace(plain)
    assert caplog.text.count(UNSIZED) == 2


@pytest.fixture(scope="module")
def folder(plain):
    """A volume without a size, with what each verb takes next to it."""
    at = plain.parent
    (at / "t.swc").write_text("1 2 5 16 5 1.5 -1\n2 2 30 16 5 1.5 1\n3 2 54 16 5 1.5 2\n")
    noise = 300 + 20 * np.random.default_rng(1).standard_normal((32, 40, 48))
    tifffile.imwrite(at / "noise.tif", noise.astype(np.uint16))
    return at


VERBS = {
    "trace": "trace IN/p.tif -o OUT/t.swc",
    "trace, none": "trace IN/p.tif -o OUT/t.swc --min-length-um 500",
    "label": "label IN/t.swc --like IN/p.tif -o OUT/l.tif --radius-um 2",
    "evaluate": "evaluate IN/p.tif IN/t.swc -o OUT/e --trace --unit um",
    "evaluate trees": "evaluate OUT/t.swc IN/t.swc -o OUT/e",
    "sensitivity": "sensitivity IN/noise.tif -o OUT/s --snr 1,12 --rounds 1 --blocks 2 --block 32",
}
CLAIMS = re.compile(r"(?<![\w-])um\b|µm|μm|micromet", re.I)
LOOKS = re.compile(r"base64,[\w+/=]+|<style.*?</style>|<script.*?</script>", re.S)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_states_a_unit_that_is_not_known(folder, tmp_path, capsys, caplog, verb):
    if verb == "evaluate trees":
        neuroglow.trace(folder / "p.tif", out=tmp_path / "t.swc")
        caplog.clear()
    words = VERBS[verb].replace("OUT", str(tmp_path)).replace("IN", str(folder)).split()
    status, said = run(capsys, *words)
    assert status == 0, said
    assert caplog.text.count(UNSIZED) == 1
    files = [f for f in tmp_path.rglob("*") if f.suffix in (".html", ".json", ".csv", ".swc")]
    texts = {f.name: LOOKS.sub("", f.read_text()) for f in files} | {"said": said}
    # the words of an option that was given are no claim
    shown = {
        n: re.sub(r'<td[^>]*>unit</td>.*?</tr>|--unit um|"unit": "um"', "", t)
        for n, t in texts.items()
    }
    found = {name: CLAIMS.findall(text) for name, text in shown.items()}
    assert not any(found.values()), found
    assert len(files) >= 1


def test_trees_in_two_units_are_compared_only_by_a_size(tmp_path, capsys):
    tree = "1 2 5 16 5 1.5 -1\n2 2 30 16 5 1.5 1\n"
    (tmp_path / "a.swc").write_text("# unit: voxels\n" + tree)
    (tmp_path / "b.swc").write_text("# unit: um\n" + tree)
    both = tmp_path / "a.swc", tmp_path / "b.swc"
    status, said = run(capsys, "evaluate", *both, "-o", tmp_path / "e.html")
    assert status == 2
    assert "--voxel-size Z,Y,X" in said
    assert (
        run(capsys, "evaluate", *both, "-o", tmp_path / "e.html", "--voxel-size", "1,1,1")[0] == 0
    )
