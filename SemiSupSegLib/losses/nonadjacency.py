"""NonAdjLoss: labels that never touch in the annotated cases should not touch in a prediction.

Ganaye, Sdika, Benoit-Cattin, "Semi-supervised learning for segmentation under semantic constraint", MICCAI 2018, and
"Removing segmentation inconsistencies with semi-supervised non-adjacency constraint", Medical Image Analysis 2019:
A_ij = 1/(N |S|) sum_x p_i(x) q_j(x), where q_j is the mean of p_j over a box around x, and L_NA = 1/n_F sum F_ij A_ij.
The box holds its centre, so that a voxel split between two such labels counts too. Published in the plane of a slice
(3x3); in three dimensions (3x3x3), without the centre, and relative to all contacts are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .reduce import check_same_shape, mean_over_processes, sum_over_processes

__all__ = [
    "contacts",
    "non_adjacency",
    "relative_non_adjacency",
    "soft_adjacency",
]

CHUNK = 2**24
"""Numbers of q that exist at a time: 64 MB. All of them at once would be another copy of the probabilities."""


def soft_adjacency(
    probability: Tensor, valid: Tensor | None = None, *, slice_axis: int | None = None, exclude_center: bool = False
) -> Tensor:
    """The soft adjacency matrix A: how often labels touch, per voxel.

    Args:
        probability: (B, C, X, Y, Z) float in [0, 1].
        valid: (B, 1, X, Y, Z) bool; what is False counts as outside the image, where nothing is. None: all of it.
        slice_axis: None for the 3x3x3 box; 0, 1 or 2 for 3x3 in the plane that this axis is normal to.
        exclude_center: without the voxel itself: neighbours alone.

    Returns:
        (C, C) in [0, 1], symmetric, float32 (float64 for float64 input). Averaged over processes it is the matrix of
        all their patches. Zeros when no voxel is valid. It is computed outside autocast, with memory for one copy of
        the probabilities in the backward pass and 64 MB beside.

    Raises:
        ValueError: a wrong number of axes, an unknown axis, or ``valid`` of another size.
    """
    if valid is None:
        voxels = probability.new_tensor(probability[:, 0].numel(), dtype=torch.float64)
    else:
        voxels = valid.sum(dtype=torch.float64)
    total = contacts(probability, valid, slice_axis=slice_axis, exclude_center=exclude_center)
    count = mean_over_processes(voxels).to(total.dtype)
    return total / torch.where(count > 0, count, 1.0)


def contacts(
    probability: Tensor, valid: Tensor | None = None, *, slice_axis: int | None = None, exclude_center: bool = False
) -> Tensor:
    """sum_x p_i(x) q_j(x), (C, C) in voxels, of this process alone; arguments as :func:`soft_adjacency` takes them."""
    if probability.ndim != 5 or slice_axis not in (None, 0, 1, 2):
        msg = f"expected (B, C, X, Y, Z) and a slice axis 0, 1, 2 or None: {tuple(probability.shape)}, {slice_axis}"
        raise ValueError(msg)
    if valid is not None:
        check_same_shape(probability=probability[:, :1], valid=valid)
    axes = tuple(axis + 2 for axis in range(3) if axis != slice_axis)
    with torch.autocast(probability.device.type, enabled=False):
        probability = probability if probability.dtype == torch.float64 else probability.float()
        total: Tensor = _Contacts.apply(probability.contiguous(), valid, axes, exclude_center)  # type: ignore[no-untyped-call]
    return total


def non_adjacency(adjacency: Tensor, forbidden: Tensor) -> Tensor:
    """L_NA as published: mean of A over forbidden pairs.

    Args:
        adjacency: (C, C) from :func:`soft_adjacency`.
        forbidden: (C, C) bool, symmetric; each pair counts twice in n_F.

    Returns:
        Scalar in [0, 1 / n_F]: with many labels 1e-6 or less. 0, with gradient 0, when no pair is forbidden.

    Raises:
        ValueError: the two shapes differ.
    """
    check_same_shape(adjacency=adjacency, forbidden=forbidden)
    return torch.where(forbidden, adjacency, 0.0).sum() / forbidden.sum().clamp(min=1)


def relative_non_adjacency(adjacency: Tensor, forbidden: Tensor) -> Tensor:
    """The share of all contacts that is forbidden, sum F A / sum A: L_NA in a unit that means something.

    Args:
        adjacency: (C, C) from :func:`soft_adjacency`.
        forbidden: (C, C) bool, symmetric.

    Returns:
        Scalar in [0, 1], over the patches of all processes. 0, with gradient 0, when no pair is forbidden or nothing
        touches anything.

    Raises:
        ValueError: the two shapes differ.
    """
    check_same_shape(adjacency=adjacency, forbidden=forbidden)
    against = torch.where(forbidden, adjacency, 0.0).sum()
    sums = sum_over_processes(torch.stack((against, adjacency.sum())))
    return sums[0] / torch.where(sums[1] > 0, sums[1], 1.0)


class _Contacts(torch.autograd.Function):
    """P Q^T with Q a few channels at a time. The box is its own adjoint, and so is the product: one half of it is
    enough, and dP = box((G + G^T) P) needs no Q either."""

    @staticmethod
    def forward(
        ctx: Any, probability: Tensor, valid: Tensor | None, axes: tuple[int, ...], exclude_center: bool
    ) -> Tensor:
        """The matrix, (C, C)."""
        ctx.save_for_backward(probability, valid)
        ctx.box = axes, exclude_center
        flat, classes = probability.flatten(2), probability.shape[1]
        total = probability.new_zeros(classes, classes)
        for part in _chunks(probability):
            near = _box_means(probability[:, part], valid, axes, exclude_center=exclude_center)
            total[: part.stop, part] = (flat[:, : part.stop] @ near.flatten(2).transpose(1, 2)).sum(dim=0)
        return total.triu() + total.triu(1).T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the probabilities."""
        probability, valid = ctx.saved_tensors
        axes, exclude_center = ctx.box
        result = torch.empty_like(probability)
        with torch.autocast(probability.device.type, enabled=False):  # the loop's backward pass runs under autocast
            both_ways = gradient + gradient.T
            for row, into in zip(probability, result, strict=True):
                torch.mm(both_ways, row.flatten(1), out=into.flatten(1))
            for part in _chunks(probability):
                result[:, part] = _box_means(result[:, part], valid, axes, exclude_center=exclude_center)
        return result, None, None, None


def _chunks(probability: Tensor) -> Iterator[slice]:
    """Slices of channels that hold at most :data:`CHUNK` numbers, at least one channel each."""
    channels = probability.shape[1]
    count = max(CHUNK * channels // max(probability.numel(), 1), 1)
    return (slice(start, min(start + count, channels)) for start in range(0, channels, count))


def _box_means(values: Tensor, valid: Tensor | None, axes: tuple[int, ...], *, exclude_center: bool) -> Tensor:
    """:func:`_box_mean`; on a CPU volume by volume, as one fits the cache, through which it goes several times."""
    result = torch.empty_like(values)
    if values.device.type != "cpu":
        return _box_mean(values, valid, axes, result, torch.empty_like(values), exclude_center=exclude_center)
    scratch = torch.empty_like(values[:1, :1])
    for row in range(len(values)):
        where = slice(row, row + 1)
        mask = None if valid is None or bool(valid[row].all()) else valid[where]
        for channel in range(values.shape[1]):
            one = (where, slice(channel, channel + 1))
            _box_mean(values[one], mask, axes, result[one], scratch, exclude_center=exclude_center)
    return result


def _box_mean(
    values: Tensor,
    valid: Tensor | None,
    axes: tuple[int, ...],
    result: Tensor,
    scratch: Tensor,
    *,
    exclude_center: bool,
) -> Tensor:
    """Mean over the box around each voxel, zero outside: ``avg_pool3d(values, 3, 1, 1)`` (a tenth of its time on CPU).

    A sum over three voxels along each axis in turn is the sum over the box; of zeros and ones it is exact. ``result``
    is filled; ``scratch`` is of the same size.
    """
    values = values if valid is None else torch.where(valid, values, 0.0)
    total = values
    for turn, axis in enumerate(axes):
        total = _three(total, axis, result if (len(axes) - turn) % 2 else scratch)
    if exclude_center:
        total -= values
    total /= 3 ** len(axes) - exclude_center
    return total if valid is None else total.masked_fill_(~valid, 0.0)


def _three(values: Tensor, axis: int, result: Tensor) -> Tensor:
    """Sum of each voxel and its two neighbours along an axis, zero outside."""
    before, after = values[_from(axis, None, -1)], values[_from(axis, 1, None)]
    torch.add(before, after, out=result[_from(axis, None, -1)])
    result[_from(axis, -1, None)] = values[_from(axis, -1, None)]
    result[_from(axis, 1, None)] += before
    return result


def _from(axis: int, start: int | None, stop: int | None) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))
