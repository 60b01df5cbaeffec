"""DB-Enhance's constants, each written once. Needs no PyTorch.

Source: github.com/GTreeSoftware/DB-Enhance (MIT licence): config.py, GetModel.py,
Train_Supervise.py, Generate_Random_Samples_For_Training.py, dataset/. The constants of its
indicators stand with them, in selection/indicators.py.
"""

from __future__ import annotations

from types import MappingProxyType

from neuroglow.network.model_settings import FixedInput

__all__ = [
    "ACCEPTED_VOXELS",
    "BATCH",
    "BRIGHTNESS",
    "DECAY_FACTOR",
    "EPOCHS",
    "EPOCH_PATCHES",
    "INPUT",
    "LEARNING_RATE",
    "MOMENTUM",
    "NOISE",
    "OFFSET",
    "OVERLAP",
    "PATCH",
    "RECIPE",
    "SELECTED",
    "WEIGHT_DECAY",
]

INPUT = FixedInput(low=0, high=1500, mean=168.5, std=500)
"""The input of its network: (clip(I, 0, 1500) - 168.5) / 500."""

PATCH, OVERLAP = 120, 10
"""Side of its patches in training and in prediction, in voxels, and their overlap there."""

ACCEPTED_VOXELS = 1000
"""Minimum number of labelled voxels in a training patch."""

SELECTED = 300
"""Number of cubes that its rule selects; all that it can if there are fewer."""

EPOCH_PATCHES, EPOCHS, BATCH = SELECTED * 50, 100, 3

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 3e-4

DECAY_FACTOR = 0.5
"""Factor of the learning rate after each epoch."""

NOISE, OFFSET = 10 / INPUT.std, 100 / INPUT.std
"""Largest noise that is added or subtracted, and largest offset, in its network's input."""

BRIGHTNESS = 0.5
"""Largest change of the brightness, as a share."""

RECIPE = MappingProxyType(
    {
        "network": "voxresnet",
        "normalisation": "db_enhance",
        "init": "kaiming",
        "sampling": "db_enhance",
        "augment": "db_enhance",
        "turns": "all",
        "loss": "db_enhance",
        "optimiser": "sgd",
        "learning_rate": LEARNING_RATE,
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "decay_factor": DECAY_FACTOR,
        "halve_every": EPOCH_PATCHES,
        "clip": "none",
        "ema": 0.0,
        "precision": "float32",
        "patch": PATCH,
        "batch": BATCH,
        "steps": EPOCHS * EPOCH_PATCHES // BATCH,
        "checkpoint_every": EPOCH_PATCHES // BATCH,
        "keep": "all",
    }
)
"""Its training, as settings of `neuroglow train`."""
