"""A selection by hand."""

import numpy as np
import pytest

from neuroglow.cubes.manifest import Cube, read_manifest
from neuroglow.errors import InputError, OutputError
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.selection.by_hand import ByHand, write_by_hand
from neuroglow.selection.survey_table import FREE
from neuroglow.space.volume import ArrayVolume


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    cubes = []
    for number in range(4):
        path = folder / f"c{number}.tif"
        export_tiff(ArrayVolume(rng.integers(0, 99, (8, 8, 8)).astype(np.uint8)), path)
        other = {name: str(rng.random()) for name in FREE} | {"length_vox": "300"}
        cubes.append(Cube(f"c{number}", path, other=other))
    return cubes


def test_a_selection_is_what_train_reads_with_ranks_and_reasons(survey, tmp_path):
    out = tmp_path / "chosen.csv"
    chosen = ByHand({"c2": "faint", "c0": ""}, {"c1": "torn"})
    write_by_hand(survey, chosen, out)
    cubes = read_manifest(out)
    told = [(c.name, c.other["rank"], c.other["reason"], c.other["minutes"]) for c in cubes]
    assert told == [("c0", "2", "by hand", "5.0"), ("c2", "1", "faint", "5.0")]
    assert {cube.other["rule"] for cube in cubes} == {"by hand"}
    assert sorted(cube.split for cube in cubes) == ["train", "val"]
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "dropped: torn" in page
    assert out.with_suffix(".png").is_file()


def test_nothing_is_overwritten_and_nothing_unknown_chosen(survey, tmp_path):
    (tmp_path / "there.png").write_text("mine")
    for chosen, name, error, message in (
        (ByHand({"c0": ""}), "there.csv", OutputError, "overwritten"),
        (ByHand({"c0": ""}), "a.txt", OutputError, "CSV"),
        (ByHand({"c9": ""}), "a.csv", InputError, "c9"),
        (ByHand({}), "a.csv", InputError, "at least one"),
    ):
        with pytest.raises(error, match=message):
            write_by_hand(survey, chosen, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"]
