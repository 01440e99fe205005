"""Normalisation and the activation after it, in one step, and how a MONAI network gets it.

torch normalises instances by copying channels-last volumes to another layout and back, which on a CPU was a third of a
training step. Here values stay in the layout and type in which the convolutions leave them; statistics are float32.

torch's channels-last kernels add a channel's voxels up one after the other in float32: over 200,000 voxels the
deviation is off by 4e-5 (more where the mean is far from 0). That is nothing beside bfloat16's rounding (4e-3), so they
are used there. In float32 it switched enough rectifiers to change gradients by 2e-3, so sums are pairwise there.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["InstanceNormActivation", "norm_activation", "replace_norms"]

_FEW_VOXELS = 2048
"""Below it the channels-last group norm is slower than normalising one sample after the other."""
_IN_CACHE = 65536
"""Numbers of which the squares are summed in one go, so that they need not leave the processor's cache."""


class InstanceNormActivation(nn.Module):
    """Instance normalisation with learned scale and shift, then a (leaky) rectifier.

    Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016. (B, C, *S) to the same shape and type; a channel of one
    voxel is normalised to its shift.

    Args:
        channels: Number of channels C.
        slope: Slope of the activation below 0: 0 for ReLU, 1 for none.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, slope: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.slope, self.eps = slope, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"{len(self.weight)}, slope={self.slope}"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, X, Y, Z) or, for slices, (B, C, X, Y) to the same."""
        if x.ndim == 4:
            return self.forward(x.unsqueeze(2)).squeeze(2)
        if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous():
            result: Tensor = _ChannelsLast.apply(x, self.weight, self.bias, self.eps, self.slope)  # type: ignore[no-untyped-call]
            return result
        if x[0, 0].numel() == 1:  # torch refuses one voxel; 0 * x keeps every parameter in the graph, as DDP wants it
            x = (0.0 * x * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)).to(x.dtype)
        else:
            x = F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        return _activate(x, self.slope)


class _ChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
        batch, channels, *size = x.shape
        voxels = size[0] * size[1] * size[2]
        if x.dtype == weight.dtype:
            y, mean, scale = _normalised(x, weight, bias, eps)
        elif voxels >= _FEW_VOXELS:
            y, mean, scale = torch.native_group_norm(x, weight, bias, batch, channels, voxels, channels, eps)
        else:
            y = torch.empty_like(x)
            mean, scale = weight.new_empty(2, batch, channels)
            for n in range(batch):
                torch.native_batch_norm(
                    x[n : n + 1], weight, bias, None, None, True, 0.0, eps, out=(y[n : n + 1], mean[n], scale[n])
                )
        y = _activate(y, slope)
        # Without an activation y is not needed, and what follows may change it in place (MONAI's activations do).
        ctx.save_for_backward(x, None if slope == 1 else y, weight, mean, scale)
        ctx.eps, ctx.slope = eps, slope
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, scale = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        if ctx.slope == 0:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0.0)
        elif ctx.slope != 1:
            gradient = torch.ops.aten.leaky_relu_backward(gradient, y, ctx.slope, True)
        to_x = torch.empty_like(x)
        to_weight, to_bias = weight.new_empty(2, *mean.shape)
        for n in range(len(x)):
            each = slice(n, n + 1)
            to_x[each], to_weight[n], to_bias[n] = torch.ops.aten.native_batch_norm_backward(
                gradient[each], x[each], weight, None, None, mean[n], scale[n], True, ctx.eps, [True, True, True]
            )
        return to_x, to_weight.sum(0), to_bias.sum(0), None, None


def _normalised(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The result, and per sample and channel the mean and 1 / deviation, from sums that are exact but for rounding."""
    rows = x.permute(0, 2, 3, 4, 1).flatten(1, 3)  # (B, V, C), without a copy
    mean = rows.mean(1)
    pieces = torch.split(rows, max(_IN_CACHE // (x.shape[0] * x.shape[1]), 1), dim=1)
    squares = torch.stack([(piece - mean[:, None]).square_().sum(1) for piece in pieces])
    variance = squares.sum(0) / rows.shape[1]
    y, nothing = torch.empty_like(x), x.new_empty(0)
    for n in range(x.shape[0]):
        torch.native_batch_norm(
            x[n : n + 1], weight, bias, mean[n], variance[n], False, 0.0, eps, out=(y[n : n + 1], nothing, nothing)
        )
    return y, mean, (variance + eps).rsqrt()


def _activate(x: Tensor, slope: float) -> Tensor:
    """In place: what was normalised is nobody else's."""
    if slope == 0:
        return x.relu_()
    return x if slope == 1 else F.leaky_relu_(x, slope)


def norm_activation(kind: str, channels: int, slope: float = 0.0, *, axes: int = 3) -> nn.Module:
    """Normalisation (``kind`` as in :attr:`NetworkConfig.norm`) with learned scale and shift, and its activation.

    axes: 3 for volumes, 2 for slices, each of which is then a sample of its own.
    """
    if kind == "instance":
        return InstanceNormActivation(channels, slope)
    activation = {0.0: nn.ReLU(inplace=True), 1.0: nn.Identity()}.get(slope) or nn.LeakyReLU(slope, inplace=True)
    if kind == "none":
        return activation
    return nn.Sequential(nn.BatchNorm2d(channels) if axes == 2 else nn.BatchNorm3d(channels), activation)


def replace_norms(network: nn.Module, kind: str, slope: float = 1.0) -> None:
    """Replace every batch or instance normalisation inside a network, in place, by :func:`norm_activation`.

    With a ``slope`` other than 1 the caller takes away the activations that stood behind them.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm3d | nn.InstanceNorm3d):
            setattr(network, name, norm_activation(kind, child.num_features, slope))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(network, name, norm_activation(kind, child.num_features, slope, axes=2))
        else:
            replace_norms(child, kind, slope)
