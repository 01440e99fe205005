"""Regression of signed distance maps, where they are known."""

from __future__ import annotations

import torch
from torch import Tensor

from .reduce import check_same_shape, mean_over_processes

__all__ = ["masked_sdm_mse"]


def masked_sdm_mse(sdm: Tensor, distance: Tensor, known: Tensor) -> Tensor:
    """Mean squared error of predicted signed distances over voxels whose distance is known.

    Li, Zhang, He, "Shape-aware semi-supervised 3D semantic segmentation for medical images" (SASSNet), MICCAI 2020, the
    regression term of the supervised loss L_s: ||S - Z||^2 averaged over voxels. The mask and several labels are ours:
    each label's sum is divided by its count of known voxels, and the labels that have any are averaged.

    Args:
        sdm: (B, K, *S) float in [-1, 1], predicted.
        distance: (B, K, *S) float in [-1, 1], negative inside; anything where it is not known.
        known: (B, K, *S) bool. The distance is known where the label is *everywhere*: a surface that nobody painted may
            be nearer than the one that is there, so that the finished part of a partial label is not enough.

    Returns:
        Scalar in [0, 4], float32 (float64 for float64 input). 0, with gradient 0, when nothing is known. Averaged over
        processes as DistributedDataParallel does, it is the same whatever way the cases fall on them.

    Raises:
        ValueError: the three shapes differ.
    """
    check_same_shape(sdm=sdm, distance=distance, known=known)
    exact = torch.float64 if sdm.dtype == torch.float64 else torch.float32
    axes = (0, *range(2, sdm.ndim))
    # Masked before it is squared: what is not known may be anything, infinity too.
    difference = torch.where(known, sdm.to(exact) - distance.to(exact), 0.0)
    count = mean_over_processes(known.sum(dim=axes)).to(exact)
    seen = count > 0
    per_label = difference.square().sum(dim=axes) / torch.where(seen, count, 1.0)
    return torch.where(seen, per_label, 0.0).sum() / seen.sum().clamp(min=1)
