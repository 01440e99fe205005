"""How sure a confidence head should be: the probability that the frozen segmentor gives to what is true.

Corbière et al., "Addressing failure prediction by learning model confidence", NeurIPS 2019, regress this *true class
probability* (TCP) with a mean squared error. INERRANT (Petit et al., Computerized Medical Imaging and Graphics 2021)
ranks voxels to relabel by a learned confidence; how it is learned is not in its abstract. What is here is ours: one
binary problem a label, known voxels alone, and a balance without which the wrong voxels, one in hundreds on the cases
that the segmentor was trained on, would not count.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reduce import check_same_shape, mean_over_processes

__all__ = ["confidence_loss", "true_state_probability"]


def true_state_probability(probability: Tensor, target: Tensor) -> Tensor:
    """p where the label is and 1 - p where it is not: 1 for a sure and right segmentor, 0 for a sure and wrong one.

    Args:
        probability: (B, K, *S) float in [0, 1].
        target: (B, K, *S) bool: where the label is.
    """
    return torch.where(target, probability, 1 - probability)


def confidence_loss(confidence: Tensor, probability: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Squared error between the confidence and :func:`true_state_probability`, over known voxels.

    The known voxels of a label fall into four cells: said to be there (p > 0.5) or not, and rightly so or not. Each
    cell that occurs in the batch counts the same, however few its voxels; cells of all labels are averaged. (Ours.)

    Args:
        confidence: (B, K, *S) float in [0, 1]: what the head says.
        probability: (B, K, *S) float in [0, 1]: what the segmentor says; no gradient goes there.
        target: (B, K, *S) bool: where the label is.
        known: (B, K, *S) bool: which voxels count.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 confidence). 0, with gradient 0, when nothing is known. Averaged
        over processes as DistributedDataParallel does, it is the same whatever way the cases fall on them.

    Raises:
        ValueError: the four shapes differ.
    """
    check_same_shape(confidence=confidence, probability=probability, target=target, known=known)
    confidence = confidence if confidence.dtype == torch.float64 else confidence.float()
    probability = probability.detach().to(confidence.dtype)
    error = (confidence - true_state_probability(probability, target)).square()
    said = probability > 0.5
    cells = [known & (said == predicted) & (target == true) for predicted in (True, False) for true in (True, False)]
    counts = mean_over_processes(torch.stack([_per_label(cell.to(error.dtype)) for cell in cells]))
    sums = torch.stack([_per_label(torch.where(cell, error, 0.0)) for cell in cells])
    occurs = counts > 0
    means = torch.where(occurs, sums / torch.where(occurs, counts, 1.0), 0.0)
    return means.sum() / occurs.sum().clamp(min=1)


def _per_label(values: Tensor) -> Tensor:
    """(B, K, *S) summed to (K,)."""
    return values.sum(dim=(0, *range(2, values.ndim)))
