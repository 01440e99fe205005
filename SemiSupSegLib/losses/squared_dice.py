"""Dice with squares in the denominator, as UA-MT's and SASSNet's code has it."""

from __future__ import annotations

import torch
from torch import Tensor

from .reduce import check_same_shape, sum_over_processes

__all__ = ["squared_dice"]

SMOOTHING = 1e-5
"""Added above and below, as in the papers' code."""


def squared_dice(probability: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - (2 sum(p y) + e) / (sum(p^2) + sum(y^2) + e), e = 1e-5, sums over the batch of all processes.

    Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, the form of their paper; Yu et al., "UA-MT", MICCAI 2019, and Li,
    Zhang, He, "SASSNet", MICCAI 2020, train with it. Unlike :func:`~SemiSupSegLib.losses.masked.masked_dice` it counts
    a label that is known to be nowhere in the batch, and then wants nothing of it to be predicted.

    Args:
        probability: (B, K, *S) float in [0, 1].
        target: (B, K, *S) bool: where the label is.
        known: (B, K, *S) bool: which voxels count.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 input): mean over labels of which anything is known in the batch
        of all processes. 0, with gradient 0, when nothing is known.

    Raises:
        ValueError: the three shapes differ.
    """
    check_same_shape(probability=probability, target=target, known=known)
    probability = probability if probability.dtype == torch.float64 else probability.float()
    axes = (0, *range(2, probability.ndim))
    shown, positive = torch.where(known, probability, 0.0), target & known
    overlap = sum_over_processes((shown * positive).sum(dim=axes))
    volume = sum_over_processes(shown.square().sum(dim=axes))
    reference = sum_over_processes(positive.sum(dim=axes).to(shown.dtype))
    counted = sum_over_processes(known.sum(dim=axes).to(shown.dtype)) > 0
    dice = (2 * overlap + SMOOTHING) / (volume + reference + SMOOTHING)
    return torch.where(counted, 1 - dice, 0.0).sum() / counted.sum().clamp(min=1)
