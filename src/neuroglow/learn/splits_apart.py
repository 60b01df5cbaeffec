"""Splits of chosen cubes of which no voxel is in two."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

from neuroglow.errors import SettingsError
from neuroglow.learn.manifest import Cube, Split
from neuroglow.space.geometry import Box, Zyx

__all__ = ["overlapping", "places", "split_apart"]

Places = dict[str, list[Box | None]]


def split_apart(
    cubes: Sequence[Cube], val_fraction: float, test_fraction: float, seed: int
) -> list[Cube]:
    """Give each cube a split, in the order they came; cubes that overlap share theirs.

    At least one cube validates (or tests) where its fraction is not 0 and two or more cubes
    are there. Raises SettingsError where overlapping cubes leave none to train on.
    """
    groups = _groups(cubes)
    groups.sort(key=lambda g: hashlib.sha256(f"{seed}/split/{cubes[g[0]].name}".encode()).digest())
    splits: dict[int, Split] = {}
    wanted: tuple[tuple[Split, float], ...] = (("test", test_fraction), ("val", val_fraction))
    for split, fraction in wanted:
        count = max(1, round(fraction * len(cubes))) if fraction and len(cubes) > 1 else 0
        count = min(count, len(groups) - 1) if len(groups) > 1 else count  # one is left to train
        taken = 0
        while groups and taken < count:
            group = min(groups, key=len) if len(groups[0]) > 2 * (count - taken) else groups[0]
            groups.remove(group)
            splits |= dict.fromkeys(group, split)
            taken += len(group)
    if not groups:
        raise SettingsError(
            "cubes that overlap are in one split, and some cubes train",
            found=f"{len(cubes)} chosen cubes, none of them left to train on",
            where="--val-fraction, --test-fraction",
            cure="0 for both, more cubes, or a survey with less --overlap",
        )
    return [replace(cube, split=splits.get(i, "train")) for i, cube in enumerate(cubes)]


def places(cubes: Sequence[Cube]) -> Places:
    """Index cubes by image: where in it they lie; None for the whole."""
    found: Places = {}
    for cube in cubes:
        found.setdefault(os.path.normpath(cube.image), []).append(_box(cube.box))
    return found


def overlapping(cube: Cube, others: Places) -> bool:
    """Tell whether a cube shares voxels with one of these."""
    own = _box(cube.box)
    boxes = others.get(os.path.normpath(cube.image), ())
    return any(own is None or box is None or own.intersect(box).size for box in boxes)


def _groups(cubes: Sequence[Cube]) -> list[list[int]]:
    """Join the cubes that overlap, and those that overlap with these."""
    groups: list[tuple[list[int], Places]] = []
    for i, cube in enumerate(cubes):
        known = cube.image.exists()  # rows of sample_information.npy name no file
        touched = [g for g in groups if known and overlapping(cube, g[1])]
        groups = [g for g in groups if g not in touched]
        members = sorted([i, *(j for g in touched for j in g[0])])
        groups.append((members, places([cubes[j] for j in members])))
    return [members for members, _ in groups]


def _box(text: str) -> Box | None:
    """Read a box that a survey wrote; None where there is none."""
    if not text:
        return None
    ends = [tuple(int(n) for n in axis.split(":")) for axis in text.split(",")]
    start: Zyx = (ends[0][0], ends[1][0], ends[2][0])
    stop: Zyx = (ends[0][1], ends[1][1], ends[2][1])
    return Box(start, stop)
