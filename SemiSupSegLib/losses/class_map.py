"""Class maps: what is known, or believed, of each voxel, as one class instead of one answer a label.

Letters: P problems, C classes of each; B, K, *S as in ``data.batch``. Labels that exclude each other are one problem
with the classes 0 (background) to K; labels that may overlap are K problems with two classes, 0 (absent) and 1 (there).
A class map holds the class of each voxel, -1 where it is not known.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .reduce import check_same_shape

__all__ = ["UNKNOWN", "class_map", "quarrelling", "targets"]

UNKNOWN = -1
"""In class maps."""


def class_map(target: Tensor, known: Tensor, *, overlaps: bool) -> Tensor:
    """What is known of each voxel, as one class a problem.

    Args:
        target: (B, K, *S) bool: where each label is.
        known: (B, K, *S) bool: where it is known whether it is.
        overlaps: one problem a label; else one for all labels, of which at most one is at a voxel.

    Returns:
        (P, B, *S) int16. For exclusive labels k + 1 where label k is known to be, 0 where every label is known to be
        absent, -1 elsewhere: an organ that nobody looked for is no background.

    Raises:
        ValueError: the two shapes differ.
    """
    check_same_shape(target=target, known=known)
    if overlaps:
        return torch.where(known, target.short(), UNKNOWN).transpose(0, 1)
    there = target & known
    numbers = torch.arange(1, target.shape[1] + 1, dtype=torch.int16, device=target.device)
    label = (there * numbers.view(-1, *(1,) * (target.ndim - 2))).amax(dim=1)
    return torch.where(there.any(dim=1) | known.all(dim=1), label, UNKNOWN)[None]


def targets(classes: Tensor, labels: int, *, overlaps: bool) -> tuple[Tensor, Tensor]:
    """Inverse of :func:`class_map`: (P, B, *S) to where labels are, and where that is said, both (B, K, *S) bool."""
    if overlaps:
        return (classes == 1).transpose(0, 1), (classes != UNKNOWN).transpose(0, 1)
    numbers = torch.arange(1, labels + 1, dtype=classes.dtype, device=classes.device)
    target = classes[0, :, None] == numbers.view(-1, *(1,) * (classes.ndim - 2))
    return target, (classes[0, :, None] != UNKNOWN).expand_as(target)


def quarrelling(target: Tensor, excludes: Tensor) -> Tensor:
    """Labels at voxels where another one was found that excludes them.

    Args:
        target: (B, K, *S) bool: where each label was found.
        excludes: (K, K) bool, symmetric: whether two labels exclude each other.

    Returns:
        (B, K, *S) bool.
    """
    found = target.movedim(1, -1)
    several = found.sum(dim=-1) > 1
    both = torch.zeros_like(found)
    both[several] = found[several] & (found[several].float() @ excludes.float() > 0)
    return both.movedim(-1, 1)
