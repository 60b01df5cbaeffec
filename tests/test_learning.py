"""What a training step is made of: losses, labels, places, augmentation, rates."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from neuroglow.cubes.manifest import Cube, read_manifest
from neuroglow.cubes.splits import split_cubes
from neuroglow.errors import InputError, SettingsError
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.labels.labels import IGNORE, NEURITE, parse_label_map
from neuroglow.metrics import average_precision, confusion_scores
from neuroglow.network.build import build_network
from neuroglow.network.inference import choose_precision
from neuroglow.network.model_settings import FixedInput, ModelSettings, NoiseUnitsInput
from neuroglow.space.geometry import Box
from neuroglow.train.augment import (
    augment,
    degrade,
    move,
    shake,
    through_files,
    turning_planes,
    view,
)
from neuroglow.train.batches import BatchMaker
from neuroglow.train.learner import Learner
from neuroglow.train.losses import bce_dice, db_enhance, soft_cldice, soft_skeleton
from neuroglow.train.optimise import average_into, learning_rate, make_optimiser
from neuroglow.train.pool import build_pool, hash_cubes
from neuroglow.train.sampling import Sampler, enough_labelled
from neuroglow.train.settings import TrainSettings
from neuroglow.train.together import Group
from neuroglow.train.validation import Validation, count
from training_sets import TINY, draw_cube, write_cube, write_pool

SHAPE = (2, 1, 12, 12, 12)


@pytest.fixture
def reference(shared):
    with np.load(shared / "reference/loss.npz") as arrays:
        return dict(arrays)


def voxels(seed=0):
    rng = np.random.default_rng(seed)
    logit = torch.from_numpy(rng.normal(0, 2, SHAPE).astype(np.float32))
    target = torch.from_numpy((rng.random(SHAPE) < 0.2).astype(np.float32))
    weight = torch.from_numpy((rng.random(SHAPE) < 0.7).astype(np.float32))
    return logit, target, weight


def pooled(folder, cubes=None, **settings):
    cubes = split_cubes(cubes or read_manifest(folder), 0, 1)
    return build_pool(
        cubes,
        folder / "cache",
        TrainSettings.of(settings),
        settings.get("input", NoiseUnitsInput()),
        made_of=hash_cubes(cubes),
        tell=lambda done, total: None,
    )


# losses


@pytest.mark.parametrize(
    ("balanced", "name"), [(True, "loss_weighted"), (False, "loss_unweighted")]
)
def test_db_enhances_loss_is_the_reference(reference, balanced, name):
    logit = torch.from_numpy(reference["logits"])
    target = torch.from_numpy(reference["target"])[:, None].float()
    loss = db_enhance(logit, target, torch.ones_like(target), balanced=balanced)
    assert float(loss) == pytest.approx(float(reference[name]), abs=1e-6)


def test_db_enhances_confusion_scores_are_the_reference(reference):
    detected = reference["logits"].argmax(1)
    scores = confusion_scores(detected == 1, reference["target"] == 1)
    assert set(scores) == {"dice", "recall", "precision", "iou", "acc"}
    for name, value in scores.items():
        assert value == pytest.approx(float(reference[name]), abs=1e-9), name


def test_one_logit_stands_for_two_classes():
    logit, target, weight = voxels()
    two = torch.cat([torch.full_like(logit, 0.3), logit + 0.3], 1)
    assert float(db_enhance(logit, target, weight)) == pytest.approx(
        float(db_enhance(two, target, weight)), abs=1e-6
    )


@pytest.mark.parametrize("loss", [bce_dice, db_enhance, soft_cldice])
def test_ignored_voxels_enter_no_loss(loss):
    logit, target, weight = voxels()
    logit.requires_grad_()
    value = loss(logit, target, weight)
    value.backward()
    ignored = weight == 0
    assert float(logit.grad[ignored].abs().max()) == 0
    assert float(logit.grad[~ignored].abs().max()) > 0
    for other in (1 - target, target.new_ones(SHAPE)):
        changed = torch.where(ignored, other, target)
        assert torch.equal(loss(logit, changed, weight), value)


@pytest.mark.parametrize("loss", [bce_dice, db_enhance, soft_cldice])
def test_the_loss_of_the_truth_is_least(loss):
    _, target, weight = voxels()
    right = (target * 2 - 1) * 30
    assert float(loss(right, target, weight)) < 0.02
    assert float(loss(-right, target, weight)) > 0.9


def test_a_soft_skeleton_of_a_bar_is_its_middle():
    bar = torch.zeros(1, 1, 9, 9, 15)
    bar[..., 3:6, 3:6, 2:13] = 1
    skeleton = soft_skeleton(bar, 3)[0, 0]
    assert float(skeleton[4, 4, 3:12].min()) == 1
    assert float(skeleton.sum()) <= 11


def test_cldice_sees_a_gap_that_dice_hardly_sees():
    whole = torch.zeros(SHAPE)
    whole[..., 5:8, 5:8, :] = 1
    weight = torch.ones(SHAPE)
    gap, thin = whole.clone(), whole.clone()
    gap[..., 4:7] = 0
    thin[..., 5, 5, ::2] = 0
    assert float(soft_cldice(gap * 20 - 10, whole, weight)) > float(
        soft_cldice(thin * 20 - 10, whole, weight)
    )


# labels


@pytest.mark.parametrize(
    ("text", "legend"),
    [
        ("", {}),
        ("1=background,2=neurite,4=ignore,0=ignore", {1: 0, 2: 1, 4: 2, 0: 2}),
        (" 255 = neurite , 0=background", {255: 1, 0: 0}),
        ("-1=ignore,1=neurite", {-1: 2, 1: 1}),
    ],
)
def test_a_legend_is_read(text, legend):
    assert parse_label_map(text) == legend


@pytest.mark.parametrize(
    "text", ["1=axon", "neurite", "1=neurite,1=ignore", "1=background", "--1=neurite"]
)
def test_a_wrong_legend_is_named(text):
    with pytest.raises(SettingsError, match=r"legend is VALUE=MEANING[\s\S]*--label-map"):
        parse_label_map(text)


def test_labels_of_all_kinds_become_three_values(tmp_path):
    mask = draw_cube(0)[1]
    sparse = np.zeros_like(mask)
    sparse[16] = 1 + mask[16]
    write_cube(tmp_path / "mask", 0, label=mask * 255)
    write_cube(tmp_path / "sparse", 0, label=sparse)
    (of_mask,) = pooled(tmp_path / "mask")
    (of_sparse,) = pooled(tmp_path / "sparse", label_map="0=ignore,1=background,2=neurite")
    assert np.array_equal(of_mask.label(), mask)
    assert of_mask.neurite_voxels == mask.sum()
    assert np.array_equal(of_sparse.label()[16], mask[16])
    assert (np.delete(of_sparse.label(), 16, 0) == IGNORE).all()


def test_a_cubes_own_legend_wins(tmp_path):
    mask = draw_cube(0)[1]
    write_cube(tmp_path, 0, label=np.where(mask, 7, 3).astype(np.uint8))
    cubes = [
        Cube(
            "c0",
            tmp_path / "image/c0.tif",
            tmp_path / "label/c0.tif",
            other={"label_map": "7=neurite,3=background"},
        )
    ]
    (cube,) = pooled(tmp_path, cubes, label_map="1=neurite")
    assert np.array_equal(cube.label(), mask)


NAMED = {"label_map": "the column label_map", "box": "column box of cube 'c0'"}


@pytest.mark.parametrize(
    ("column", "value"), [("label_map", "7=axon"), ("label_map", "7=neurite"), ("box", ":,:,:99")]
)
def test_what_is_wrong_in_a_manifest_names_column_and_cube(tmp_path, column, value):
    write_cube(tmp_path, 0)
    (cube,) = read_manifest(tmp_path)
    wrong = {"box": value} if column == "box" else {"other": {column: value}}
    with pytest.raises((SettingsError, InputError), match=NAMED[column]):
        pooled(tmp_path, [replace(cube, **wrong)])


def test_a_value_that_no_legend_names_is_named(tmp_path):
    write_cube(tmp_path, 0)
    with pytest.raises(
        InputError, match=r"found: 0 \([\d,]+ voxels\)[\s\S]*c0\.tif[\s\S]*0=background"
    ):
        pooled(tmp_path, label_map="1=neurite")


def test_labels_that_look_as_if_they_had_a_legend_are_doubted(tmp_path, caplog):
    label = draw_cube(0)[1]
    write_cube(tmp_path, 0, label=255 * label)
    pooled(tmp_path)
    assert not caplog.messages
    label[2:4, 5, 6] = 2
    write_cube(tmp_path, 1, label=label)
    pooled(tmp_path)
    assert "label of c1: values 1, 2 and no --label-map: all are taken as neurite" in caplog.text
    caplog.clear()
    pooled(tmp_path, label_map="0=background,1=neurite,2=ignore,255=neurite")
    assert not caplog.messages


def test_a_label_that_is_no_number_is_named(tmp_path):
    label = draw_cube(0)[1].astype(np.float32)
    label[3, 4, 5] = np.nan
    write_cube(tmp_path, 0, label=label)
    for legend in ("", "0=background,1=neurite"):
        with pytest.raises(InputError, match=r"a label are numbers[\s\S]*c0\.tif"):
            pooled(tmp_path, label_map=legend)


def test_a_pool_that_was_half_made_anew_is_not_taken_for_the_old_one(tmp_path):
    write_cube(tmp_path, 0)
    write_cube(tmp_path, 1)
    pooled(tmp_path)
    write_cube(tmp_path, 1, label=np.ones((8, 8, 8), np.uint8))
    with pytest.raises(InputError):  # c0 has become another by then
        pooled(tmp_path, label_map="0=neurite,1=ignore")
    write_cube(tmp_path, 1)
    cube, _ = pooled(tmp_path)
    assert np.array_equal(cube.label(), draw_cube(0)[1])


def test_a_label_of_another_shape_is_named(tmp_path):
    write_cube(tmp_path, 0, label=np.ones((8, 8, 8), np.uint8))
    with pytest.raises(
        InputError, match=r"found: \(8, 8, 8\), but \(32, 32, 32\) in [\s\S]*c0\.tif"
    ):
        pooled(tmp_path)


@pytest.mark.parametrize("size_um", [None, (2.0, 1.0, 1.0)])
def test_a_tree_is_drawn_in_micrometres_or_in_voxels(tmp_path, size_um):
    pytest.importorskip("neuroglow.trees.rasterise", reason="drawing trees is not merged yet")
    (tmp_path / "image").mkdir()
    (tmp_path / "label").mkdir()
    known = {"metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"}, "resolution": (1.0, 1.0)}
    options = {} if size_um is None else {"imagej": True, **known}
    tifffile.imwrite(tmp_path / "image/a.tif", draw_cube(0)[0], **options)
    deep = 12 * (size_um or (1.0, 1.0, 1.0))[0]
    lines = [f"{i + 1} 2 {i} 9 {deep} 2 {i or -1}" for i in range(32)]
    (tmp_path / "label/a.swc").write_text("\n".join(lines))
    cubes = [Cube("a", tmp_path / "image/a.tif", tmp_path / "label/a.swc", box="8:20,0:32,4:28")]
    (cube,) = pooled(tmp_path, cubes, swc_margin_vox=2.0)
    assert cube.voxel_size_um == size_um
    label = np.asarray(cube.label())
    assert label.shape == (12, 32, 24)
    assert (label[4, 9] == NEURITE).all()
    across = label[4, :, 12]
    assert 3 <= (across == NEURITE).sum() <= 5
    assert (across[[9 - 4, 9 + 4]] == IGNORE).all()
    assert (across[20:] == 0).all()
    along_z = (label[:, 9, 12] == NEURITE).sum()
    assert along_z in ((3, 4, 5) if size_um is None else (1, 2, 3))


# the pool


def test_the_pool_holds_noise_units_and_is_made_once(tmp_path):
    write_pool(tmp_path, 2, size=40)
    first, second = pooled(tmp_path)
    expected = to_noise_units(draw_cube(0, 40)[0])
    np.testing.assert_allclose(first.image(), expected, atol=2e-3)
    before = (tmp_path / "cache/00000-image.npy").stat().st_mtime_ns
    assert pooled(tmp_path) == [first, second]
    assert (tmp_path / "cache/00000-image.npy").stat().st_mtime_ns == before
    (tmp_path / "cache/00001-label.npy").unlink()
    assert np.array_equal(pooled(tmp_path)[1].label(), draw_cube(1, 40)[1])
    write_cube(tmp_path, 1, size=40, label=np.ones((40, 40, 40), np.uint8))
    assert pooled(tmp_path)[1].neurite_voxels == 40**3


def test_a_box_of_a_volume_is_a_cube_of_it(tmp_path):
    write_cube(tmp_path, 0)
    files = tmp_path / "image/c0.tif", tmp_path / "label/c0.tif"
    (cube,) = pooled(tmp_path, [Cube("part", *files, box="4:20,0:32,8:16")])
    whole = to_noise_units(draw_cube(0)[0])[4:20, :, 8:16]
    np.testing.assert_allclose(cube.image(), whole, atol=2e-3)
    assert np.array_equal(cube.label(), draw_cube(0)[1][4:20, :, 8:16])


def test_a_cube_smaller_than_the_patch_is_mirrored(tmp_path):
    image, label = draw_cube(0)
    write_cube(tmp_path, 0, image=image[:10], label=label[:10])
    (cube,) = pooled(tmp_path)
    x, y = cube.read(Box.of((16, 16, 16)))
    assert x.shape == y.shape == (16, 16, 16)
    assert np.array_equal(x[10:], x[3:9][::-1])


def test_the_fixed_input_is_db_enhances(tmp_path):
    write_cube(tmp_path, 0)
    fixed = FixedInput(low=0, high=1500, mean=168.5, std=500)
    (cube,) = build_pool(
        split_cubes(read_manifest(tmp_path), 0, 1),
        tmp_path / "cache",
        TrainSettings(),
        fixed,
        made_of="a",
        tell=lambda done, total: None,
    )
    expected = (np.clip(draw_cube(0)[0].astype(float), 0, 1500) - 168.5) / 500
    np.testing.assert_allclose(cube.image(), expected, atol=1e-3)


# splits


def test_train_and_validation_share_no_cube(tmp_path):
    cubes = [Cube(str(i), tmp_path, tmp_path, "test" if i == 3 else "") for i in range(11)]
    split = split_cubes([*cubes, Cube("bare", tmp_path)], 0.3, 5)
    assert [c.name for c in split] == [c.name for c in cubes if c.split != "test"]
    assert sum(c.split == "val" for c in split) == 3
    assert split == split_cubes([*cubes, Cube("bare", tmp_path)], 0.3, 5)
    assert split != split_cubes(cubes, 0.3, 6)


def test_a_split_in_the_manifest_is_kept(tmp_path):
    cubes = [Cube(n, tmp_path, tmp_path, s) for n, s in (("a", ""), ("b", "val"), ("c", "train"))]
    assert [c.split for c in split_cubes(cubes, 0.5, 1)] == ["train", "val", "train"]


def test_one_cube_alone_cannot_be_split(tmp_path):
    with pytest.raises(InputError, match=r"a single labelled cube, 'a'[\s\S]*--val-fraction 0"):
        split_cubes([Cube("a", tmp_path, tmp_path)], 0.2, 1)
    assert [c.split for c in split_cubes([Cube("a", tmp_path, tmp_path)], 0, 1)] == ["train"]


def test_nothing_to_train_on_is_named(tmp_path):
    with pytest.raises(InputError, match="2 cubes, none of them both labelled"):
        split_cubes([Cube("a", tmp_path), Cube("b", tmp_path, tmp_path, "test")], 0.2, 1)


# places


def test_a_patch_has_enough_labelled_voxels_by_db_enhances_rule(tmp_path):
    assert enough_labelled(120) == 1000
    assert enough_labelled(60) == 125
    label = np.zeros((40, 40, 40), np.uint8)
    label[2:6, 2:6, 2:6] = 1
    write_cube(tmp_path, 0, size=40, label=label)
    cubes = pooled(tmp_path)
    sampler = Sampler(cubes, 24, "db_enhance")
    rng = np.random.default_rng(1)
    for _ in range(30):
        place = sampler.draw(rng)
        _, patch = cubes[0].read(Box.of((24,) * 3).shift(place.start))
        assert (patch == NEURITE).sum() >= enough_labelled(24)


def test_each_rule_draws_inside_and_as_it_says(tmp_path):
    write_pool(tmp_path, 2)
    label = np.zeros((32, 32, 32), np.uint8)
    write_cube(tmp_path, 2, label=label)
    cubes = pooled(tmp_path)
    shares = {}
    for rule in ("foreground", "uniform", "hard", "db_enhance"):
        rng = np.random.default_rng(2)
        places = [Sampler(cubes, 8, rule).draw(rng, ((0, 3, 3, 3),)) for _ in range(200)]
        assert all(0 <= a <= 24 for p in places for a in p.start)
        read = [cubes[p.cube].read(Box.of((8,) * 3).shift(p.start))[1] for p in places]
        shares[rule] = np.mean([(patch == NEURITE).any() for patch in read])
        near = sum(p.cube == 0 and max(abs(a - 3) for a in p.start) <= 2 for p in places)
        assert (near > 80) == (rule == "hard")
    assert shares["foreground"] > shares["uniform"] + 0.3
    assert shares["db_enhance"] == 1


def test_a_training_set_without_neurites_is_named(tmp_path):
    write_cube(tmp_path, 0, label=np.zeros((32, 32, 32), np.uint8))
    with pytest.raises(InputError, match=r"no neurite voxel in any training cube[\s\S]*c0"):
        Sampler(pooled(tmp_path), 16, "foreground")


# augmentation


def test_quarter_turns_respect_anisotropy():
    assert turning_planes((1.0, 1.0, 1.0)) == [(0, 1), (0, 2), (1, 2)]
    assert turning_planes((1.0, 0.3, 0.3)) == [(1, 2)]
    assert turning_planes((1.0, 0.5, 1.0)) == [(0, 2)]
    assert turning_planes((1.0, 0.5, 0.2)) == []
    assert turning_planes(None) == [(1, 2)]


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_geometry_moves_image_and_label_alike(size):
    label = np.arange(6**3, dtype=np.uint8).reshape(6, 6, 6)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, moved = move(rng, label.astype(np.float32), label, turning_planes(size))
        assert np.array_equal(x, moved)
        assert np.array_equal(np.sort(moved, axis=None), np.sort(label, axis=None))
        if size[0] != size[1]:  # planes stay planes
            assert {frozenset(p.ravel()) for p in moved} == {frozenset(p.ravel()) for p in label}


@pytest.mark.parametrize("how", ["full", "field", "microscope", "db_enhance", "none"])
def test_augmentation_follows_from_its_generator(how):
    rng = np.random.default_rng(0)
    x = np.arcsinh(rng.normal(0, 1, (16, 16, 16)).astype(np.float32))
    label = (x > 1).astype(np.uint8)
    kept = x.copy()
    changed = 0
    for seed in range(12):
        first, second = (
            augment(
                np.random.default_rng(seed),
                x,
                label,
                how=how,
                voxel_size_um=(1.0, 1.0, 1.0),
                in_noise_units=True,
            )
            for _ in range(2)
        )
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])
        assert first[0].dtype == np.float32
        assert np.isfinite(first[0]).all()
        changed += not np.array_equal(first[0], x)
    assert np.array_equal(x, kept)
    assert (changed > 8) == (how != "none")


def test_the_six_and_the_optics_change_intensities_alone():
    flat = np.full((16, 16, 16), 3.0, np.float32)
    shaken = [shake(np.random.default_rng(seed), flat, (1.0, 0.5)) for seed in range(60)]
    means = np.array([s.mean() for s in shaken])
    assert 0.9 < means.min() < 2
    assert 4 < means.max() < 5.1
    assert max(s.std() for s in shaken) < 2.2
    looked = [view(np.random.default_rng(seed), flat, (2.0, 1.0, 1.0)) for seed in range(30)]
    assert all(v.shape == flat.shape and np.isfinite(v).all() for v in looked)
    assert len({float(v.mean()) for v in looked}) > 10


def test_what_a_microscope_adds_keeps_noise_and_loses_light():
    noise = np.random.default_rng(0).standard_normal((32, 32, 32), np.float32)
    bright = noise + 40 * (np.arange(32) == 16).astype(np.float32)  # a sheet at x = 16
    seen = [degrade(np.random.default_rng(seed), bright, (2.0, 1.0, 1.0)) for seed in range(80)]
    assert all(s.dtype == np.float32 and np.isfinite(s).all() for s in seen)
    spreads = np.array([s[..., :8].std() for s in seen])
    assert spreads.min() > 0.8  # of the background: a dim tile's
    assert spreads.max() < 1.8
    light = np.array([s[..., 16].mean() for s in seen])
    assert light.min() < 30  # bleached
    fading = np.array([abs(s[:4, :, 16].mean() - s[-4:, :, 16].mean()) for s in seen])
    assert 0.05 < (fading > 5).mean() < 0.4
    steps = np.array([np.ptp(s[..., :8].mean((0, 2))) for s in seen])
    assert (steps > 0.6).any()  # between stitched tiles


def test_nobody_is_asked_for_a_neurite_that_a_file_has_lost():
    signal = np.random.default_rng(0).standard_normal((24, 32, 32), np.float32)
    label = np.ones(signal.shape, np.uint8)  # all of it neurite, and most of it will be zero
    lost = 0
    for seed in range(12):
        x, left = through_files(np.random.default_rng(seed), signal, label)
        assert x.shape == signal.shape
        assert set(np.unique(left)) <= {NEURITE, IGNORE}
        lost += bool((left == IGNORE).any())
    assert 0 < lost < 12
    assert (label == NEURITE).all()


def test_full_draws_what_it_drew_when_models_were_trained():
    rng = np.random.default_rng(0)
    x = np.arcsinh(rng.normal(0, 1, (16, 16, 16)).astype(np.float32))
    total = 0.0
    for seed in range(6):
        patch, _ = augment(
            np.random.default_rng(seed),
            x,
            (x > 1).astype(np.uint8),
            how="full",
            voxel_size_um=(2.0, 1.0, 1.0),
            in_noise_units=True,
        )
        total += float(np.abs(patch).sum(dtype=np.float64))
    assert total == pytest.approx(19225.2924, rel=1e-5)


# precision


@pytest.mark.parametrize(("name", "stride"), [("glow", 8), ("voxresnet", 8)])
def test_patches_too_small_for_bfloat16_are_trained_in_float32(name, stride):
    network = build_network(name, {})
    known = ModelSettings(
        name="a", network=name, normalisation=NoiseUnitsInput(), halo=0, threshold=0.5
    )

    def learner(patch, precision="auto"):
        settings = TrainSettings(patch=patch, precision=precision, device="cpu")
        return Learner(network, known, settings, Group())

    usual = choose_precision("auto", torch.device("cpu"))
    assert learner(2 * stride).dtype == torch.float32
    assert learner(3 * stride).dtype == usual
    with pytest.raises(SettingsError, match=r"three strides[\s\S]*--precision float32"):
        learner(2 * stride, "bfloat16")
    with pytest.raises(SettingsError, match=r"at least twice it[\s\S]*--patch 16"):
        learner(stride)


# batches, rates, averages


def test_a_patch_follows_from_seed_step_and_number(tmp_path):
    write_pool(tmp_path, 2)
    settings = TrainSettings.of(TINY)
    sampler = Sampler(pooled(tmp_path), 16, "foreground")
    whole = list(BatchMaker(sampler, settings, in_noise_units=True).batches(1, 5))
    later = list(BatchMaker(sampler, settings, in_noise_units=True).batches(4, 5))
    for a, b in zip(whole[3:], later, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.target, b.target)
        assert a.places == b.places
    second = next(BatchMaker(sampler, settings, in_noise_units=True, first=1).batches(1, 1))
    assert torch.equal(second.x[0], whole[0].x[1])
    assert not torch.equal(whole[0].x, whole[1].x)


def test_one_cycle_is_torchs():
    settings = TrainSettings(steps=50)
    optimiser = make_optimiser([torch.nn.Parameter(torch.zeros(1))], settings)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.peak_rate, 50, pct_start=0.1, cycle_momentum=False
    )
    rates = []
    for _ in range(50):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(rates) < 50:
            schedule.step()
    np.testing.assert_allclose(
        [learning_rate(s + 1, settings) for s in range(50)], rates, rtol=1e-6
    )


def test_sgd_halves_each_fifteen_thousand_patches():
    settings = TrainSettings(optimiser="sgd", batch=3, steps=20_000)
    assert learning_rate(1, settings) == learning_rate(5000, settings) == 0.01
    assert learning_rate(5001, settings) == 0.005
    assert learning_rate(2501, settings, processes=2) == 0.005
    optimiser = make_optimiser([torch.nn.Parameter(torch.zeros(1))], settings)
    assert optimiser.defaults["momentum"] == 0.9
    assert optimiser.defaults["weight_decay"] == 3e-4


def test_averaged_weights_follow_slowly_and_begin_fast():
    network, averaged = torch.nn.BatchNorm3d(1), torch.nn.BatchNorm3d(1)
    averaged.requires_grad_(requires_grad=False)
    network.weight.data.fill_(2.0)
    network.num_batches_tracked.fill_(7)
    average_into(averaged, network, 0.995, step=1)
    assert float(averaged.weight) == pytest.approx(1 + 9 / 11)
    assert int(averaged.num_batches_tracked) == 7
    averaged.weight.data.fill_(1.0)
    average_into(averaged, network, 0.995, step=10**6)
    assert float(averaged.weight) == pytest.approx(1.005)


# validation


def test_counted_scores_are_those_of_the_voxels():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, (20, 20, 20)).astype(np.uint8)
    score = np.clip(rng.random(label.shape) * 0.6 + 0.3 * (label == NEURITE), 0, 1)
    score = (np.rint(score * 1000) / 1000).astype(np.float32)
    counted = count("a", score, label)
    known = label != IGNORE
    truth = label[known] == NEURITE
    assert counted.average_precision == pytest.approx(average_precision(score[known], truth))
    for threshold in (0.25, 0.5, 0.75):
        expected = confusion_scores(np.rint(score[known] * 1000) >= threshold * 1000, truth)["dice"]
        assert counted.dice(threshold) == pytest.approx(expected)
    best = counted.best_threshold()
    assert all(counted.dice(best) >= counted.dice(t / 20) for t in range(21))
    other = np.where(known, score, 1 - score)
    assert count("a", other, label).loss == counted.loss


def test_a_cube_without_neurites_enters_no_mean():
    score = np.full((4, 4, 4), 0.3, np.float32)
    label = np.zeros((4, 4, 4), np.uint8)
    empty = count("empty", score, label)
    label[0] = 1
    some = count("some", np.where(label, 0.9, 0.1).astype(np.float32), label)
    row = Validation((empty, some)).row()
    assert np.isnan(empty.average_precision)
    assert row["average_precision"] == row["dice"] == 1
    assert Validation((empty, some)).extremes() == [("the only cube", "some")]


def test_unknown_and_contradicting_settings_are_named():
    with pytest.raises(SettingsError, match=r"unknown setting 'step'[\s\S]*steps"):
        TrainSettings.of({"step": 3})
    with pytest.raises(SettingsError, match="--from together with network"):
        TrainSettings.of({"from_model": "light-microscopy", "network": "glow"})
    with pytest.raises(SettingsError, match="without a model to start from"):
        TrainSettings.of({"freeze_encoder": True})
    with pytest.raises(SettingsError, match="belong to the network glow"):
        TrainSettings.of({"network": "voxresnet", "widths": (4, 8)})
