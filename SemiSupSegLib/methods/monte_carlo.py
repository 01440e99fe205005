"""What a teacher predicts, and how sure it is: one deterministic pass and Monte Carlo passes of its head."""

from __future__ import annotations

import torch
from torch import Tensor

from ..losses.embedding import pass_variance
from ..losses.entropy import normalised_entropy
from ..networks.segmentor import Segmentor

__all__ = ["consult"]

SLAB = 1 << 20
"""Probabilities that are held at a time, over passes, channels and voxels."""


def consult(
    teacher: Segmentor, features: Tensor, passes: int, *, overlaps: bool, variance: bool = False
) -> tuple[Tensor, Tensor]:
    """Ask a segmentor's head about features that were computed once, a slab of voxels at a time.

    Args:
        teacher: in eval mode; only its head is used.
        features: (B, F, *S) of ``teacher.features``.
        passes: T dropout passes, at least 1, with the masks of the default generator.
        overlaps: give each label by itself; else the one class that is there.
        variance: uncertainty is ``losses.embedding.pass_variance`` of the passes instead of
            ``losses.entropy.normalised_entropy`` of their mean.

    Returns:
        (P, B, *S) int16 class maps, as in ``losses.embedding``, of the pass without dropout, as the segmentor
        predicts; and the uncertainty, (B, K, *S) float32 in [0, 1], of a softmax (B, 1, *S).
    """
    masks = teacher.dropout_masks(passes)
    masks = torch.cat((torch.ones_like(masks[:1]), masks))
    rows = features.flatten(2)
    count = rows.shape[2]
    step = max(SLAB // (len(masks) * len(teacher.head.bias)), 1)
    classes, uncertainty = [], []
    for row in rows:
        for start in range(0, count, step):
            slab = row[None, :, start : start + step, None, None]
            logits = teacher.monte_carlo(slab, len(masks), masks=masks).float()[..., 0, 0]
            probability = logits.softmax(dim=2) if teacher.exclusive else logits.sigmoid()
            classes.append(_classes(probability[0, 0], overlaps=overlaps, softmax=teacher.exclusive))
            drawn = probability[1:]
            if variance:
                uncertainty.append(pass_variance(drawn, exclusive=teacher.exclusive)[0])
            else:
                uncertainty.append(normalised_entropy(drawn.mean(dim=0), exclusive=teacher.exclusive)[0])
    size = features.shape[2:]
    problems, channels = len(classes[0]), len(uncertainty[0])
    found = torch.cat(classes, dim=1).view(problems, len(rows), *size)
    return found, torch.cat(uncertainty, dim=1).view(channels, len(rows), *size).transpose(0, 1)


def _classes(probability: Tensor, *, overlaps: bool, softmax: bool) -> Tensor:
    """(C, N) probabilities to (P, N) int16 classes."""
    if overlaps:
        return (probability[int(softmax) :] > 0.5).short()
    largest, label = probability.max(dim=0, keepdim=True)
    return label.short() if softmax else torch.where(largest > 0.5, label + 1, 0).short()
