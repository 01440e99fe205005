"""Adversarial terms of SASSNet: shapes predicted on unlabelled images should look like those on labelled ones.

Li, Zhang, He, "Shape-aware semi-supervised 3D semantic segmentation for medical images", MICCAI 2020. The adversarial
loss L_a = log D(S_l, X_l) + log(1 - D(S_u, X_u)) is a game. What is minimised, as in the authors' code, is one
cross-entropy for each player (the non-saturating form of Goodfellow et al., NeurIPS 2014, section 3); the first term of
L_a has no part in the generator's.

Scores have two channels: :data:`UNLABELLED` and :data:`LABELLED`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .reduce import mean_over_processes

__all__ = ["LABELLED", "UNLABELLED", "discriminator_cross_entropy", "generator_cross_entropy"]

UNLABELLED, LABELLED = 0, 1
"""Channels of a discriminator's scores."""


def generator_cross_entropy(scores: Tensor) -> Tensor:
    """What an unlabelled image's shape still lacks to pass for a labelled one's: mean of -log D(S_u, X_u).

    Args:
        scores: (N, 2) before the softmax, of unlabelled images alone; N may be 0.

    Returns:
        Scalar >= 0, float32 (float64 for float64 scores). 0, with gradient 0, when no process has an unlabelled image.
        Averaged over processes as DistributedDataParallel does, it is the mean over the images of all.

    Raises:
        ValueError: not two scores for each image.
    """
    return _mean_cross_entropy(scores, LABELLED, torch.ones(len(scores), dtype=torch.bool, device=scores.device))


def discriminator_cross_entropy(scores: Tensor, labelled: Tensor, unlabelled: Tensor) -> Tensor:
    """Cross-entropy of telling labelled from unlabelled: the mean of the two kinds' means.

    As published for as many labelled as unlabelled images in the batch; otherwise the kinds count alike, so that it
    does not pay to guess the one that is more frequent.

    Args:
        scores: (B, 2) before the softmax.
        labelled: (B,) bool.
        unlabelled: (B,) bool; an image may be neither, and then counts nothing.

    Returns:
        Scalar >= 0, float32 (float64 for float64 scores). A kind of which no process has an image adds 0, with
        gradient 0.

    Raises:
        ValueError: not two scores for each image, or another number of images.
    """
    of_labelled = _mean_cross_entropy(scores, LABELLED, labelled)
    return 0.5 * (of_labelled + _mean_cross_entropy(scores, UNLABELLED, unlabelled))


def _mean_cross_entropy(scores: Tensor, channel: int, counted: Tensor) -> Tensor:
    if scores.ndim != 2 or scores.shape[1] != 2 or counted.shape != scores.shape[:1]:
        msg = f"expected scores (B, 2) and (B,) images to count, found {tuple(scores.shape)} and {tuple(counted.shape)}"
        raise ValueError(msg)
    scores = scores if scores.dtype == torch.float64 else scores.float()
    per_image = -F.log_softmax(scores, dim=1)[:, channel]
    count = mean_over_processes(counted.sum()).to(scores.dtype)
    # A mean over processes may lie between 0 and 1, which must not be rounded up.
    return torch.where(counted, per_image, 0.0).sum() / torch.where(count > 0, count, 1.0)
