"""DB-Enhance's training: the same weights, steps and rates; and a loss or score that is none stops.

Its code is not here: what it does is said again in plain PyTorch, and compared.
"""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

import neuroglow
from neuroglow.errors import InputError, RunError, SettingsError
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.metrics import confusion_scores
from neuroglow.network import db_enhance_facts as facts
from neuroglow.network.checkpoint import load_model
from neuroglow.network.model_settings import ModelSettings
from neuroglow.train import learner as learning
from neuroglow.train import sampling
from neuroglow.train.augment import augment, move, tell_turns, turning_planes
from neuroglow.train.batches import Batch
from neuroglow.train.learner import Learner, new_network
from neuroglow.train.losses import bce_dice, db_enhance, soft_cldice, worst
from neuroglow.train.optimise import learning_rate
from neuroglow.train.sampling import Sampler
from neuroglow.train.settings import TrainSettings
from neuroglow.train.together import Group
from neuroglow.train.validation import Validation, count
from test_learning import pooled
from training_sets import TINY, write_cube, write_pool

SMALL = {"recipe": "db-enhance", "patch": 16, "batch": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def its_run(pool, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "db"
    return neuroglow.train(pool, out=out, **SMALL, steps=2, checkpoint_every=1, halo=8)


def its_loss(logits, target):
    """Say DB-Enhance's loss again, as its GetWeight and utils/loss.py have it."""
    share = float(target.sum()) / (target.numel() + 1e-5) + 1e-5
    weight = torch.tensor([share, 1 - share])
    loss = 0.5 * nn.CrossEntropyLoss(weight)(logits, target)
    probability = logits.softmax(1)
    for c in (0, 1):
        guessed, true = probability[:, c].flatten(), (target == c).float().flatten()
        overlap = (guessed * true).sum()
        loss = loss + weight[c] * (1 - (2 * overlap + 1) / (guessed.sum() + true.sum() + 1))
    return loss


def a_batch(seed=0, size=16):
    rng = np.random.default_rng(seed)
    target = torch.from_numpy((rng.random((2, 1, size, size, size)) < 0.1).astype(np.float32))
    x = target + torch.from_numpy(rng.normal(0, 1, target.shape).astype(np.float32))
    return Batch(x, target, torch.ones_like(target), ())


def a_learner(**settings):
    chosen = TrainSettings.of(SMALL | settings)
    known = ModelSettings(
        name="x", network="voxresnet", normalisation=facts.INPUT, halo=24, threshold=0.5
    )
    network = new_network("voxresnet", {}, chosen.seed, chosen.init)
    return Learner(network, known, chosen, Group())


# the loss


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_its_loss_is_the_same_at_every_share_of_neurites(share):
    rng = np.random.default_rng(3)
    logits = torch.from_numpy(rng.normal(0, 2, (2, 2, 8, 8, 8)).astype(np.float32))
    target = torch.from_numpy((rng.random((2, 8, 8, 8)) < share).astype(np.int64))
    truth = target[:, None].float()
    ours = float(db_enhance(logits, truth, torch.ones_like(truth)))
    assert ours == pytest.approx(float(its_loss(logits, target)), rel=1e-4)
    assert -1e-4 <= ours <= worst(logits, truth, torch.ones_like(truth))


@pytest.mark.parametrize("loss", [bce_dice, db_enhance, soft_cldice])
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_each_loss_stays_in_its_range(loss, scale):
    rng = np.random.default_rng(4)
    logit = torch.from_numpy(rng.normal(0, scale, (1, 1, 8, 8, 8)).astype(np.float32))
    target = (torch.from_numpy(rng.random(logit.shape)) < 0.3).float()
    weight = (torch.from_numpy(rng.random(logit.shape)) < 0.8).float()
    assert 0 <= float(loss(logit, target, weight)) <= worst(logit, target, weight)


def test_a_loss_outside_its_range_stops_the_run(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "bce_dice", lambda logit, *_, **__: logit.sum() * 0 - 2e10)
    with pytest.raises(RunError, match=r"in its range, 0 to [\d.]+\n.*-2e\+?10|-20000000000") as e:
        neuroglow.train(pool, out=tmp_path / "run", **TINY)
    assert e.value.exit_status == 1
    assert not (tmp_path / "run/log.jsonl").read_text()


def test_labels_without_background_are_refused(pool, tmp_path):
    with pytest.raises(InputError, match="background as well as neurites") as error:
        neuroglow.train(pool, out=tmp_path / "run", **TINY, label_map="0=ignore,1=neurite")
    assert "--label-map 0=background,1=neurite" in error.value.cure


def test_average_precision_without_background_is_none():
    label = np.full((4, 4, 4), NEURITE, np.uint8)
    score = count("a", np.full(label.shape, 0.3, np.float32), label)
    assert np.isnan(score.average_precision)


@pytest.mark.parametrize("score", [float("nan"), 1.5, -0.1])
def test_a_score_outside_its_range_stops_the_run(pool, tmp_path, monkeypatch, score):
    row = {"average_precision": score, "dice": 0.5, "recall": 0.5, "threshold": 0.5, "loss": 2.0}
    monkeypatch.setattr(Validation, "row", lambda _: row)
    with pytest.raises(RunError, match="average_precision"):
        neuroglow.train(pool, out=tmp_path / "run", **TINY | {"steps": 2})
    assert not (tmp_path / "run/checkpoints/best").exists()


def test_a_cube_in_which_nothing_counts_enters_no_mean_loss():
    label = np.full((4, 4, 4), IGNORE, np.uint8)
    ignored = count("ignored", np.full(label.shape, 0.3, np.float32), label)
    label[0], label[1] = NEURITE, BACKGROUND
    some = count("some", np.full(label.shape, 0.3, np.float32), label)
    assert np.isnan(ignored.loss)
    assert Validation((ignored, some)).row()["loss"] == some.loss


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"momentum": 0.5}, "momentum belong to the optimiser sgd"),
        ({"halve_every": 100, "decay_factor": 0.1}, "decay_factor, halve_every belong"),
        ({"normalisation": "db_enhance", "augment": "full"}, "need noise units"),
        ({"patience": 3, "val_fraction": 0}, "no validation cube"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(pool, tmp_path, settings, said):
    with pytest.raises(SettingsError, match=said):
        neuroglow.train(pool, out=tmp_path / "run", **TINY | settings)


# the recipe


def test_its_settings_are_those_of_its_configuration():
    chosen = TrainSettings.of({"recipe": "db-enhance"})
    assert (chosen.patch, chosen.batch, chosen.network) == (120, 3, "voxresnet")
    assert chosen.input.model_dump() == facts.INPUT.model_dump()
    assert (chosen.clip, chosen.ema, chosen.precision) == (None, 0, "float32")
    assert chosen.steps * 3 == 100 * 15_000
    assert chosen.checkpoint_every * 3 == 15_000
    assert chosen.keep == "all"
    [group] = a_learner().optimiser.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 0.0003)


def test_what_is_given_besides_the_recipe_changes_it():
    chosen = TrainSettings.of({"recipe": "db-enhance", "steps": 7, "clip": 2.0})
    assert (chosen.steps, chosen.clip, chosen.momentum) == (7, 2.0, 0.9)
    further = TrainSettings.of({"recipe": "db-enhance", "from_model": "light-microscopy"})
    assert (further.optimiser, further.init) == ("sgd", "default")
    with pytest.raises(SettingsError, match="clip"):
        TrainSettings.of({"clip": "never"})


@torch.no_grad()
def test_its_first_weights_are_drawn_as_its_own():
    plain, its = (new_network("voxresnet", {}, 1, init) for init in ("default", "kaiming"))
    for (name, module), other in zip(its.named_modules(), plain.modules(), strict=True):
        if isinstance(module, nn.Conv3d) and module.weight.numel() > 1000:
            fan_in = module.weight[0].numel()
            width = float(module.weight.std()) * fan_in**0.5
            assert width == pytest.approx(2**0.5, rel=0.05), name
            assert float(other.weight.std()) * 6**0.5 == pytest.approx(
                float(module.weight.std()), rel=0.08
            )
    assert float(its.deconv2.weight.std()) == pytest.approx(
        float(plain.deconv2.weight.std()), rel=0.1
    )


def test_two_steps_are_those_of_plain_pytorch():
    learner = a_learner()
    network = copy.deepcopy(learner.network).train()
    plain = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0003)
    for seed in (0, 1):
        batch = a_batch(seed)
        loss = its_loss(network(batch.x), batch.target[:, 0].long())
        plain.zero_grad()
        loss.backward()
        plain.step()
        assert learner.learn(batch).loss == pytest.approx(float(loss.detach()), rel=1e-4)
    for own, other in zip(learner.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
    for own, kept in zip(learner.network.parameters(), learner.averaged.parameters(), strict=True):
        assert torch.equal(own, kept)


def test_clipping_changes_such_a_step():
    clipped, free = a_learner(clip=1e-3), a_learner()
    before = free.network.conv1.weight.detach().clone()
    for learner in (clipped, free):
        learner.learn(a_batch())
    small, large = (
        float((one.network.conv1.weight.detach() - before).abs().max()) for one in (clipped, free)
    )
    assert small < large / 10


def test_its_learning_rate_is_that_of_steplr():
    chosen = TrainSettings.of({"recipe": "db-enhance"})
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=1, gamma=0.5)
    for epoch in range(4):
        for step in (5000 * epoch + 1, 5000 * epoch + 5000):
            assert learning_rate(step, chosen) == pytest.approx(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()


def test_it_accepts_no_poor_patch(tmp_path, monkeypatch):
    label = np.zeros((32, 32, 32), np.uint8)
    label[0, 0, :2] = 1
    write_cube(tmp_path, 0, label=label)
    sampler = Sampler(pooled(tmp_path), 24, "db_enhance")
    monkeypatch.setattr(sampling, "TRIES", 50)
    with pytest.raises(InputError, match=r"at most \d+ in 50 places of 24\^3 voxels, 8 needed"):
        sampler.draw(np.random.default_rng(1))


def test_it_turns_into_26_orientations_and_12_where_no_size_is_known():
    cube = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    rng = np.random.default_rng(1)
    for turns, orientations in (("all", 26), ("equal", 12), ("none", 4)):
        planes = turning_planes(None, turns)
        seen = {move(rng, cube, cube, planes)[1].tobytes() for _ in range(2000)}
        assert len(seen) == orientations


def test_its_six_changes_have_its_amplitudes():
    """On a patch of grey level 668.5, which the network reads as 1: what comes back says all."""
    rng = np.random.default_rng(5)
    grey, label = facts.INPUT.normalise(np.full((6, 6, 6), 668.5)), np.zeros((6, 6, 6), np.uint8)
    drawn = [
        augment(rng, grey, label, how="db_enhance", voxel_size_um=None, in_noise_units=False)[0]
        for _ in range(3000)
    ]
    means, noises = (np.array([f(x) for x in drawn]) * 500 for f in (np.mean, np.std))
    noise_free = np.array([np.ptp(x) == 0 for x in drawn])
    assert noise_free.mean() == pytest.approx(1 / 4, abs=0.03)  # two chances in two of noise
    assert 8 * 1.5 < noises.max() < 1.5 * (10**2 + 10**2) ** 0.5 * 1.2
    plain = means[noise_free]
    assert (np.abs(plain - 500) < 1e-3).mean() == pytest.approx(
        1 / 4, abs=0.06
    )  # neither brightness nor offset
    assert 250 - 100 <= plain.min() < 300
    assert 700 < plain.max() <= 750 + 100


def test_the_turns_are_said_with_their_reason():
    chosen = TrainSettings.of({})
    said = tell_turns([None, None, (1, 1, 1), (2, 1, 1)], chosen)
    assert "only in the plane yx: the voxel size is not known; give it with --voxel-size" in said
    assert "(2 of 4 cubes)" in said
    assert "in all three planes: voxels of 1 x 1 x 1 um (1 of 4 cubes)" in said
    assert "only in the plane yx: voxels of 2 x 1 x 1 um (1 of 4 cubes)" in said
    assert "as requested" in tell_turns([None], TrainSettings.of(SMALL))


def test_a_voxel_size_given_reaches_turns_and_model(pool, tmp_path, caplog):
    short = TINY | {"steps": 1, "checkpoint_every": 1}
    sized = neuroglow.train(pool, out=tmp_path / "sized", **short, voxel_size=(0.5, 0.5, 0.5))
    assert "in all three planes" in sized.turns
    assert load_model(sized.best).settings.voxel_size_um == (0.5, 0.5)
    assert "the voxel size is not known" not in caplog.text
    with pytest.raises(SettingsError, match="larger than 0"):
        neuroglow.train(pool, out=tmp_path / "wrong", voxel_size=(0, 1, 1))


def test_an_unknown_voxel_size_is_said_at_the_start(pool, tmp_path, caplog):
    with pytest.raises(ZeroDivisionError):
        neuroglow.train(pool, out=tmp_path / "run", **TINY, on_progress=_stop_at_a_step)
    assert "the voxel size is not known" in caplog.text


def _stop_at_a_step(progress):
    if progress.work == "training":
        raise ZeroDivisionError


# what a run of it leaves


def test_all_checkpoints_are_kept(its_run):
    kept = sorted(p.name for p in (its_run.run / "checkpoints").glob("step-*"))
    assert kept == ["step-000001", "step-000002"]
    assert load_model(its_run.run / "checkpoints" / kept[0]).settings.training["step"] == 1


def test_the_log_has_dice_and_recall_of_training_and_validation(its_run):
    rows = [json.loads(line) for line in (its_run.run / "log.jsonl").read_text().splitlines()]
    for row in rows:
        scores = row.get("validation", row)
        assert 0 <= scores["dice"] <= 1
        assert 0 <= scores["recall"] <= 1


def test_dice_and_recall_of_a_step_are_its_confusion_scores():
    learner, batch = a_learner(), a_batch()
    batch = Batch(batch.x, batch.target, (batch.x < 1).float(), ())
    with torch.no_grad():
        detected = copy.deepcopy(learner.network)(batch.x).argmax(1)
    step = learner.learn(batch)
    known = batch.weight[:, 0].bool()
    expected = confusion_scores(detected[known] == 1, batch.target[:, 0][known] == 1)
    assert step.dice == pytest.approx(expected["dice"])
    assert step.recall == pytest.approx(expected["recall"])


def test_tensorboard_shows_patches_and_cubes(pool, tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = TINY | {"steps": 10, "checkpoint_every": 10, "tensorboard": True}
    report = neuroglow.train(pool, out=tmp_path / "run", **settings)
    events = EventAccumulator(str(report.run / "tensorboard")).Reload()
    assert len(events.Tags()["images"]) == 2
    [patch] = events.Images("training patch")
    assert (patch.step, patch.width > 3 * 16) == (10, True)
