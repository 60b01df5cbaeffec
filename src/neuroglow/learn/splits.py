"""Which cubes train and which validate: never the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuroglow.errors import InputError
from neuroglow.learn.manifest import Cube

__all__ = ["split_cubes"]


def split_cubes(cubes: Sequence[Cube], val_fraction: float, seed: int) -> list[Cube]:
    """Give the labelled cubes, each with split `train` or `val`, in the order they came.

    Cubes that are `test` or have no label are left out. Where none is `val`, a share of the
    others (at least one) is drawn by the seed; none with val_fraction 0.
    Raises InputError where nothing is left to train on, or one cube alone would be split.
    """
    usable = [c for c in cubes if c.label is not None and c.split != "test"]
    if val_fraction and usable and all(c.split != "val" for c in usable):
        if len(usable) == 1:
            raise InputError(
                "validation takes cubes that are not trained on",
                found=f"one labelled cube alone, {usable[0].name!r}",
                cure="more cubes; or --val-fraction 0, which validates nothing",
            )
        count = min(len(usable) - 1, max(1, round(val_fraction * len(usable))))
        rng = np.random.default_rng([seed, len(usable)])
        drawn = set(rng.choice(len(usable), count, replace=False).tolist())
        usable = [replace(c, split="val" if i in drawn else "train") for i, c in enumerate(usable)]
    chosen = [replace(c, split=c.split or "train") for c in usable]
    if all(c.split != "train" for c in chosen):
        raise InputError(
            "a training set has labelled cubes to train on",
            found=f"{len(cubes)} cubes, none of them with a label and of the split train",
            cure="labels in the column `label`, or in label/ beside image/",
        )
    return chosen
