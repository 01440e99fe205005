"""ConfidenceHead: from a frozen segmentor's features and probabilities to how likely each of its answers is right.

The idea of INERRANT (Petit et al., Computerized Medical Imaging and Graphics 2021): voxels to relabel are ranked by a
learned confidence instead of by the raw score. Its architecture is not in the abstract; this one is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .segmentor import Segmentor

__all__ = ["ConfidenceHead", "ConfidentSegmentor"]

SUREST = 3.0
"""Logit at which the segmentor's own sureness is cut off (p = 0.95): where it is flat, nothing could be learned."""


class ConfidenceHead(nn.Module):
    """A 3x3x3 and a 1x1x1 convolution, added to the segmentor's own sureness max(p, 1 - p), which it begins as.

    No gradient leaves it: the segmentor learns nothing from it. There is no normalisation in it, so that windows of a
    volume agree wherever their features do.

    Args:
        features: Number F of the segmentor's features.
        labels: Number K of labels.
        hidden: Channels between the two convolutions.
    """

    def __init__(self, features: int, labels: int, hidden: int = 16) -> None:
        super().__init__()
        self.features, self.labels, self.hidden = features, labels, hidden
        self.inner = nn.Conv3d(features + labels, hidden, 3, padding=1, padding_mode="replicate")
        self.outer = nn.Conv3d(hidden, labels, 1)
        for parameter in self.outer.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, probability: Tensor) -> Tensor:
        """Confidence of each label's answer.

        Args:
            features: (B, F, *S) of :meth:`Segmentor.features`.
            probability: (B, K, *S) of :meth:`Segmentor.probabilities`, in [0, 1].

        Returns:
            (B, K, *S) float32 in [0, 1].
        """
        features, probability = features.detach(), probability.detach().float()
        sureness = torch.maximum(probability, 1 - probability).logit(eps=1e-6).clamp(max=SUREST)
        inner = F.leaky_relu(self.inner(torch.cat((features, probability.to(features.dtype)), dim=1)), 0.01)
        confidence: Tensor = (sureness + self.outer(inner).float()).sigmoid()
        return confidence


class ConfidentSegmentor(nn.Module):
    """A segmentor with 2 K channels: K probabilities, then their K confidences. Inference takes it as any other.

    Args:
        segmentor: frozen.
        confidence: the head that was trained on it.
    """

    def __init__(self, segmentor: Segmentor, confidence: ConfidenceHead) -> None:
        super().__init__()
        self.segmentor, self.confidence = segmentor, confidence
        self.multiple = segmentor.multiple

    def features(self, image: Tensor) -> Tensor:
        """(B, F, *S) of the segmentor."""
        return self.segmentor.features(image)

    def head(self, features: Tensor) -> Tensor:
        """(B, 2 K, *S) float32 in [0, 1]; already probabilities."""
        probability = self.segmentor.probabilities(self.segmentor.head(features))
        return torch.cat((probability, self.confidence(features, probability)), dim=1)

    def probabilities(self, head: Tensor) -> Tensor:
        """What :meth:`head` gave."""
        return head
