"""Each method through the same tracer: what `evaluate --trace` scores is what `trace` finds."""

import json

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.evaluate.traced import AsProbability
from neuroglow.metrics.counts import Levels, ScoreCounts
from neuroglow.phantom import PhantomSettings, make_phantom, to_tree
from neuroglow.trees.swc import write_swc
from running import run

METHODS = {"prediction", "prediction, best", "raw", "noise units", "Sato"}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    settings = PhantomSettings(
        shape=(48, 48, 48), neurites=(4, 4), snr=(6.0, 9.0), radius_vox=(0.8, 1.2)
    )
    made = make_phantom(np.random.default_rng(3), settings)
    write_swc(to_tree(made.scene.neurites), folder / "tree.swc")
    tifffile.imwrite(folder / "raw.tif", made.image)
    found = neuroglow.predict(made.image)
    tifffile.imwrite(folder / "prob.tif", np.rint(found * 255).astype(np.uint8))
    return folder


def test_every_method_has_trees_and_the_prediction_has_those_of_trace(case):
    report = neuroglow.evaluate(
        case / "prob.tif", case / "tree.swc", raw=case / "raw.tif", threshold=0.3, trace=True
    )
    rows = report.results["volumes"][0]["scores"]
    assert set(rows) == METHODS
    assert all(np.isfinite(row["tree_recovered"]) for row in rows.values())

    neuroglow.trace(case / "prob.tif", out=case / "found.swc", threshold=0.3)
    alone = neuroglow.evaluate(case / "found.swc", case / "tree.swc").means
    for name in ("tree_false_um", "tree_esa_precision"):  # the truth's trees leave the volume
        assert rows["prediction"][name] == pytest.approx(alone[name], rel=0.02, abs=0.02)


def test_without_it_nothing_is_traced(case):
    rows = neuroglow.evaluate(case / "prob.tif", case / "tree.swc", raw=case / "raw.tif")
    assert "tree_recovered" not in rows.results["volumes"][0]["scores"]["Sato"]


def test_the_option_is_in_the_command_that_repeats_it(case, capsys):
    status, said = run(
        capsys, "evaluate", case / "prob.tif", case / "tree.swc", "-o", case / "report", "--trace"
    )
    assert status == 0, said
    scores = json.loads((case / "report/scores.json").read_text())
    assert scores["command"].endswith("--trace")
    assert scores["summary"]["tree_recovered"]["mean"] > 0.5


def test_a_score_becomes_the_share_of_neurites_at_its_level_and_never_falls():
    levels = Levels(0, 4, 5)
    neurites, background = np.array([0, 5, 2, 8, 9]), np.array([90, 5, 8, 2, 1])
    counts = ScoreCounts(levels, neurites, background)

    class Score:
        levels = Levels(0, 4, 5)

        def read(self, box):
            return np.arange(5, dtype=np.float32)

    said = AsProbability(Score(), counts)
    assert said.read(None) == pytest.approx([0, 0.35, 0.35, 0.8, 0.9])  # 7 of 20 where it fell
    assert said.of_threshold(3) == pytest.approx(0.8)
    assert said.of_threshold(0) > 0
