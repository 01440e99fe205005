"""3x3x3 convolution whose gradient is fast where a volume has become small and wide.

oneDNN (3.12) computes the weights' gradient of the deep levels at a fifth of the machine's matrix-multiply rate. There
the 27 neighbours of every voxel fit into the cache, and the convolution is one matrix product with them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Convolution", "use_fast_convolutions"]

_SMALL = 2048
"""Voxels of a batch up to which the weights' gradient is a matrix product."""
_SMALLEST = 512
"""Voxels of a batch up to which the other two products are as well."""


class Convolution(nn.Conv3d):
    """``nn.Conv3d`` with another way to the same gradients on CPUs, in bfloat16 and channels-last."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, C', X, Y, Z)."""
        if not self._applies(input):
            return super().forward(input)
        weight = self.weight.to(torch.bfloat16, memory_format=torch.channels_last_3d)
        result: Tensor = _MatrixProduct.apply(input.to(torch.bfloat16), weight)  # type: ignore[no-untyped-call]
        return result if self.bias is None else result + self.bias.to(result.dtype).view(1, -1, 1, 1, 1)

    def _applies(self, x: Tensor) -> bool:
        """Whether it is the right kind of convolution, on the right kind of small volume, in bfloat16."""
        if x.device.type != "cpu" or x.numel() // x.shape[1] > _SMALL or min(self.weight.shape[:2]) < 64:
            return False
        reduced = x.dtype == torch.bfloat16 or (
            torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )
        same = self.kernel_size == (3, 3, 3) and self.padding == (1, 1, 1) and self.padding_mode == "zeros"
        plain = self.stride == (1, 1, 1) and self.dilation == (1, 1, 1) and self.groups == 1
        return reduced and same and plain and x.is_contiguous(memory_format=torch.channels_last_3d)


class _MatrixProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        y = torch.empty(
            (len(x), len(weight), *x.shape[2:]), dtype=x.dtype, memory_format=torch.channels_last_3d
        )
        torch.mm(_neighbours(x), _matrix(weight).T, out=_rows(y))
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        rows = _rows(gradient)
        to_weight = (rows.T @ _neighbours(x)).view(weight.shape[0], 3, 3, 3, -1).permute(0, 4, 1, 2, 3)
        if not ctx.needs_input_grad[0]:
            return None, to_weight
        if len(rows) <= _SMALLEST:
            return _scattered(rows @ _matrix(weight), x), to_weight
        one, none = [1, 1, 1], [0, 0, 0]
        to_x, *_ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, one, one, one, False, none, 1, [True, False, False]
        )
        return to_x, to_weight


def _matrix(weight: Tensor) -> Tensor:
    """(C', C, 3, 3, 3) channels-last as (C', 27 C), without a copy."""
    return weight.permute(0, 2, 3, 4, 1).reshape(weight.shape[0], -1)


def _rows(x: Tensor) -> Tensor:
    """(B, C, X, Y, Z) channels-last as (B X Y Z, C), without a copy."""
    return x.permute(0, 2, 3, 4, 1).view(-1, x.shape[1])


def _neighbours(x: Tensor) -> Tensor:
    """(B, C, X, Y, Z) to (B X Y Z, 27 C): the 27 voxels around each, zero outside. A row of three is contiguous."""
    padded = F.pad(x.permute(0, 2, 3, 4, 1), (0, 0, 1, 1, 1, 1, 1, 1))
    batch, *size, channels = padded.shape
    strides = padded.stride()
    shape = (batch, *(n - 2 for n in size), 3, 3, 3 * channels)
    return padded.as_strided(shape, (*strides[:4], strides[1], strides[2], 1)).reshape(-1, 27 * channels)


def _scattered(rows: Tensor, like: Tensor) -> Tensor:
    """Transpose of :func:`_neighbours`: (B X Y Z, 27 C) added up to the shape of ``like``, sums in float32."""
    batch, channels, *(x, y, z) = like.shape
    parts = rows.float().view(batch, x, y, z, 3, 3, 3, channels)
    total = torch.zeros(batch, x + 2, y + 2, z + 2, channels)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                total[:, i : i + x, j : j + y, k : k + z] += parts[:, :, :, :, i, j, k]
    return total[:, 1:-1, 1:-1, 1:-1].to(like.dtype).permute(0, 4, 1, 2, 3)


def use_fast_convolutions(network: nn.Module) -> None:
    """Let every plain ``nn.Conv3d`` inside a network be a :class:`Convolution`; parameters stay what they are."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = Convolution
