"""Consistency: a student's probabilities should be its teacher's, where people said nothing and the teacher is sure.

Tarvainen, Valpola, "Mean teachers are better role models", NIPS 2017; Yu, Wang, Li, Fu, Heng, "Uncertainty-aware
self-ensembling model for semi-supervised 3D left atrium segmentation" (UA-MT), MICCAI 2019.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .reduce import check_same_shape, mean_over_processes

__all__ = ["activated", "certain", "masked_squared_difference"]


def activated(logits: Tensor, *, exclusive: bool) -> Tensor:
    """Probabilities of all channels, background included.

    Args:
        logits: (B, C, *S), before the sigmoid, or before the softmax over C = K + 1 channels.
        exclusive: softmax.

    Returns:
        (B, C, *S) in [0, 1], float32 (float64 for float64 logits).
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.softmax(dim=1) if exclusive else logits.sigmoid()


def masked_squared_difference(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of probabilities over what is masked in.

    UA-MT's Eq. 3 as its code has it, sum_x M sum_c (p_c - q_c)^2 / (2 sum_x M + 1e-16), is this with its two softmax
    channels: the mean over voxels that count and over the C channels of each. Without uncertainty it is the mean
    teacher's.

    Args:
        student: (B, C, *S) float in [0, 1].
        teacher: (B, C, *S) float in [0, 1]; gets no gradient.
        mask: (B, C, *S) or (B, 1, *S) bool: what counts.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 input). 0, with gradient 0, when nothing counts. Averaged over
        processes it is the same whatever way the patches fall on them.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(student=student, teacher=teacher)
    check_same_shape(mask=mask[:, :1], channel=student[:, :1])
    mask = mask.expand_as(student)
    student = student if student.dtype == torch.float64 else student.float()
    difference = torch.where(mask, student - teacher.detach().to(student.dtype), 0.0)
    count = mean_over_processes(mask.sum())
    return difference.square().sum() / torch.where(count > 0, count, 1.0)


def certain(entropy: Tensor, progress: float) -> Tensor:
    """UA-MT's mask M = [u < H(t)]: what is less uncertain than a threshold that rises from 3/4 of the largest entropy.

    H(t) = (0.75 + 0.25 exp(-5 (1 - t)^2)) H_max; the paper's H_max is ln 2, of its two classes.

    Args:
        entropy: any shape, u / H_max, [0, 1], see :mod:`losses.entropy`.
        progress: t in [0, 1].

    Returns:
        bool, the same shape.
    """
    return entropy < 0.75 + 0.25 * math.exp(-5.0 * (1.0 - min(max(progress, 0.0), 1.0)) ** 2)
