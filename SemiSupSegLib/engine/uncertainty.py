"""How sure the network is: what Monte Carlo dropout says about each voxel and label.

T passes with the head's dropout switched on give T probabilities p_t of a label (Gal & Ghahramani, ICML 2016). With
the binary entropy H(p) = -(p ln p + (1 - p) ln(1 - p)) / ln 2, in bits and therefore in [0, 1],

* predictive entropy  U = H(mean_t p_t): all of the uncertainty;
* mutual information  I = H(mean_t p_t) - mean_t H(p_t): its epistemic part, what more annotations could remove
  (BALD, Houlsby et al. 2011); 0 <= I <= U as H is concave.

One map a label, also for a softmax over K labels and background: the label against everything else. (For a softmax
one could also report H of all K + 1 classes over ln(K + 1); it does not say which label is meant, so it is not what
the review uses.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..networks.segmentor import Segmentor

__all__ = ["binary_entropy", "monte_carlo_statistics", "mutual_information"]

SLAB = 1 << 20
"""Numbers per elementwise step: few enough to stay in a cache, enough to keep the processor's threads busy."""


def binary_entropy(probability: Tensor) -> Tensor:
    """H(p) in bits.

    Args:
        probability: any shape, in [0, 1].

    Returns:
        The same shape and type, in [0, 1]; 0 at 0 and at 1, 1 at one half.
    """
    entropy: Tensor = torch.special.entr(probability).add_(torch.special.entr(1 - probability))
    entropy.div_(math.log(2)).clamp_(0, 1)
    return entropy


def mutual_information(probability: Tensor, entropy: Tensor) -> Tensor:
    """I = H(mean p) - mean H(p) in bits, never below 0 whatever the rounding.

    Args:
        probability: mean probability over the passes, any shape, in [0, 1].
        entropy: mean over the passes of each pass's binary entropy, same shape.
    """
    return (binary_entropy(probability) - entropy).clamp_(min=0)


def monte_carlo_statistics(segmentor: Segmentor, features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean probability and mean entropy of T passes of the head over features that were computed once.

    The head looks at one voxel at a time, so the passes are made for a slab of voxels after the other: what they need
    is never larger than a cache, whatever the volume.

    Args:
        segmentor: whose ``monte_carlo`` applies the head; nothing but the head's dropout is random.
        features: (1, F, *S) of ``segmentor.features``.
        masks: (T, F) of ``segmentor.dropout_masks``, T >= 1; the same for all windows of a volume.

    Returns:
        (K, *S) float32 mean of p_t, and (K, *S) float32 mean of H(p_t), both in [0, 1].
    """
    voxels = features.flatten(2)
    passes, count = len(masks), voxels.shape[2]
    means: tuple[Tensor, Tensor] | None = None
    start = 0
    while start < count:
        step = SLAB // (passes * (means[0].shape[0] if means else 32))
        slab = voxels[:, :, start : start + max(step, 1), None, None]
        logits = segmentor.monte_carlo(slab, passes, masks=masks).float()
        p = segmentor.probabilities(logits)
        entropy = binary_entropy(p) if segmentor.exclusive else _entropy_of_logits(logits, p)
        if means is None:
            means = p.new_empty(p.shape[2], count), p.new_empty(p.shape[2], count)
        for mean, value in zip(means, (p, entropy), strict=True):
            mean[:, start : start + slab.shape[2]] = value[:, 0, :, :, 0, 0].mean(0)
        start += slab.shape[2]
    assert means is not None
    probability, entropy = (mean.clamp_(0, 1).view(-1, *features.shape[2:]) for mean in means)
    return probability, entropy


def _entropy_of_logits(logits: Tensor, probability: Tensor) -> Tensor:
    """H(sigmoid(z)) = -(ln sigmoid(-z) + z sigmoid(z)) / ln 2: one logarithm instead of two, and exact in the tails."""
    other = torch.sigmoid(-logits).clamp_(min=torch.finfo(logits.dtype).tiny)
    return other.log_().addcmul_(logits, probability).mul_(-1 / math.log(2))
