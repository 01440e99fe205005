"""Embedding matching: what a teacher is sure of, and labels for the rest from reference voxels that look alike.

Xie, Willems, Lessmann, Gibbons, De Massari, "Semi-supervised segmentation via embedding matching", MIDL 2024. Only
what the abstract says could be read: voxels of reliable predictions are pseudo-labels, the others get the label of
matching reference voxels of labelled images. Every formula and number here is ours.

Letters: P problems and C classes of each, as in ``losses.class_map``; R references of a class, F features, N voxels; B,
K, *S as in ``data.batch``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .class_map import UNKNOWN

__all__ = [
    "draw_references",
    "draw_voxels",
    "match",
    "near_border",
    "pass_variance",
    "reliable",
    "unit_embeddings",
]

SIMILARITIES = 1 << 22
"""Similarities that are held at a time: 16 MB, 8192 voxels against 512 references."""


def pass_variance(probability: Tensor, *, exclusive: bool) -> Tensor:
    """Variance over Monte Carlo passes, summed over classes and divided by the largest that it can be, 1 - 1/C.

    Args:
        probability: (T, B, C, *S) float in [0, 1] of T passes.
        exclusive: whether the channels are the classes of one distribution; else each is a problem of two classes.

    Returns:
        (B, C, *S), with ``exclusive`` (B, 1, *S), in [0, 1]; 0 for one pass. Half of the passes sure of one class and
        half of another give 1 for two classes.
    """
    variance = probability.var(dim=0, correction=0)
    if exclusive:
        return variance.sum(dim=1, keepdim=True) / (1 - 1 / variance.shape[1])
    return 4 * variance


def reliable(uncertainty: Tensor, threshold: float) -> Tensor:
    """Where the uncertainty, in [0, 1], is below the threshold: nowhere for 0, everywhere for 1 or more."""
    return torch.ones_like(uncertainty, dtype=torch.bool) if threshold >= 1 else uncertainty < threshold


def near_border(classes: Tensor, radius: int = 2) -> Tensor:
    """Voxels with another known class within a box of ``radius`` voxels around them.

    Args:
        classes: (P, B, *S) int16 class maps; what is unknown makes no border.
        radius: at least 1.

    Returns:
        (P, B, *S) bool; False where the class is unknown.
    """
    largest = torch.iinfo(classes.dtype).max
    highest = _over_window(classes, radius, torch.maximum)  # unknown is -1, below every class
    lowest = _over_window(torch.where(classes == UNKNOWN, largest, classes), radius, torch.minimum)
    return (classes != UNKNOWN) & ((highest != classes) | (lowest != classes))


def _over_window(values: Tensor, radius: int, extreme: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Largest or smallest value in the box around each voxel, one axis of *S after the other."""
    for axis in range(2, values.ndim):
        best, size = values.clone(), values.shape[axis]
        for shift in range(1, min(radius, size - 1) + 1):
            for to, start in ((0, shift), (shift, 0)):
                part = best.narrow(axis, to, size - shift)
                part.copy_(extreme(part, values.narrow(axis, start, size - shift)))
        values = best
    return values


def draw_references(classes: Tensor, agreeing: Tensor, near: Tensor, count: int, *, number: int) -> Tensor:
    """Voxels that stand for their class: half of them near its border, where the mistakes are, half from all of it.

    Drawn by torch's default generator. A class with few voxels near its border is filled up from the rest of it.

    Args:
        classes: (P, B, *S) int16 class maps.
        agreeing: (P, B, *S) bool: where the teacher says the same; what it gets wrong would mislead.
        near: (P, B, *S) bool of :func:`near_border`.
        count: references wanted of each class, at least 2.
        number: C.

    Returns:
        (P, C, count) int64 positions in the flattened (B, *S), all different; -1 for what there was not enough of.
    """
    drawn = torch.full((len(classes), number, count), -1, dtype=torch.int64, device=classes.device)
    for problem, (own, right, border) in enumerate(zip(classes, agreeing, near, strict=True)):
        candidates = torch.where(right, own, UNKNOWN).flatten()
        counts = torch.bincount((candidates - UNKNOWN).int(), minlength=number + 1)[1:]
        for label in counts.nonzero()[:, 0].tolist():
            own = candidates == label
            first = _some((own & border.flatten()).nonzero()[:, 0], count // 2)
            rest = _some(own.nonzero()[:, 0], count)
            taken = torch.cat((first, rest[~torch.isin(rest, first)]))[:count]
            drawn[problem, label, : len(taken)] = taken
    return drawn


def draw_voxels(mask: Tensor, most: int) -> Tensor:
    """At most so many voxels of each patch, drawn by torch's default generator.

    Args:
        mask: (B, *S) bool: among which.
        most: of each patch.

    Returns:
        (N,) int64 positions in the flattened (B, *S), all different.
    """
    rows = mask.flatten(1)
    return torch.cat([_some(row.nonzero()[:, 0], most) + b * rows.shape[1] for b, row in enumerate(rows)])


def _some(voxels: Tensor, most: int) -> Tensor:
    """At most so many of the voxels (N,), in random order, all different."""
    if len(voxels) > 16 * most:  # shuffling all of them would take longer than what is done with them
        drawn = torch.randint(len(voxels), (4 * most,), device=voxels.device)
        voxels = voxels[drawn.unique()]  # type: ignore[no-untyped-call]
    return voxels[torch.randperm(len(voxels), device=voxels.device)[:most]]


def unit_embeddings(features: Tensor, positions: Tensor) -> Tensor:
    """Features of single voxels, scaled to length 1; the map as a whole is never copied.

    Args:
        features: (B, F, *S) float.
        positions: any shape, int64, in the flattened (B, *S).

    Returns:
        (*positions.shape, F) float32 (float64 for float64 features); a feature vector of zeros stays 0.
    """
    maps = features.flatten(2)
    found = maps[positions // maps.shape[2], :, positions % maps.shape[2]]
    return F.normalize(found if found.dtype == torch.float64 else found.float(), dim=-1)


def match(
    embedding: Tensor,
    references: Tensor,
    there: Tensor,
    *,
    neighbours: int = 5,
    similarity: float = 0.7,
    margin: float = 0.6,
) -> Tensor:
    """Class of each voxel by a vote of the references that are nearest to it, or none where they are far or divided.

    The votes are the k nearest references of all classes by cosine similarity s, a class's weight is the sum of its s,
    and the heaviest class is taken if the best s reaches ``similarity`` and its number of votes exceeds the next
    class's by ``margin`` x k or more. References of exactly the k-th similarity all vote, so that their order does not
    matter; a class never has more than k votes. A class takes part if it has k references. Without class 0
    (background, or absent), or with nothing but it, no voxel is matched: whatever is unknown would become the same.

    Args:
        embedding: (N, F) float of length 1, as :func:`unit_embeddings` gives it.
        references: (C, R, F) of the same type, of length 1.
        there: (C, R) bool: which of them are.
        neighbours: k, at least 1.
        similarity: least cosine similarity of the nearest, [-1, 1].
        margin: share of k, [0, 1]; a tie is never accepted.

    Returns:
        (N,) int16 classes, -1 for a voxel that is not matched.
    """
    takes_part = there.sum(dim=1) >= neighbours
    matched = torch.full((len(embedding),), UNKNOWN, dtype=torch.int16, device=embedding.device)
    if not takes_part[:1].any() or not takes_part[1:].any():
        return matched
    numbers = takes_part.nonzero()[:, 0].short()
    references, there = references[takes_part], there[takes_part]
    step = max(SIMILARITIES // there.numel(), 1)
    with torch.autocast(embedding.device.type, enabled=False):  # bfloat16 would make ties of what is merely alike
        for start in range(0, len(embedding), step):
            nearest = _nearest(embedding[start : start + step], references, there, neighbours)
            winner, accepted = _vote(nearest, neighbours, similarity, margin)
            matched[start : start + step] = torch.where(accepted, numbers[winner], UNKNOWN)
    return matched


def _nearest(embedding: Tensor, references: Tensor, there: Tensor, neighbours: int) -> Tensor:
    """(N, C, k) similarities of the k nearest references of each class, best first."""
    similarity = embedding @ references.flatten(0, 1).T
    similarity.masked_fill_(~there.flatten(), -torch.inf)
    return similarity.view(-1, *there.shape).topk(neighbours, dim=2).values


def _vote(nearest: Tensor, neighbours: int, similarity: float, margin: float) -> tuple[Tensor, Tensor]:
    """(N,) index of the heaviest class, and whether it is accepted; see :func:`match`."""
    last = nearest.flatten(1).topk(neighbours, dim=1).values[:, -1]
    votes = nearest >= last[:, None, None]
    weight = torch.where(votes, nearest, 0.0).sum(dim=2)
    counts = votes.sum(dim=2)
    winner = weight.argmax(dim=1)
    own = counts.gather(1, winner[:, None])
    others = counts.scatter(1, winner[:, None], 0).amax(dim=1)
    lead = own[:, 0] - others
    best = nearest[:, :, 0].amax(dim=1)
    # 0.6 x 5 is a little more than 3 in floating point
    return winner, (best >= similarity) & (lead > 0) & (lead >= margin * neighbours - 1e-6)
