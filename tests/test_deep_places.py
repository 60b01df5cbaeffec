"""The deepest places of a mask: exact depths, whatever is left out, and a sure word on sprawl."""

import numpy as np
import pytest
from scipy import ndimage

from neuroglow.skeleton.deep_places import CORE, LONG, deep_places
from neuroglow.space.geometry import Box

SHAPE = (70, 60, 80)


def blobs(unit, seed=3):
    """Draw parts of many sizes, of which some touch."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    return ndimage.gaussian_filter(noise, 4 / np.array(unit)) > 0.006 / np.prod(unit) ** 0.5


@pytest.mark.parametrize("unit", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.7)])
def test_depths_are_those_of_the_whole_and_no_place_lies_within_another(unit):
    mask, unit = blobs(unit), np.array(unit)
    depth = ndimage.distance_transform_edt(mask, sampling=unit)
    found = deep_places(mask, unit, 3.0, Box.of(SHAPE))
    assert len(found) > 10
    assert any(one.sprawls for one in found)
    assert not all(one.sprawls for one in found)
    for one in found:
        assert one.depth == pytest.approx(depth[tuple(one.at)])
        assert one.depth >= 3.0
        parts, _ = ndimage.label(depth >= CORE * one.depth)
        own = np.argwhere(parts == parts[tuple(one.at)])
        away = np.linalg.norm((own - one.at) * unit, axis=1).max()
        assert away > LONG * one.depth or not one.sprawls
    assert [one.depth for one in found] == sorted((one.depth for one in found), reverse=True)


def test_what_is_wanted_is_found_whatever_is_left_out():
    mask, unit = blobs((1, 1, 1)), np.ones(3)
    inner = Box((20, 20, 20), (50, 45, 60))
    whole, some = (deep_places(mask, unit, 3.0, box) for box in (Box.of(SHAPE), inner))
    ends = np.array(inner.start), np.array(inner.stop) - 1

    def near(found):
        gap = [np.linalg.norm(one.at - np.clip(one.at, *ends)) for one in found]
        return [(*one.at, one.depth) for one, g in zip(found, gap, strict=True) if g < one.depth]

    assert near(some) == near(whole)
    assert 0 < len(some) < len(whole)


def test_a_mask_that_is_thin_or_empty_has_no_deep_place():
    thin = np.zeros(SHAPE, bool)
    thin[30:34] = True
    for mask in (thin, np.zeros(SHAPE, bool)):
        assert deep_places(mask, np.ones(3), 3.0, Box.of(SHAPE)) == []
