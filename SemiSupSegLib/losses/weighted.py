"""Cross-entropy with median-frequency weights, and Dice with the background: what NonAdjLoss was published with.

Ganaye, Sdika, Benoit-Cattin, MICCAI 2018: L = L_CE(weighted) + 5 L_Dice + lambda L_NA. Weights after Eigen, Fergus,
"Predicting depth, surface normals and semantic labels with a common multi-scale convolutional architecture", ICCV 2015.
Labels exclude each other. Partly known voxels are ours: the classes that are still possible there are one class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .label_sums import counted, exclusive_sums
from .reduce import check_same_shape, exact, mean_over_processes, sum_over_processes

__all__ = ["batch_dice", "median_frequency", "weighted_cross_entropy", "with_background"]


def median_frequency(frequency: Tensor) -> Tensor:
    """Frequencies of classes relative to their median; a class's weight is one over it.

    Args:
        frequency: (C,) >= 0, voxels or shares of each class over the training cases, background first.

    Returns:
        (C,) float64, above 0. The median is over classes that occur; one that never does counts like the rarest of
        those, so that its weight is finite. Ones when none occurs.
    """
    frequency = frequency.double()
    occurs = frequency > 0
    if not occurs.any():
        return torch.ones_like(frequency)
    seen = frequency[occurs]
    return frequency.clamp(min=float(seen.min())) / seen.quantile(0.5)


def weighted_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, frequency: Tensor) -> Tensor:
    """Marginal cross-entropy in which each voxel counts as rare as its class is: mean of w (-log P), over sum of w.

    Where all is known, P and w = 1 / r_c are those of the voxel's class. Where only some labels are known to be
    absent, the background and all others are one class: P sums over them, and so does r. The marginal loss of Shi,
    Xiao, Chen, Zhou, Medical Image Analysis 2021, with weights.

    Args:
        logits: (B, K + 1, *S) float, before the softmax; channel 0 is the background.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0; 0 where it is not known whether the label is there.
        frequency: (K + 1,) above 0, r of :func:`median_frequency`.

    Returns:
        Scalar, float32 (float64 for float64 logits). 0, with gradient 0, when nothing is known.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(target=target, weight=weight)
    check_same_shape(logits=logits[:, 1:], target=target)
    check_same_shape(classes=logits.flatten(2)[0, :, 0], frequency=frequency)
    known = counted(weight)
    rarity = _rarity(target & known, known, frequency.to(logits.device, exact(logits[:0]).dtype))
    total = mean_over_processes((weight.amax(dim=1).to(rarity.dtype) / rarity).sum())
    scored, _, _ = exclusive_sums(logits, target, weight, torch.zeros_like(target), 1 / rarity)
    return scored / torch.where(total > 0, total, 1.0)


def batch_dice(probability: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Soft Dice loss over all classes, 1 - 2 sum(p y) / (sum p + sum y), sums over the batch of all processes.

    As published it has no smoothing term and counts classes that the batch does not hold: with 1, and gradient 0.
    0 / 0, where such a class is predicted nowhere, is 1 here too. Unlike
    :func:`~SemiSupSegLib.losses.masked.masked_dice`, which leaves such classes out.

    Args:
        probability: (B, C, *S) float in [0, 1].
        target: (B, C, *S) bool: where the class is.
        known: (B, C, *S) bool: which voxels count; see :func:`with_background`.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 input): mean over classes of which anything is known in the
        batch of all processes. 0, with gradient 0, when nothing is known.

    Raises:
        ValueError: the three shapes differ.
    """
    check_same_shape(probability=probability, target=target, known=known)
    probability = exact(probability)
    if probability.device.type == "cpu":
        sums: tuple[Tensor, ...] = _DiceSums.apply(probability, target, known)  # type: ignore[no-untyped-call]
    else:
        axes, positive = (0, *range(2, probability.ndim)), target & known
        counts = (torch.where(part, probability, 0.0) for part in (positive, known))
        sums = tuple(one.sum(axes).to(probability.dtype) for one in (*counts, positive, known))
    overlap, volume, reference, counted = (sum_over_processes(one) for one in sums)
    counted = counted > 0
    size = volume + reference
    dice = 2 * overlap / torch.where(size > 0, size, 1.0)
    return torch.where(counted, 1 - dice, 0.0).sum() / counted.sum().clamp(min=1)


class _DiceSums(torch.autograd.Function):
    """Sums of p y, p, y and 1 over the known voxels of each class, on a CPU. Of a patch that nobody annotated nothing
    is known, and elsewhere mostly all: neither is gone through voxel by voxel. One copy of the probabilities at most.
    """

    @staticmethod
    def forward(ctx: Any, probability: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, ...]:
        """Four of shape (C,)."""
        ctx.save_for_backward(target, known)
        ctx.kind = probability.dtype
        sums = probability.new_zeros((4, probability.shape[1]))
        for row, channel in _volumes(known):
            p, y, here = (part[row, channel] for part in (probability, target, known))
            positive = y & here
            sums[0, channel] += p[positive].sum()
            sums[1, channel] += p.sum() if bool(here.all()) else p[here].sum()
            sums[2, channel] += positive.count_nonzero()
            sums[3, channel] += here.count_nonzero()
        overlap, volume, reference, counted = (one.clone() for one in sums)
        ctx.mark_non_differentiable(reference, counted)
        return overlap, volume, reference, counted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_overlap: Tensor, of_volume: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the probabilities: the same number wherever a class is, and where it is not."""
        target, known = ctx.saved_tensors
        gradient = torch.zeros(target.shape, dtype=ctx.kind, device=target.device)
        for row, channel in _volumes(known):
            y, here = target[row, channel], known[row, channel]
            into = gradient[row, channel].fill_(of_volume[channel])
            into[y] += of_overlap[channel]
            if not bool(here.all()):
                into.masked_fill_(~here, 0.0)
        return gradient, None, None


def _volumes(known: Tensor) -> Iterator[tuple[int, int]]:
    """Row and channel of the volumes of which anything is known."""
    yield from known.flatten(2).any(dim=2).nonzero().tolist()


def with_background(target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Targets and what is known of them, with the background as channel 0.

    Args:
        target: (B, K, *S) bool: where the label is.
        known: (B, K, *S) bool: where that is known.

    Returns:
        Twice (B, K + 1, *S) bool. The background is known to be absent where a label is, and known to be there where
        all labels are known to be absent.
    """
    there = (target & known).any(dim=1, keepdim=True)
    nothing = known.all(dim=1, keepdim=True) & ~there
    return torch.cat((nothing, target & known), dim=1), torch.cat((there | nothing, known), dim=1)


def _rarity(there: Tensor, known: Tensor, frequency: Tensor) -> Tensor:
    """(B, *S): of the label that is there, or else of the background and all that is not known to be absent, summed; 1
    where nothing is known of a patch."""
    background, labels = frequency[0], frequency[1:]
    result = torch.ones_like(known[:, 0], dtype=labels.dtype)
    for y, here, into in zip(there, known, result, strict=True):
        if not here.any():
            continue
        possible = background.expand_as(into)
        if not here.all():
            possible = possible + (labels @ (~here).flatten(1).to(labels.dtype)).view_as(into)
        own = (labels @ y.flatten(1).to(labels.dtype)).view_as(into)
        into.copy_(torch.where(y.any(dim=0), own, possible))
    return result
