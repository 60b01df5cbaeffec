"""Losses as functions of logits, targets and weights."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["bce_dice"]


def bce_dice(logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum binary cross-entropy and soft Dice loss over the voxels that count.

    logit, target, weight: (N, 1, Z, Y, X); target in 0..1 (soft labels allowed); weight 0
    ignores a voxel. Dice is taken over the whole batch (Milletari et al. 2016), smoothed by 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    total = weight.sum().clamp(min=1)
    probability = logit.sigmoid() * weight
    truth = target * weight
    overlap = (probability * truth).sum()
    size = (probability * probability).sum() + (truth * truth).sum()
    return (entropy * weight).sum() / total + 1 - (2 * overlap + 1) / (size + 1)
