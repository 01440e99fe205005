# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Pseudo-labels: a teacher's probabilities as targets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["largest_parts", "pseudo_labels"]


def pseudo_labels(probability: Tensor, *, exclusive: bool, confidence: float = 0.5) -> tuple[Tensor, Tensor]:
    """What a teacher says, and where it is confident enough to be believed.

    Args:
        probability: (B, C, *S) in [0, 1]; C = K binary problems, or K + 1 channels of a softmax, background first.
        exclusive: softmax.
        confidence: smallest probability of what is said, presence or absence; 0.5 believes every binary answer.

    Returns:
        (B, K, *S) bool, the labels: p > 0.5, or the most likely channel; and (B, K, *S) bool, where they count.
    """
    if not exclusive:
        target = probability > 0.5
        return target, torch.where(target, probability, 1 - probability) >= confidence
    highest, channel = probability.max(dim=1, keepdim=True)
    labels = torch.arange(1, probability.shape[1], device=probability.device)
    target = channel == labels.view(1, -1, *(1,) * (probability.ndim - 2))
    # a softmax over many labels rarely has 0.5 anywhere near a border: its most likely channel is its answer
    return target, (highest >= (confidence if confidence > 0.5 else 0.0)).expand_as(target)


def largest_parts(target: Tensor) -> Tensor:
    """The largest connected part (faces) of each label in each patch, as BCP keeps of its pseudo-labels.

    Wrong for organs of several parts, so never the default.

    Args:
        target: (B, K, *S) bool.

    Returns:
        (B, K, *S) bool on the same device; empty labels stay empty.
    """
    import SimpleITK as sitk  # noqa: N813

    kept = np.zeros(tuple(target.shape), bool)
    masks = target.cpu().numpy()
    for index in np.ndindex(*target.shape[:2]):
        if masks[index].any():
            parts = sitk.ConnectedComponent(sitk.GetImageFromArray(masks[index].astype(np.uint8)))
            kept[index] = sitk.GetArrayFromImage(sitk.RelabelComponent(parts, sortByObjectSize=True)) == 1
    return torch.from_numpy(kept).to(target.device)
