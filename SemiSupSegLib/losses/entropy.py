"""Entropy of predictions: how undecided a network is, between 0 and 1 whatever the number of classes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .reduce import check_same_shape, mean_over_processes

__all__ = ["mean_entropy", "normalised_entropy"]


def mean_entropy(logits: Tensor, mask: Tensor, *, exclusive: bool) -> Tensor:
    """Mean normalised entropy of a network's predictions, to be made small where nobody says what is there.

    Grandvalet, Bengio, "Semi-supervised learning by entropy minimization", NIPS 2004, eq. 5, divided by its largest
    value. It pushes every prediction to a decision, right or wrong: weigh it lightly.

    Args:
        logits: (B, C, *S) float: before the sigmoid, one binary problem a channel; or before the softmax.
        mask: bool, where predictions count: (B, C, *S), with ``exclusive`` (B, 1, *S).
        exclusive: whether the channels are the classes of one softmax, C >= 2.

    Returns:
        Scalar in [0, 1], float32 (float64 for float64 logits): for sigmoids the mean of H(p) / ln 2 over what the mask
        holds, for a softmax of H(p) / ln C. 0, with gradient 0, for an empty mask. Averaged over processes as
        DistributedDataParallel does, it is the same whatever way the cases fall on them.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_same_shape(logits=logits[:, :1] if exclusive else logits, mask=mask)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logits = torch.where(mask, logits, 0.0)  # before anything else: an infinite logit must not reach the gradient
    entropy = _softmax_entropy(logits) if exclusive else _sigmoid_entropy(logits)
    count = mean_over_processes(mask.sum())
    return torch.where(mask, entropy, 0.0).sum() / torch.where(count > 0, count, 1.0)


def normalised_entropy(probability: Tensor, *, exclusive: bool) -> Tensor:
    """Normalised entropy of probabilities, to decide by; for training there is :func:`mean_entropy`.

    Args:
        probability: (B, C, *S) float in [0, 1]; with ``exclusive`` they add up to 1 over C >= 2.
        exclusive: whether the channels are the classes of one distribution.

    Returns:
        (B, C, *S) H(p) / ln 2 of each channel by itself; with ``exclusive`` (B, 1, *S) H(p) / ln C. In [0, 1], of the
        same type.
    """
    entropy: Tensor = torch.special.entr(probability)
    if exclusive:
        entropy = entropy.sum(dim=1, keepdim=True) / math.log(probability.shape[1])
    else:
        entropy = (entropy + torch.special.entr(1 - probability)) / math.log(2)
    return entropy.clamp(0, 1)


def _sigmoid_entropy(logits: Tensor) -> Tensor:
    """H(sigmoid(z)) / ln 2 = (ln(1 + exp(-|z|)) + |z| sigmoid(-|z|)) / ln 2: nothing large is subtracted."""
    size = logits.abs()
    return (F.softplus(-size) + size * torch.sigmoid(-size)) / math.log(2)


def _softmax_entropy(logits: Tensor) -> Tensor:
    """H(softmax(z)) / ln C, (B, C, *S) to (B, 1, *S)."""
    log_probability = logits.log_softmax(dim=1)
    entropy = -(log_probability.exp() * log_probability).sum(dim=1, keepdim=True)
    return entropy / math.log(logits.shape[1])
