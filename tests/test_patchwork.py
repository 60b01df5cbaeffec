"""DB-Enhance's tiling: its patches, its seams, its padding; and several devices, a worker each.

Its code is not here: what it does is said again with plain loops, and compared.
"""

import json
import math
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest
import torch

from neuroglow import predict
from neuroglow.errors import SettingsError
from neuroglow.network import enhance, inference
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.db_enhance_facts import INPUT
from neuroglow.network.enhance import begin_worker, own_device
from neuroglow.network.inference import Runner, choose_devices
from neuroglow.network.machine import choose_machine
from neuroglow.network.model_settings import FixedInput, ModelSettings
from neuroglow.network.patchwork import average, patch_starts, plan_patchwork, read_patch
from neuroglow.space.geometry import Box
from test_predict import EXACT, small_blocks, tiny_network, tree_bytes


@pytest.fixture(scope="module")
def fixed_model(tmp_path_factory):
    """A tiny network that is fed grey levels as DB-Enhance's."""
    settings = ModelSettings(
        name="fixed",
        network="glow",
        arguments={"widths": [4], "blocks": [1]},
        normalisation=FixedInput(low=0, high=1500, mean=168.5, std=500),
        halo=8,
        threshold=0.5,
    )
    return save_model(tmp_path_factory.mktemp("fixed") / "fixed", tiny_network(), settings)


def grey(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 1700, shape).astype(np.uint16)


def its_way(image, patch, overlap, predict_patch):
    """Say its prediction again: pad what leaves the volume by its edge, add, count, divide."""
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    axes = []
    for size in image.shape:
        starts = np.arange(0, size, patch - overlap)
        starts[len(starts) - 1] = size - patch
        axes.append(starts)
    margin = patch
    padded = np.pad(image, margin, mode="edge")
    for z in axes[0]:
        for y in axes[1]:
            for x in axes[2]:
                at = tuple(slice(a + margin, a + margin + patch) for a in (z, y, x))
                result = predict_patch(padded[at])
                whole, ones = np.zeros(padded.shape), np.zeros(padded.shape)
                whole[at], ones[at] = result, 1
                inside = (slice(margin, -margin),) * 3
                total += whole[inside]
                count += ones[inside]
    return total / count


# where the patches lie


def test_the_patches_lie_where_the_recorded_ones_do(shared):
    for case in json.loads((shared / "reference/cases.json").read_text())["tiling"]:
        axes = [
            patch_starts(*three)
            for three in zip(case["shape"], case["patch"], case["overlap"], strict=True)
        ]
        assert [sorted(set(starts)) for starts in axes] == case["starts"]
        assert math.prod(len(starts) for starts in axes) == case["count"]


@pytest.mark.parametrize(
    ("size", "starts"),
    [
        (300, [0, 110, 180]),
        (230, [0, 110, 110]),  # twice, and so it counts twice
        (331, [0, 110, 220, 211]),
        (120, [0, 0]),
        (115, [0, -5]),
        (80, [-40]),
    ],
)
def test_the_last_patch_is_moved_back_to_the_face(size, starts):
    assert patch_starts(size) == starts


# their average


def test_recorded_patches_are_averaged_to_the_recorded_volume(shared):
    recorded = np.load(shared / "reference/stitch.npz")
    shape, patch, overlap = (recorded[name].tolist() for name in ("shape", "patch", "overlap"))
    by_start = {
        tuple(start): part
        for start, part in zip(recorded["starts"].tolist(), recorded["patches"], strict=True)
    }
    form = {"patch": patch[0], "overlap": overlap[0]}
    whole = average(by_start.__getitem__, shape, Box.of(shape), **form)
    assert np.abs(whole - recorded["result"]).max() <= 1e-12


@pytest.mark.parametrize("shape", [(70, 37, 19), (32, 58, 31), (26, 27, 84)])
def test_odd_volumes_are_padded_and_averaged_as_it_does_in_any_blocks(shape):
    image = grey(shape).astype(float)

    def blurred(x):
        return x * 0.5 + x.mean() + np.roll(x, 1, 0)  # looks different in each patch

    def one(start):
        read = lambda box: image[box.slices]  # noqa: E731
        return blurred(read_patch(read, shape, start, 32))

    expected = its_way(image, 32, 6, blurred)
    whole = average(one, shape, Box.of(shape), patch=32, overlap=6)
    assert np.allclose(whole, expected, rtol=1e-12)
    block = Box((3, 5, 7), tuple(n - 2 for n in shape))
    part = average(one, shape, block, patch=32, overlap=6)
    assert np.allclose(part, expected[block.slices], rtol=1e-12)


def test_predict_gives_its_numbers_on_a_volume_smaller_than_a_patch(fixed_model):
    image = grey((40, 30, 50))
    runner = Runner.prepare(load_model(fixed_model), torch.device("cpu"), torch.float32)
    expected = its_way(image, 120, 10, lambda x: runner.probability(INPUT.normalise(x)))
    found = predict(image, model=fixed_model, tiling="db-enhance", **EXACT)
    assert np.abs(found - expected).max() <= 1e-6
    blocks = predict(image, model=fixed_model, **EXACT)
    assert np.abs(found - blocks).max() > 1e-3  # another padding: the test can fail
    cut = predict(image, model=fixed_model, tiling="db-enhance", precision="float32", dtype="uint8")
    assert np.array_equal(cut, np.uint8(found.astype(float) * 255)) or (
        np.abs(cut - np.uint8(expected * 255).astype(int)).max() <= 1
    )
    assert float(np.mean(cut == np.uint8(expected * 255))) > 0.999


def test_blocks_of_patches_and_a_region_have_the_numbers_of_the_whole(fixed_model):
    image = grey((70, 20, 135), 1)
    form = {"model": fixed_model, "tiling": "db-enhance", **EXACT}
    whole = predict(image, max_memory=10**10, **form)
    room = small_blocks(fixed_model, 120**3) + 24 * 64**3
    assert np.abs(predict(image, max_memory=room, **form) - whole).max() <= 1e-6
    part = predict(image, roi="3:66,:,70:130", **form)
    assert np.abs(part - whole[3:66, :, 70:130]).max() <= 1e-6


def test_blocks_are_planned_for_the_fewest_patches():
    roi = Box.of((300, 300, 300))
    assert plan_patchwork(roi, roi.shape, unit=64, voxels=27_000_000) == (320, 320, 320)
    shape = plan_patchwork(roi, roi.shape, unit=64, voxels=9_000_000)
    assert math.prod(min(side, 300) for side in shape) <= 9_000_000
    assert plan_patchwork(roi, roi.shape, unit=64, voxels=1000) is None


def test_what_contradicts_the_tiling_is_refused(fixed_model):
    image = grey((20, 20, 20))
    with pytest.raises(SettingsError, match="have no halo"):
        predict(image, model=fixed_model, tiling="db-enhance", halo=8)
    with pytest.raises(SettingsError, match=r"a patch of 120\^3 voxels"):
        predict(image, model=fixed_model, tiling="db-enhance", max_memory="300MB")


# precision and devices


def test_an_imported_model_predicts_in_float32_unless_asked(monkeypatch):
    settings = ModelSettings(
        name="x",
        network="voxresnet",
        normalisation=FixedInput(low=0, high=1500, mean=168.5, std=500),
        halo=24,
        threshold=0.5,
        training={"recipe": "DB-Enhance"},
    )

    def precision(asked, model=settings):
        return choose_machine(model, engine="torch", device="cpu", precision=asked).precision

    assert precision("auto") == "float32"
    assert precision("bfloat16") == "bfloat16"
    other = settings.model_copy(update={"training": {}})
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(inference, "bfloat16_pays", lambda: True)
    assert precision("auto", other) == "bfloat16"


def test_each_worker_takes_the_next_device(monkeypatch):
    monkeypatch.setattr(enhance, "use_threads", lambda count: None)
    monkeypatch.setattr(enhance, "_turn", [0])
    turn = get_context("spawn").Value("i", 0)
    begin = partial(begin_worker, 1, turn)
    taken = []
    for _ in range(3):
        begin()
        taken.append(own_device("cuda:0,cuda:1"))
    assert taken == ["cuda:0", "cuda:1", "cuda:0"]
    assert own_device("cpu") == "cpu"


def test_two_devices_write_what_one_writes(fixed_model, tmp_path):
    """Two times the CPU stands in for two GPUs."""
    image = grey((64, 64, 128), 2)
    form = {"model": fixed_model, "precision": "float32"}
    room = small_blocks(fixed_model, 80 * 80 * 80)
    predict(image, out=tmp_path / "one.ome.zarr", max_memory=room, **form)
    [report] = predict(
        image, out=tmp_path / "two.ome.zarr", device="cpu,cpu", max_memory=2 * room, **form
    )
    assert report.blocks.total == 2
    assert tree_bytes(tmp_path / "one.ome.zarr") == tree_bytes(tmp_path / "two.ome.zarr")
    assert json.loads(report.record.read_text())["used"]["device"] == "cpu,cpu"


def test_devices_of_two_kinds_and_an_array_on_several_are_refused(fixed_model):
    with pytest.raises(SettingsError, match="of one kind"):
        choose_devices("cpu,meta")
    with pytest.raises(SettingsError, match="must be available on this machine"):
        choose_devices("cpu,gpu")
    with pytest.raises(SettingsError, match="an array in memory uses one"):
        predict(grey((20, 20, 20)), model=fixed_model, device="cpu,cpu")
