"""Channel dropout before the last convolution, and the Monte Carlo passes that it gives.

Dropout of whole channels followed by a 1x1x1 convolution is a 1x1x1 convolution with the dropped columns of its weight
set to zero. So nothing is multiplied at full resolution: T passes are one convolution with T times as many outputs.
"""

from __future__ import annotations

from typing import Any

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
    batch, count, *size = features.shape
    weight, bias = weight.to(features.dtype).expand(batch, -1, -1), bias.to(features.dtype)
    rows = features.movedim(1, -1)
    if features.device.type == "cpu" and rows.is_contiguous():
        product: Tensor = _RowsToPlanes.apply(rows.view(batch, -1, count), weight, bias)  # type: ignore[no-untyped-call]
    else:
        product = torch.baddbmm(bias[:, None], weight, features.flatten(2))
    return product.view(batch, -1, *size)


class _RowsToPlanes(torch.autograd.Function):
    """(B, V, F) rows, (B, C, F) weights, (C,) biases to (B, C, V); gradients come in rows, as the backbone has them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return torch.baddbmm(bias[:, None], weight, rows.transpose(1, 2))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_rows = gradient.transpose(1, 2) @ weight if ctx.needs_input_grad[0] else None
        return to_rows, gradient @ rows, gradient.sum(dim=(0, 2))
