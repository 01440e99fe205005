"""What a network says at each voxel as probabilities of the background and of all labels: exclusive, or overlapping."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .reduce import exact, pieces

__all__ = ["exclusive_distribution", "independent_distribution"]


def exclusive_distribution(logits: Tensor, *, background: bool = False) -> Tensor:
    """What a network says of labels that exclude each other, as a distribution over the background and K labels.

    Of K sigmoids: they are independent; given that at most one label is there, label k has p_k proportional to
    s_k / (1 - s_k) = exp(z_k) and the background to 1: a softmax with background logit 0. Its likeliest class is the
    label with the largest sigmoid where that is above 0.5, and else the background: the rule of SMILE, and
    not the one of :mod:`..engine.decision`, by which sigmoids of exclusive labels share one probability.

    Args:
        logits: (B, K, *S) before the sigmoid, or (B, K + 1, *S) before the softmax.
        background: whether channel 0 is the background's logit.

    Returns:
        (B, K + 1, *S), background first, sums to 1; float32 (float64 for float64 logits).
    """
    if logits.device.type != "cpu":
        logits = exact(logits)
        return (logits if background else torch.cat((torch.zeros_like(logits[:, :1]), logits), dim=1)).softmax(dim=1)
    distribution: Tensor = _ExclusiveDistribution.apply(logits, background)  # type: ignore[no-untyped-call]
    return distribution


def independent_distribution(logits: Tensor) -> Tensor:
    """K sigmoids of labels that may overlap, with the probability that none is there before them.

    Args:
        logits: (B, K, *S) before the sigmoid.

    Returns:
        (B, K + 1, *S): prod(1 - s_k), s_1 ... s_K; it does not sum to 1. float32 (float64 for float64 logits).
    """
    logits = exact(logits)
    nothing = -torch.nn.functional.softplus(logits).sum(dim=1, keepdim=True)
    return torch.cat((nothing.exp(), logits.sigmoid()), dim=1)


class _ExclusiveDistribution(torch.autograd.Function):
    """A softmax, some voxels at a time, which stay in a CPU's cache: no copy of the logits as float32, none with a
    background logit of 0."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, background: bool) -> Tensor:
        """(B, K, *S) or, with the background, (B, K + 1, *S) to (B, K + 1, *S)."""
        kind = torch.float64 if logits.dtype == torch.float64 else torch.float32
        ctx.kind, ctx.first = logits.dtype, 0 if background else 1
        result = torch.empty((len(logits), ctx.first + logits.shape[1], *logits.shape[2:]), dtype=kind)
        for row, into in zip(logits.flatten(2), result.flatten(2), strict=True):
            for voxels in pieces(row.shape[1], row.device):
                z = row[:, voxels].to(kind)
                highest = z.amax(dim=0) if background else z.amax(dim=0).clamp_(min=0)
                e = (z - highest).exp_()
                whole = e.sum(dim=0)
                if not background:
                    nothing = highest.neg().exp_()
                    whole += nothing
                    into[0, voxels] = nothing.div_(whole)
                into[ctx.first :, voxels] = e.div_(whole)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """p (g - sum p g) of what came in."""
        (distribution,) = ctx.saved_tensors
        result = torch.empty_like(distribution[:, ctx.first :], dtype=ctx.kind)
        for p, g, into in zip(distribution.flatten(2), gradient.flatten(2), result.flatten(2), strict=True):
            for voxels in pieces(p.shape[1], p.device):
                weighted = p[:, voxels] * g[:, voxels]
                own = weighted[ctx.first :].addcmul(p[ctx.first :, voxels], weighted.sum(dim=0), value=-1)
                into[:, voxels] = own
        return result, None
