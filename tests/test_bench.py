"""`neuroglow bench`: it measures real engines, keeps to its time, and names what it left out."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

import neuroglow
from neuroglow.bench.advice import Others, advise, best_of
from neuroglow.bench.plans import Plan, candidates
from neuroglow.bench.probe import blocks_of, probe
from neuroglow.bench.processes import Probe, hear
from neuroglow.bench.results import BlockTime, EngineTimes, WholeTimes, WorkersTime
from neuroglow.bench.settings import BenchSettings
from neuroglow.errors import OutputError, SettingsError
from neuroglow.network.machine import Machine
from neuroglow.network.matrix_peak import matrix_peak, operations
from neuroglow.network.stored import read_model
from neuroglow.predict.planned import Prediction
from neuroglow.predict.settings import PredictSettings
from neuroglow.space.geometry import Box, voxels_read
from neuroglow.space.volume import ArrayVolume
from running import run

MODEL = read_model("light-microscopy")
BRAIN = (512, 512, 512)
OPENVINO = Machine("openvino")


class Sleeper:
    """An engine that takes a millisecond for a thousand voxels."""

    def __init__(self):
        self.seen = []

    def probability(self, x, **_):
        self.seen.append(x.shape)
        time.sleep(x.size / 1e6)
        return x


def test_blocks_are_timed_and_what_there_is_no_time_for_is_named():
    engine = Sleeper()
    shapes = [(10, 10, 10), (10, 10, 20), (1000, 1000, 1000)]
    rows = list(blocks_of(engine, shapes, time.time() + 5))
    assert [row["read"] for row in rows] == shapes
    assert all(row["seconds"] >= np.prod(row["read"]) / 1e6 for row in rows[:2])
    assert "more" in rows[2]["left_out"]
    assert shapes[2] not in engine.seen
    assert engine.seen.count(shapes[0]) > 1, "the first run of a block does not count"


def test_a_probe_measures_a_real_engine():
    task = {"kind": "engine", "model": str(MODEL.path), "machine": vars(OPENVINO), "threads": 1}
    task |= {"shapes": [(16, 16, 16)], "until": time.time() + 60, "together": True, "peak": False}
    waited = []
    rows = list(probe(task, lambda: waited.append(1)))
    assert "prepared" in rows[0]
    assert (rows[1]["ready"], waited) == ((16, 16, 16), [1])
    assert rows[2]["seconds"] > 0
    assert rows[2]["memory"] > 50e6


def test_the_operations_of_a_network_are_the_same_for_both_engines():
    counted = [operations(MODEL, Machine(engine)) for engine in ("openvino", "torch")]
    assert counted[0] == pytest.approx(counted[1], rel=0.001)
    voxels = 2 * MODEL.weights()["stem.0.weight"].size / 8
    assert counted[0] > voxels, "of the first layer alone"


def test_a_precision_without_a_matrix_product_has_no_peak():
    assert matrix_peak(replace(OPENVINO, precision="int8"), 0.1) is None
    assert matrix_peak(OPENVINO, 0.01) > 1e8


def test_the_blocks_are_those_that_predict_chooses():
    settings = BenchSettings(brain=BRAIN)
    plan = Plan(settings, MODEL, available=None)
    planned = plan.blocks(OPENVINO)
    volume = ArrayVolume(np.broadcast_to(np.uint16(0), BRAIN))
    for block in planned:
        if block.max_memory:
            options = {"engine": "openvino", "precision": "float32", "max_memory": block.max_memory}
            run = Prediction.plan(volume, PredictSettings(**options), None)
            assert block.write == run.block_shape
            assert Box.of(block.read).size <= max(Box.of(b.read.shape).size for b in run.blocks())
    assert next(b.max_memory for b in planned if b.max_memory) == settings.max_memory
    tight = Plan(settings, MODEL, available=2_500_000_000).blocks(OPENVINO)
    assert {b.max_memory for b in tight} == {None, 1_600_000_000}, "only memory that is free"


def test_what_cannot_run_here_is_named():
    machines, absent = candidates(BenchSettings())
    kinds = {(m.engine, m.precision) for m in machines}
    assert ("torch", "float32") in kinds
    assert len(machines) == len({(m.engine, m.precision, m.kind) for m in machines})
    assert any("GPU" in reason for reason in absent) or any(m.kind != "cpu" for m in machines)


def engine(name, *rates):
    """Make results of an engine: its rates with blocks of 64, 128, 256 for 1, 2, 4 GB."""
    blocks = []
    for number, rate in enumerate(rates):
        write, read = (64 * 2**number,) * 3, (64 * 2**number + 64,) * 3
        seconds = Box.of(read).size / rate
        blocks.append(BlockTime(write, read, seconds, None, 10**9 * 2**number))
    return EngineTimes(Machine(name), blocks=blocks)


def test_advice_is_the_fastest_engine_with_the_least_memory_that_is_about_as_fast():
    slow, fast = engine("torch", 1e6, 1e6, 1e6), engine("openvino", 2e6, 2e6)
    chosen, block = best_of([slow, fast], BRAIN, 32)
    assert (chosen, block.max_memory) == (fast, 2 * 10**9), "halos of small blocks cost more"
    alike = engine("openvino", 8e6, 2e6, 1e6)
    assert best_of([slow, alike], BRAIN, 32)[1].max_memory == 10**9
    assert best_of([EngineTimes(Machine())], BRAIN, 32) is None


def test_the_time_of_a_brain_follows_from_what_was_measured():
    settings = BenchSettings(brain=BRAIN)
    found = engine("openvino", 1e6)
    read = voxels_read(Box.of(BRAIN), (64,) * 3, halo=32, within=Box.of(BRAIN))
    advice = advise(settings, 32, (found, found.blocks[0]), [], Others(1e-7, 2e-8))
    assert advice.network == pytest.approx(read / 1e6)
    assert advice.full == pytest.approx(read / 1e6 + read * 1e-7)
    assert advice.empty == pytest.approx(read * 2e-8)
    several = WorkersTime(2, (64,) * 3, (128,) * 3, 1.5e6, None)
    two = advise(settings, 32, (found, found.blocks[0]), [several], Others())
    assert (two.workers, two.full, two.empty) == (2, None, None)
    assert "--workers 2" in two.command()
    slower = replace(several, rate=1.01e6)
    assert advise(settings, 32, (found, found.blocks[0]), [slower], Others()).workers == 1


def test_work_besides_the_network_is_what_a_whole_prediction_takes_longer():
    whole = WholeTimes("e", (64,) * 3, (64,) * 3, start=3, fixed=1, empty=1.5, full=2, memory=None)
    assert whole.rest(64**3 / 0.75, 32) == pytest.approx(0.25 / 64**3)
    assert whole.rest(1.0, 32) == 0, "measured faster than the network alone: nothing is left"
    assert whole.empty_rate == pytest.approx(64**3 / 0.5)
    assert replace(whole, empty=None).empty_rate is None


def test_a_probe_that_fails_or_is_late_says_so():
    assert "No such" in str([*hear({"kind": "engine", "model": "No such", "threads": 0}, 60)])
    late = Probe({"kind": "engine"}, 0.1)
    try:
        assert [*late.rows()] == [{"failed": "there was no time left"}]
    finally:
        late.close()


@pytest.mark.slow
def test_a_benchmark_keeps_to_its_time_and_its_file_has_what_it_prints(tmp_path, capsys):
    file, begun = tmp_path / "b.json", time.monotonic()
    words = ("bench", "--brain", "128x128x64", "--seconds", "12", "-o", file)
    status, said = run(capsys, *words)
    assert status == 0, said
    kept = json.loads(file.read_text())
    assert time.monotonic() - begun < 60  # 12, and the start of its processes
    assert "a brain of 128 x 128 x 64 voxels" in said or "not measured" in said
    assert kept["settings"]["brain"] == [128, 128, 64]
    measured = [block for found in kept["engines"] for block in found["blocks"]]
    assert all(block["seconds"] > 0 for block in measured)
    assert measured or kept["left_out"]
    again, refused = run(capsys, *words)
    assert (again, "new .json" in refused) == (2, True)


def test_wrong_requests_are_refused_before_anything_is_measured(tmp_path):
    for wrong in ({"brain": "1x2"}, {"seconds": 1}, {"device": "cuda:7"}):
        with pytest.raises(SettingsError):
            neuroglow.bench(**wrong)
    with pytest.raises(OutputError, match=r"new \.json"):
        neuroglow.bench(out=tmp_path / "b.txt")
