"""Nuclei, microglia, plaques and vessels shine, and their label says what was asked."""

import numpy as np
import pytest

from neuroglow.imaging.crowds import microglia, nuclei, plaques, vessels
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, make_cube
from neuroglow.trees.swc import SOMA

SHAPE = (32, 32, 32)
EMPTY = {
    "shape": SHAPE,
    "density": (0.0, 0.0),
    "puncta": 0.0,
    "somata": 0.0,
    "vessels": 0.0,
    "tracts": 0.0,
    "edge": 0.0,
}


@pytest.mark.parametrize("kind", ["nuclei", "microglia", "plaques"])
def test_bodies_shine_and_are_background(kind):
    plain = make_cube(EMPTY, seed=3)
    body = make_cube({**EMPTY, kind: 400.0, "body_snr": (20.0, 30.0)}, seed=3)
    assert body.image.mean() > 1.05 * plain.image.mean()
    assert not body.label.any()
    assert not body.table


def test_counts_of_none_change_nothing_that_is_drawn():
    asked = {"shape": SHAPE, "region": "cells"}
    zero = {"nuclei": 0.0, "microglia": 0.0, "plaques": 0.0, "vessels_as": "background"}
    assert np.array_equal(make_cube(asked, seed=4).image, make_cube(asked | zero, seed=4).image)


def test_a_bright_vessel_is_labelled_as_asked():
    found = {}
    for label in ("background", "neurite", "ignore"):
        asked = {**EMPTY, "vessels": 300.0, "vessels_as": label}
        cubes = [make_cube(asked, seed=seed) for seed in range(3)]
        found[label] = [np.concatenate([c.label.ravel() for c in cubes])]
    assert not found["background"][0].any()
    assert (found["neurite"][0] == NEURITE).any()
    assert (found["ignore"][0] == IGNORE).any()
    assert not (found["ignore"][0] == NEURITE).any()


@pytest.mark.parametrize("draw", [nuclei, microglia, plaques, vessels])
def test_crowds_come_again_from_the_same_seed(draw):
    first, again = (draw(np.random.default_rng(5), SHAPE, (1.4, 1.0, 1.0)) for _ in range(2))
    light = first[0] if isinstance(first, tuple) else first
    assert np.array_equal(light, again[0] if isinstance(again, tuple) else again)
    assert light.shape == SHAPE
    assert light.max() > 1
    assert light.min() >= 0


def test_neurons_are_trees_with_a_soma_as_root_and_change_nothing_else():
    given = {"shape": (48, 48, 48), "region": "cells"}
    plain = make_cube(given, seed=5)
    made = make_cube(given | {"neurons": 40.0}, seed=5)
    somata = np.flatnonzero(made.tree.kinds == SOMA)
    assert len(somata)
    assert (made.tree.parents[somata] == -1).all()
    assert (np.bincount(made.tree.parents[made.tree.parents >= 0])[somata] >= 2).all()
    assert ((made.tree.radii[somata] >= 4) & (made.tree.radii[somata] <= 12)).all()
    at = np.rint(made.tree.points[somata]).astype(int)
    assert (made.label[tuple(at.T)] != BACKGROUND).all()
    count = len(plain.tree.points)
    np.testing.assert_array_equal(made.tree.points[:count], plain.tree.points)
