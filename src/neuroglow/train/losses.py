"""Losses as functions of logits, targets and weights.

If several processes share a batch, `total` adds a tensor of sums over all of them (and
passes gradients back): each loss is then that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Total",
    "alone",
    "bce_dice",
    "db_enhance",
    "soft_cldice",
    "soft_skeleton",
    "worst",
]

Total = Callable[[Tensor], Tensor]


def alone(sums: Tensor) -> Tensor:
    """Return the sums unchanged: one process has the whole batch."""
    return sums


def bce_dice(logit: Tensor, target: Tensor, weight: Tensor, *, total: Total = alone) -> Tensor:
    """Sum binary cross-entropy and soft Dice loss over the counted voxels.

    logit, target, weight: (N, 1, Z, Y, X); target in 0..1 (soft labels allowed); weight 0
    ignores a voxel. Dice is taken over the whole batch (Milletari et al. 2016), smoothed by 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    probability = logit.sigmoid() * weight
    truth = target * weight
    overlap = (probability * truth).sum()
    size = (probability * probability).sum() + (truth * truth).sum()
    sums = torch.stack([weight.sum(), (entropy * weight).sum(), overlap, size])
    count, wrong, overlap, size = total(sums)
    loss: Tensor = wrong / count.clamp(min=1) + 1 - (2 * overlap + 1) / (size + 1)
    return loss


def db_enhance(
    logit: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    balanced: bool = True,
    total: Total = alone,
) -> Tensor:
    """Sum half the cross-entropy and the weighted soft Dice losses of both classes: DB-Enhance's.

    logit: (N, 1 or 2, Z, Y, X); one stands for (0, logit). target, weight: (N, 1, Z, Y, X);
    weight 0 ignores a voxel. balanced: the weight of background is the share of neurite voxels in
    the batch + 1e-5, that of neurites 1 minus this; otherwise 1/2 each. Source: DB-Enhance,
    utils/loss.py, exactly: if all but a few of 100,000 voxels are neurites, a class has a negative
    weight, and the loss may leave its range (`worst`).
    """
    if logit.shape[1] == 1:
        logit = torch.cat([torch.zeros_like(logit), logit], 1)
    truth = torch.cat([1 - target, target], 1) * weight
    logs = logit.log_softmax(1)
    probability = logs.exp() * weight
    parts = (-logs * truth, truth, probability, probability * truth)
    wrong, count, guessed, overlap = total(torch.stack([p.sum((0, 2, 3, 4)) for p in parts]))
    share = count[1] / count.sum().clamp(min=1) + 1e-5 if balanced else count.new_tensor(0.5)
    importance = torch.stack([share, 1 - share]).detach()
    counted = (importance * count).sum()
    entropy = (importance * wrong).sum() / torch.where(counted == 0, 1, counted)
    dice = 1 - (2 * overlap + 1) / (guessed + count + 1)
    loss: Tensor = 0.5 * entropy + (importance * dice).sum()
    return loss


def worst(logits: Tensor, target: Tensor, weight: Tensor) -> float:
    """Return the maximum of a sum of these losses: 3 above the worst voxel's cross-entropy.

    The minimum is 0. Arguments as in db_enhance.
    """
    logit = logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]
    wrong = functional.softplus(logit * (1 - 2 * target)) * weight
    return float(wrong.max()) + 3


def soft_cldice(
    logit: Tensor, target: Tensor, weight: Tensor, *, iterations: int = 4, total: Total = alone
) -> Tensor:
    """Return 1 - centreline Dice of soft skeletons, smoothed by 1 (Shit et al., CVPR 2021).

    logit, target, weight: (N, 1, Z, Y, X); weight 0 ignores a voxel. iterations: how often
    the skeleton is thinned; at least the largest radius in voxels.
    """
    probability, truth = logit.sigmoid() * weight, target * weight
    thin = soft_skeleton(probability, iterations)
    middle = soft_skeleton(truth, iterations)
    sums = [(thin * truth).sum(), thin.sum(), (middle * probability).sum(), middle.sum()]
    right, all_thin, found, all_middle = total(torch.stack(sums))
    precision, recall = (right + 1) / (all_thin + 1), (found + 1) / (all_middle + 1)
    loss: Tensor = 1 - 2 * precision * recall / (precision + recall)
    return loss


def soft_skeleton(image: Tensor, iterations: int) -> Tensor:
    """Thin a soft mask (N, 1, Z, Y, X) by repeated soft opening (Shit et al. 2021, algorithm 1)."""
    skeleton = functional.relu(image - _opened(image))
    for _ in range(iterations):
        image = _eroded(image)
        ridge = functional.relu(image - _opened(image))
        skeleton = skeleton + functional.relu(ridge - skeleton * ridge)
    return skeleton


def _eroded(image: Tensor) -> Tensor:
    """Take the minimum of each voxel's neighbours along the three axes."""
    thinner = image
    for size in ((3, 1, 1), (1, 3, 1), (1, 1, 3)):
        around = -functional.max_pool3d(-image, size, 1, tuple(n // 2 for n in size))
        thinner = torch.minimum(thinner, around)
    return thinner


def _opened(image: Tensor) -> Tensor:
    return functional.max_pool3d(_eroded(image), 3, 1, 1)
