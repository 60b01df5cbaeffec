"""Splits of the chosen cubes that do not share any voxel."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuroglow.cubes.manifest import Cube, Split
from neuroglow.errors import InputError, SettingsError
from neuroglow.space.geometry import Box, Zyx

__all__ = ["overlapping", "places", "split_apart"]

Places = dict[str, list[Box | None]]


def split_apart(
    cubes: Sequence[Cube], val_fraction: float, test_fraction: float, seed: int
) -> list[Cube]:
    """Assign each cube to a split, in the given order; overlapping cubes share a split.

    At least one cube is for validation (or testing) if its fraction is not 0 and there are two or
    more cubes. Raises SettingsError if overlapping cubes leave none for training.
    """
    groups = _groups(cubes)
    groups.sort(key=lambda g: hashlib.sha256(f"{seed}/split/{cubes[g[0]].name}".encode()).digest())
    splits: dict[int, Split] = {}
    wanted: tuple[tuple[Split, float], ...] = (("test", test_fraction), ("val", val_fraction))
    for split, fraction in wanted:
        count = max(1, round(fraction * len(cubes))) if fraction and len(cubes) > 1 else 0
        count = min(count, len(groups) - 1) if len(groups) > 1 else count  # keep one to train on
        taken = 0
        while groups and taken < count:
            group = min(groups, key=len) if len(groups[0]) > 2 * (count - taken) else groups[0]
            groups.remove(group)
            splits |= dict.fromkeys(group, split)
            taken += len(group)
    if not groups:
        raise SettingsError(
            "overlapping cubes are in one split, and at least one cube is for training",
            found=f"{len(cubes)} chosen cubes, none of them left to train on",
            where="--val-fraction, --test-fraction",
            cure="0 for both, more cubes, or a survey with less --overlap",
        )
    return [replace(cube, split=splits.get(i, "train")) for i, cube in enumerate(cubes)]


def places(cubes: Sequence[Cube]) -> Places:
    """Index cubes by image: their positions in it; None for the whole image."""
    found: Places = {}
    for cube in cubes:
        found.setdefault(os.path.normpath(cube.image), []).append(_box(cube.box))
    return found


def overlapping(cube: Cube, others: Places) -> bool:
    """Return whether a cube shares voxels with any of these."""
    own = _box(cube.box)
    boxes = others.get(os.path.normpath(cube.image), ())
    return any(own is None or box is None or own.intersect(box).size for box in boxes)


def _groups(cubes: Sequence[Cube]) -> list[list[int]]:
    """Join overlapping cubes, directly or through others."""
    groups: list[tuple[list[int], Places]] = []
    for i, cube in enumerate(cubes):
        known = cube.image.exists()  # rows of sample_information.npy name no file
        touched = [g for g in groups if known and overlapping(cube, g[1])]
        groups = [g for g in groups if g not in touched]
        members = sorted([i, *(j for g in touched for j in g[0])])
        groups.append((members, places([cubes[j] for j in members])))
    return [members for members, _ in groups]


def _box(text: str) -> Box | None:
    """Read a box written by a survey; None if there is none."""
    if not text:
        return None
    ends = [tuple(int(n) for n in axis.split(":")) for axis in text.split(",")]
    start: Zyx = (ends[0][0], ends[1][0], ends[2][0])
    stop: Zyx = (ends[0][1], ends[1][1], ends[2][1])
    return Box(start, stop)


def split_cubes(cubes: Sequence[Cube], val_fraction: float, seed: int) -> list[Cube]:
    """Return the labelled cubes, each with split `train` or `val`, in the given order.

    Cubes marked `test` or without a label are left out. If none is `val`, a share of the
    others (at least one) is drawn by the seed; none with val_fraction 0.
    Raises InputError if nothing is left to train on, or if a single cube would have to be split.
    """
    usable = [c for c in cubes if c.label is not None and c.split != "test"]
    if val_fraction and usable and all(c.split != "val" for c in usable):
        if len(usable) == 1:
            raise InputError(
                "validation needs cubes that are not trained on",
                found=f"a single labelled cube, {usable[0].name!r}",
                cure="more cubes; or --val-fraction 0, which skips validation",
            )
        count = min(len(usable) - 1, max(1, round(val_fraction * len(usable))))
        rng = np.random.default_rng([seed, len(usable)])
        drawn = set(rng.choice(len(usable), count, replace=False).tolist())
        usable = [replace(c, split="val" if i in drawn else "train") for i, c in enumerate(usable)]
    chosen = [replace(c, split=c.split or "train") for c in usable]
    if all(c.split != "train" for c in chosen):
        raise InputError(
            "a training set needs labelled cubes to train on",
            found=f"{len(cubes)} cubes, none of them both labelled and in the split train",
            cure="labels in the column `label`, or in label/ next to image/",
        )
    return chosen
