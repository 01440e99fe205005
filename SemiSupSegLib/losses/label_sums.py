"""Sums over voxels of which cross-entropy and Dice are made, in pieces that fit a processor's cache.

Written in one go, the losses of 140 labels go some forty times through tensors of B x K x voxels, which takes six times
as long as the network itself. Here each piece is taken through all of it once, forward and again backward; nothing but
logits and masks is kept in between. ``Testing/benchmarks/bench_losses.py`` prints both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .reduce import exact, pieces

__all__ = ["LabelSums", "binary_sums", "counted", "exclusive_sums"]

LabelSums = tuple[Tensor, Tensor, Tensor]
"""Weighted cross-entropy; probabilities of the voxels that are scored; those of scored voxels that are the label."""
SOFT = 40.0
"""From here on log(1 + exp(z)) is z, in float64 too."""
LARGE = 1e30


def counted(weight: Tensor) -> Tensor:
    """Bool, the same shape: where a weight, bool or float >= 0, is above 0. Comparing bools would copy them."""
    return weight if weight.dtype == torch.bool else weight > 0


def binary_sums(logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor) -> LabelSums:
    """Per label, of sigmoids.

    Args:
        logits: (B, K, *S) float, before the sigmoid.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0, of the cross-entropy; where it is 0 an infinite one does not count.
        scored: (B, K, *S) bool: which voxels count for Dice.

    Returns:
        Three of shape (K,), float32 (float64 for float64 logits); 0 for a label of which nothing counts.
    """
    found: LabelSums = _BinarySums.apply(logits, target, weight, scored)  # type: ignore[no-untyped-call]
    return found


def exclusive_sums(
    logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor, of_voxels: Tensor | None = None
) -> LabelSums:
    """Of a softmax; the cross-entropy is the marginal one of all labels together.

    Args:
        logits: (B, K + 1, *S) float, before the softmax; channel 0 is the background.
        target: (B, K, *S) bool: where the label is.
        weight: (B, K, *S) bool, or float >= 0; see :func:`.masked.marginal_cross_entropy`.
        scored: (B, K, *S) bool: which voxels count for Dice.
        of_voxels: (B, *S) float >= 0: by how much more each voxel counts in the cross-entropy; None: all alike.

    Returns:
        A scalar and two of shape (K,), float32 (float64 for float64 logits).
    """
    found: LabelSums = _ExclusiveSums.apply(logits, target, weight, scored, of_voxels)  # type: ignore[no-untyped-call]
    return found


class _BinarySums(torch.autograd.Function):
    """Label by label: of each, one channel of the patches is at hand. Masks count as numbers 0 and 1, since a product
    of vectors is several times as fast as a choice."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor) -> LabelSums:
        """Three sums a label; only what came in is kept."""
        logits = logits.contiguous()  # channels-last would be read as a whole for each label
        ctx.save_for_backward(logits, target, weight, scored)
        found = []
        for label in range(logits.shape[1]):
            z, t, w, s = _channel_of(label, logits, target, weight, scored)
            p = z.sigmoid()
            loss = w.dot(F.softplus(z, threshold=SOFT)) - w.mul(t).dot(z)
            found.append(torch.stack((loss, s.dot(p), s.mul_(t).dot(p))))
        loss, volume, overlap = torch.stack(found, dim=1)
        return loss, volume, overlap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor, of_volume: Tensor, of_overlap: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the logits, from the sigmoids computed once more."""
        logits, target, weight, scored = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for label in range(logits.shape[1]):
            z, t, w, s = _channel_of(label, logits, target, weight, scored)
            p = z.sigmoid()
            of_p = s.mul(t).mul_(of_overlap[label]).addcmul_(s, of_volume[label])
            slope = of_p.mul_(p.addcmul(p, p, value=-1)).addcmul_(w.mul(of_loss[label]), p.sub_(t))
            gradient[:, label] = slope.view_as(gradient[:, label])
        return gradient, None, None, None


def _channel_of(label: int, logits: Tensor, *others: Tensor) -> Iterator[Tensor]:
    """One label of logits and masks, (B x voxels,) numbers of the same kind; infinite logits become very large ones, as
    0 times infinity is no number."""
    z = exact(logits[:, label]).flatten().clamp(-LARGE, LARGE)
    return iter((z, *(other[:, label].to(z.dtype).flatten() for other in others)))


class _ExclusiveSums(torch.autograd.Function):
    """Some voxels at a time, with all their labels."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor, of_voxels: Tensor | None
    ) -> LabelSums:
        """Sums over all pieces; only what came in is kept."""
        ctx.save_for_backward(logits, target, weight, scored, of_voxels)
        kind = torch.float64 if logits.dtype == torch.float64 else torch.float32
        sums = torch.zeros((2, target.shape[1]), dtype=kind, device=logits.device)
        loss = sums.new_zeros(())
        for where, z, t, w, s in _pieces(logits, target, weight, scored):
            p, everything = _softmax(z)
            heaviest = _heaviest(w, of_voxels, where, kind)
            loss += torch.where(heaviest > 0, (everything - _possible(z, t, w)) * heaviest, 0.0).sum()
            if s is not None:
                inside = p[1:].masked_fill_(~s, 0)
                sums[0] += inside.sum(dim=1)
                sums[1] += inside.masked_fill_(~t, 0).sum(dim=1)
        return loss, sums[0], sums[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_loss: Tensor, of_volume: Tensor, of_overlap: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the logits, from the softmax computed once more."""
        logits, target, weight, scored, of_voxels = ctx.saved_tensors
        gradient = torch.zeros(logits.shape, dtype=logits.dtype, device=logits.device)
        for (row, voxels), z, t, w, s in _pieces(logits, target, weight, scored):
            p, heaviest = _softmax(z)[0], _heaviest(w, of_voxels, (row, voxels), z.dtype)
            slope = torch.where(heaviest > 0, of_loss * heaviest, 0.0)
            if s is not None:
                dice = torch.where(s, of_volume[:, None] + of_overlap[:, None] * t, 0.0).mul_(p[1:])
                piece = p * (slope - dice.sum(dim=0))
                piece[1:] += dice
            else:
                piece = p.mul_(slope)
            gradient[row].flatten(1)[:, voxels] = _minus_possible(piece, slope, z, t, w)
        return gradient, None, None, None, None


def _heaviest(w: Tensor, of_voxels: Tensor | None, where: tuple[int, slice], kind: torch.dtype) -> Tensor:
    """(n,) the weights of a piece's voxels: the largest of their labels', and their own."""
    heaviest = w.amax(dim=0).to(kind)
    return heaviest if of_voxels is None else heaviest * of_voxels[where[0]].flatten()[where[1]].to(kind)


def _any(values: Tensor) -> bool:
    """Whether anything is not 0, on a CPU; a GPU is not waited for to save it work."""
    return values.device.type != "cpu" or bool(values.any())


def _softmax(z: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (K + 1, n), and the logarithm of the sum of exponentials (n,), with one exponential a number."""
    highest = z.amax(dim=0)
    e = (z - highest).exp_()
    whole = e.sum(dim=0)
    return e.div_(whole), highest + whole.log()


def _possible(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """(n,) logarithm of the sum of exponentials of what may be there: the label that is known to be, or the background
    and all that is not ruled out."""
    channel = _settled(t, w)
    return _masked(z, t, w).logsumexp(dim=0) if channel is None else z.gather(0, channel[None])[0]


def _minus_possible(piece: Tensor, slope: Tensor, z: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """``piece`` without the gradient of :func:`_possible`; ``piece`` is used up."""
    channel = _settled(t, w)
    if channel is None:
        return piece - slope * _masked(z, t, w).softmax(dim=0)
    return piece.scatter_add_(0, channel[None], -slope[None])


def _settled(t: Tensor, w: Tensor) -> Tensor | None:
    """(n,) the one channel that may be there, 0 where no label is; None when something is unknown or has two labels."""
    if not bool(counted(w).all()):
        return None
    numbers = torch.arange(1, len(t) + 1, dtype=torch.float32, device=t.device)
    channel, count = torch.stack((numbers, torch.ones_like(numbers))) @ t.float()  # a search in booleans is slow
    return channel.long() if bool((count <= 1).all()) else None


def _pieces(
    logits: Tensor, target: Tensor, weight: Tensor, scored: Tensor
) -> Iterator[tuple[tuple[int, slice], Tensor, Tensor, Tensor, Tensor | None]]:
    """Where a piece is, its logits (K + 1, n), and the others (K, n), of the rows in which anything counts; None for
    what is scored where that is nothing."""
    for row in range(len(logits)):
        some = _any(scored[row])
        if not some and not _any(weight[row]):
            continue
        z, t, w, s = (part[row].flatten(1) for part in (logits, target, weight, scored))
        for at in pieces(z.shape[1], z.device):
            yield (row, at), exact(z[:, at]).contiguous(), t[:, at], w[:, at], s[:, at] if some else None


def _masked(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
    """Logits of what may be there, the lowest number elsewhere."""
    known = counted(w)
    there = t & known
    settled = there.any(dim=0, keepdim=True)
    possible = torch.cat((~settled, torch.where(settled, there, ~known)))
    return z.masked_fill(~possible, torch.finfo(z.dtype).min)
