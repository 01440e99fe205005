"""Losses that score only what is known. Partial annotation enters training here and nowhere else.

Terms are masked after the activation, per label: masking logits before a softmax would change the probabilities of what
is known.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .label_sums import binary_sums, exclusive_sums
from .reduce import check_same_shape, exact, mean_over_processes, sum_over_processes

__all__ = ["added_positives", "marginal_cross_entropy", "masked_bce", "masked_dice", "segmentation_terms"]


def masked_bce(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Binary cross-entropy over known voxels, one binary problem per label (SMILE).

    Petit, Thome, Charnoz, Hostettler, Soler, "Handling missing annotations for semantic segmentation with deep
    ConvNets", DLMIA 2018: L = sum_k w_k BCE(y_k, y*_k). The paper leaves the normalisation open; here each label's sum
    is divided by its weight, so that a label that is known in few cases counts as much as one that is known in all,
    and the labels that have any weight are averaged.

    Args:
        logits: (B, K, *S) float, before the sigmoid.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0; 0 where it is not known whether the label is there.

    Returns:
        Scalar, float32 (float64 for float64 logits). 0, with gradient 0, when nothing is known. Averaged over
        processes as DistributedDataParallel does, it is the same whatever way the cases fall on them.

    Raises:
        ValueError: the three shapes differ.
    """
    check_same_shape(logits=logits, target=target, weight=weight)
    logits = exact(logits)
    weight = weight.to(logits.dtype)
    per_voxel = F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")
    known = mean_over_processes(_per_label(weight))
    # Where the weight is 0 an infinite loss must not become NaN: 0 * inf.
    scored = _per_label(torch.where(weight > 0, per_voxel * weight, 0.0))
    return _mean_of_labels(scored / _at_least_one(known), known > 0)


def masked_dice(probability: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Soft Dice loss over known voxels, 1 - 2 sum(p y) / (sum p + sum y), sums over the batch of all processes.

    Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, in the form without squares; restricted to annotated labels as
    MultiTalent (Ulrich et al., MICCAI 2023) does: the caller leaves out of ``known`` what is only known because another
    label is there.

    Args:
        probability: (B, K, *S) float in [0, 1].
        target: (B, K, *S) bool: where the label is.
        known: (B, K, *S) bool: which voxels count.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 input): mean over labels that have a known positive voxel
        somewhere in the batch of all processes. 0, with gradient 0, when no label has one.

    Raises:
        ValueError: the three shapes differ.
    """
    check_same_shape(probability=probability, target=target, known=known)
    probability = exact(probability)
    positive = target & (known > 0)
    volume = sum_over_processes(_per_label(torch.where(known > 0, probability, 0.0)))
    overlap = sum_over_processes(_per_label(torch.where(positive, probability, 0.0)))
    reference = sum_over_processes(_per_label(positive.to(probability.dtype)))
    return _dice_loss(volume, overlap, reference)


def added_positives(log_probability: Tensor, added: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of positives that a relabelling round added (SMILEr).

    Petit et al., DLMIA 2018, Algorithm 1 sets w = 1 and y = +1 at these voxels, in a sum over all voxels. So each
    counts as one voxel of its patch and no more: divided by their own number, as :func:`masked_bce` does with what is
    known, patches without a single negative would teach that the label is everywhere.

    Args:
        log_probability: (B, K, *S) float <= 0: log of the probability of each label.
        added: (B, K, *S) bool: where a round put the label.
        valid: (B, 1, *S) bool: voxels of the image; others do not count.

    Returns:
        Scalar >= 0, float32 (float64 for float64 input): per label the sum over added voxels divided by the number of
        valid ones, averaged over the labels that have any. 0, with gradient 0, when nothing was added.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(log_probability=log_probability, added=added)
    check_same_shape(added=added[:, :1], valid=valid)
    log_probability, added = exact(log_probability), added & valid
    voxels = mean_over_processes(valid.sum()).to(log_probability.dtype)
    some = mean_over_processes(_per_label(added.to(log_probability.dtype))) > 0
    scored = _per_label(torch.where(added, -log_probability, 0.0))
    return _mean_of_labels(scored / _at_least_one(voxels), some)


def marginal_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of exclusive labels of which some are not annotated: -log P(all that is still possible).

    Shi, Xiao, Chen, Zhou, "Marginal loss and exclusion loss for partially supervised multi-organ segmentation",
    Medical Image Analysis 2021, the marginal loss per voxel. Possible is the label that is known to be there, or else
    the background and every label that is not known to be absent. With all labels known it is the cross-entropy.

    Args:
        logits: (B, K + 1, *S) float, before the softmax; channel 0 is the background.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0; 0 where it is not known whether the label is there.

    Returns:
        Scalar, float32 (float64 for float64 logits): mean over voxels at which anything is known, each weighed by the
        largest of its weights. 0, with gradient 0, when nothing is known.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(target=target, weight=weight)
    check_same_shape(logits=logits[:, 1:], target=target)
    logits = exact(logits)
    weight = weight.to(logits.dtype)
    known = weight > 0
    there = target & known
    settled = there.any(dim=1, keepdim=True)
    possible = torch.cat((~settled, torch.where(settled, there, ~known)), dim=1)
    nothing = torch.finfo(logits.dtype).min
    log_possible = logits.masked_fill(~possible, nothing).logsumexp(dim=1) - logits.logsumexp(dim=1)
    per_voxel_weight = weight.amax(dim=1)
    total = mean_over_processes(per_voxel_weight.sum())
    scored = torch.where(per_voxel_weight > 0, -log_possible * per_voxel_weight, 0.0)
    return scored.sum() / _at_least_one(total)


def segmentation_terms(
    logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor, *, exclusive: bool
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and soft Dice of the same logits, at a fraction of the time and memory of both by themselves.

    The targets may be people's or a teacher's. See :mod:`.label_sums`.

    Args:
        logits: as :func:`masked_bce` takes them, or with ``exclusive`` as :func:`marginal_cross_entropy` does.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0: of the cross-entropy.
        scored: (B, K, *S) bool: which voxels count for Dice.
        exclusive: whether the labels exclude each other, in a softmax with a background.

    Returns:
        What :func:`masked_bce` (or :func:`marginal_cross_entropy`) and :func:`masked_dice` give, each 0 with gradient 0
        when nothing counts.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(target=target, weight=weight, scored=scored)
    check_same_shape(logits=logits[:, 1:] if exclusive else logits, target=target)
    loss, volume, overlap = (exclusive_sums if exclusive else binary_sums)(logits, target, weight, scored)
    if exclusive:
        cross_entropy = loss / _at_least_one(mean_over_processes(weight.amax(dim=1).to(loss.dtype).sum()))
    else:
        known = mean_over_processes(_count(weight, loss.dtype))
        cross_entropy = _mean_of_labels(loss / _at_least_one(known), known > 0)
    reference = _count(target & scored, loss.dtype)
    return cross_entropy, _dice_loss(*map(sum_over_processes, (volume, overlap, reference)))


def _dice_loss(volume: Tensor, overlap: Tensor, reference: Tensor) -> Tensor:
    """Of sums over all processes, (K,)."""
    return _mean_of_labels(1 - 2 * overlap / (volume + reference).clamp(min=1), reference > 0)


def _count(values: Tensor, kind: torch.dtype) -> Tensor:
    """(B, K, *S) bool or float summed to (K,), without a copy of bools as numbers."""
    if values.dtype != torch.bool:
        return _per_label(values).to(kind)
    if values.device.type == "cpu":  # where a count along axes takes twenty times as long as one of everything
        return torch.stack([values[:, label].count_nonzero() for label in range(values.shape[1])]).to(kind)
    return values.count_nonzero(dim=(0, *range(2, values.ndim))).to(kind)


def _per_label(values: Tensor) -> Tensor:
    """(B, K, *S) summed to (K,)."""
    return values.sum(dim=(0, *range(2, values.ndim)))


def _at_least_one(count: Tensor) -> Tensor:
    """1 where nothing was counted. A mean over processes may lie between 0 and 1, which must not be rounded up."""
    return torch.where(count > 0, count, 1.0)


def _mean_of_labels(per_label: Tensor, counted: Tensor) -> Tensor:
    return torch.where(counted, per_label, 0.0).sum() / counted.sum().clamp(min=1)
