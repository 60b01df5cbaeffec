"""Optimisers, learning rates as functions of the step, and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from neuroglow.train.settings import TrainSettings

__all__ = ["average_into", "freeze_encoder", "learning_rate", "make_optimiser", "move"]

WARM_UP = 0.1
"""Share of the steps in which the one-cycle rate increases."""

ENCODERS = {"glow": ("stem", "down", "encode"), "voxresnet": ("conv", "bn_act", "res")}
"""Prefixes of the names of those parts that read the image, before anything is decoded."""


def make_optimiser(parameters: Iterable[nn.Parameter], settings: TrainSettings) -> Optimizer:
    """Make AdamW, or SGD with momentum."""
    free = [p for p in parameters if p.requires_grad]
    rate, decay = settings.peak_rate, settings.decay
    if settings.optimiser == "sgd":
        return SGD(free, rate, momentum=settings.momentum, weight_decay=decay)
    return AdamW(free, rate, weight_decay=decay)


def learning_rate(step: int, settings: TrainSettings, *, processes: int = 1) -> float:
    """Return the learning rate of a step, counted from 1.

    AdamW: one cycle (Smith and Topin 2018; torch's OneCycleLR with its defaults, but a tenth
    of the steps to rise). SGD: times decay_factor each `halve_every` patches (DB-Enhance:
    StepLR with gamma 0.5 an epoch of 15,000 patches).
    """
    peak = settings.peak_rate
    if settings.optimiser == "sgd":
        seen = (step - 1) * settings.batch * processes
        return float(peak * settings.decay_factor ** (seen // settings.halve_every))
    top = max(WARM_UP * settings.steps - 1, 1e-9)
    first, last = peak / 25, peak / 25 / 1e4
    at = float(step - 1)
    if at <= top:
        return _cosine(first, peak, at / top)
    return _cosine(peak, last, (at - top) / max(settings.steps - 1 - top, 1e-9))


def _cosine(start: float, stop: float, share: float) -> float:
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))


@torch.no_grad()
def average_into(averaged: nn.Module, network: nn.Module, keep: float, step: int) -> None:
    """Move the averaged weights (and statistics) towards those of the network.

    keep: share kept per step, less in the first steps: at most (1 + step) / (10 + step).
    """
    move(averaged, network, 1 - min(keep, (1 + step) / (10 + step)))


@torch.no_grad()
def move(network: nn.Module, to: nn.Module, share: float) -> None:
    """Move the weights (and statistics) of a network a share of the way to those of another."""
    for old, new in zip(network.state_dict().values(), to.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, share)
        else:
            old.copy_(new)


def freeze_encoder(network: nn.Module, name: str) -> None:
    """Freeze the encoder of a network: neither gradients nor statistics change it."""
    for part, module in network.named_children():
        if part.startswith(ENCODERS[name]):
            module.requires_grad_(requires_grad=False)
            module.eval()
