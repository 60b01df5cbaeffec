"""Outputs with one stem in one folder: none changes a file of another, in any verb, in any order."""

import shutil

import numpy as np
import pytest
import tifffile

from running import run
from training_sets import write_pool

VERBS = {
    "survey csv": "survey pool -o out/a.csv",
    "survey parquet": "survey pool -o out/a.parquet",
    "select": "select out/a.parquet -n 2 -o out/a.csv",
    "evaluate html": "evaluate p.tif t.swc -o out/a.html",
    "evaluate htm": "evaluate p.tif t.swc -o out/a.htm",
    "evaluate folder": "evaluate p.tif t.swc -o out/a",
    "trace swc": "trace p.tif -o out/a.swc",
    "trace SWC": "trace p.tif -o out/a.SWC",
    "trace folder": "trace p.tif -o out/a",
    "label tif": "label t.swc --like p.tif -o out/a.tif",
    "label zarr": "label t.swc --like p.tif -o out/a.ome.zarr",
    "label prob": "label t.swc --like p.tif -o out/a_prob.tif",
    "sensitivity": "sensitivity pool/image/c0.tif -o out/a",
    "phantom": "phantom cube -o out/a --size 32",
}
REFUSED = "is replaced", "not overwritten", "its trees", "one -o"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    write_pool(folder / "pool", 3, size=32)
    line = np.zeros((12, 24, 48), np.uint8)
    line[5:7, 11:13, 5:40] = 230
    tifffile.imwrite(folder / "p.tif", line)
    (folder / "t.swc").write_text("1 2 5 12 5 1.5 -1\n2 2 39 12 5 1.5 1\n")
    return folder


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("order", [1, -1])
def test_no_output_changes_a_file_of_another(place, capsys, monkeypatch, order):
    monkeypatch.chdir(place)
    shutil.rmtree("out", ignore_errors=True)
    (place / "out").mkdir()
    made = 0
    for words in list(VERBS.values())[::order]:
        before = contents(place / "out")
        status, said = run(capsys, *words.split(), "--restart")
        after = contents(place / "out")
        assert {p: after.get(p) for p in before} == before, words
        if status == 0:
            made += 1
            assert after != before, words
        else:
            assert (status, after) == (2, before), said
            assert any(rule in said for rule in REFUSED) or "a.parquet" in said, said
    assert made >= 9


def test_each_output_is_replaced_by_its_own_command_only(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    shutil.rmtree("out", ignore_errors=True)
    (place / "out").mkdir()
    for words in VERBS["survey parquet"], VERBS["evaluate htm"], VERBS["trace SWC"]:
        assert run(capsys, *words.split())[0] == 0
        before = contents(place / "out")
        assert run(capsys, *words.split())[0] == 2
        assert run(capsys, *words.split(), "--restart")[0] == 0
        assert contents(place / "out").keys() == before.keys()
