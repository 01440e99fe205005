"""Channel dropout before the last convolution, and the Monte Carlo passes that it gives.

Dropout of whole channels followed by a 1x1x1 convolution is a 1x1x1 convolution with the dropped columns of its weight
set to zero. So nothing is multiplied at full resolution: T passes are one convolution with T times as many outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ChannelDropoutHead"]


class ChannelDropoutHead(nn.Module):
    """``Dropout3d(p)`` and a 1x1x1 convolution, as one.

    Gal, Ghahramani, "Dropout as a Bayesian approximation", ICML 2016; whole channels as in UA-MT (Yu et al., 2019).

    Args:
        features: Number F of incoming channels.
        outputs: Number C of outgoing channels.
        dropout: Probability that a channel is left out, [0, 1).
    """

    def __init__(self, features: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.weight = nn.Parameter(torch.empty(outputs, features))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)  # what nn.Conv3d does

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """(count, F) float32: 0 for a channel that is left out, 1 / (1 - p) for one that stays."""
        where = generator.device if generator else None
        chance = torch.rand(count, self.weight.shape[1], generator=generator, device=where)
        return (chance >= self.dropout).float().to(self.weight.device) / (1 - self.dropout)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, *S) to (B, C, *S); in training each patch has its own channels left out."""
        if not self.training or self.dropout == 0:
            return _pointwise(features, self.weight, self.bias)
        masks = self.draw(features.shape[0])
        return _pointwise(features, self.weight * masks[:, None, :], self.bias)

    def passes(self, features: Tensor, masks: Tensor) -> Tensor:
        """Logits of T dropout passes, (T, B, C, *S); features (B, F, *S); masks (T, F) as :meth:`draw` gives them."""
        count, outputs = len(masks), len(self.bias)
        weight = (self.weight * masks[:, None, :]).flatten(0, 1)
        logits = _pointwise(features, weight, self.bias.repeat(count))
        return logits.reshape(len(logits), count, outputs, *logits.shape[2:]).transpose(0, 1)


def _pointwise(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(B, F, *S) to (B, C, *S), contiguous as the targets are; weight (C, F), or (B, C, F) with one for each patch."""
    batch, _, *size = features.shape
    weight = weight.to(features.dtype).expand(batch, -1, -1)
    columns = features.flatten(2)  # a view, also of channels-last features
    return torch.baddbmm(bias.to(features.dtype)[:, None], weight, columns).view(batch, -1, *size)
