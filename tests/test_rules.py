"""Rules: DB-Enhance's selection exactly; no rule depends on the order of cubes."""

import numpy as np
import pytest

from neuroglow.errors import SettingsError
from neuroglow.selection.rules import RULES, ChosenCube, Table, dhpr, diverse, interleave, order_by


def table(count=40, seed=0, **others):
    rng = np.random.default_rng(seed)
    density, noise, low_snr = rng.uniform(size=(3, count))
    values = {
        "names": [f"c{i:03d}" for i in range(count)],
        "density": density,
        "noise": 10 * noise,
        "low_snr": low_snr,
        "foreground": np.round(50_000 * density),
        "others": {"tortuosity": 1 + rng.uniform(size=count)},
        "entropy": rng.uniform(size=count),
    }
    return Table(**{**values, **others})


def test_dhpr_selects_as_the_reference(shared):
    recorded = np.load(shared / "reference/selection.npz")
    density, noise, low_snr = recorded["table"].T
    cubes = table(80, density=density, noise=noise, low_snr=low_snr)
    for count, key in ((10, "selected_top10"), (300, "selected_top300")):
        chosen = sorted(choice.row for choice in dhpr(cubes, count, 1))
        assert chosen == recorded[key].tolist()


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_cubes_changes_nothing(rule):
    cubes = table()
    shuffled = np.random.default_rng(3).permutation(40)
    one = [cubes.names[c.row] for c in order_by(rule, cubes, 12, 1)]
    other = [cubes.names[shuffled[c.row]] for c in order_by(rule, cubes.part(shuffled), 12, 1)]
    assert one == other
    assert len(set(one)) == 12


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"dhpr"}))
def test_ties_are_broken_by_the_seed_alone(rule):
    same = np.ones(30)
    cubes = table(
        30, density=same, noise=same, low_snr=same, foreground=same, entropy=same, others={}
    )
    orders = [[c.row for c in order_by(rule, cubes, 10, seed)] for seed in (1, 1, 2)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("rule", RULES)
def test_each_choice_has_a_reason_in_words(rule):
    reasons = [c.reason for c in order_by(rule, table(), 5, 1)]
    assert all(len(reason.split()) >= 4 for reason in reasons)


def test_foreground_random_prefers_foreground():
    foreground = np.r_[np.full(50, 1000.0), np.zeros(150)]
    cubes = table(200, foreground=foreground)
    chosen = [c.row for c in order_by("foreground-random", cubes, 45, 1)]
    assert sum(row < 50 for row in chosen) > 30  # two thirds, and a quarter of the rest
    assert sum(row >= 50 for row in chosen) > 5
    assert sum(c.row < 50 for c in order_by("random", cubes, 45, 1)) < 25


def test_diverse_is_hard_and_covers():
    rng = np.random.default_rng(1)
    groups = np.repeat([0.1, 0.5, 0.9], 40)  # three kinds, alike in hardness
    hard = np.clip(0.9 + rng.normal(0, 0.01, 120), 0, 1)
    cubes = table(120, low_snr=hard, density=hard, noise=hard, others={"tortuosity": groups})
    chosen = [c.row for c in diverse(cubes, 3, 1)]
    assert {groups[row] for row in chosen} == {0.1, 0.5, 0.9}
    easy = table(120, foreground=np.r_[np.zeros(100), np.ones(20)])
    assert all(c.row >= 100 for c in diverse(easy, 10, 1)), "no cube without foreground"


def test_entropy_needs_a_model():
    with pytest.raises(SettingsError, match="entropy of each cube"):
        order_by("entropy", table(entropy=None), 3, 1)


def test_strata_are_merged_by_their_share():
    groups = {
        "a": [ChosenCube(i, "") for i in range(6)],
        "b": [ChosenCube(i, "") for i in (10, 11, 12)],
    }
    merged = [c.row for c in interleave(groups, {"a": 6, "b": 3})]
    assert merged[:3].count(10) == 1
    assert sum(row < 10 for row in merged[:6]) == 4
    assert sorted(merged) == [0, 1, 2, 3, 4, 5, 10, 11, 12]
