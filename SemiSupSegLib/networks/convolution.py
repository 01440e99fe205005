"""Convolution whose gradients are fast where a volume has become small and wide.

oneDNN (3.12) computes the weights' gradient of the deep levels at a fifth of the machine's matrix-multiply rate, and
both gradients of a strided convolution slower still. There the neighbours of every voxel fit into the cache, and the
convolution is one matrix product with them.

Where the kernel is larger than the volume along an axis, its bfloat16 gradient of the weights reads memory that nobody
wrote, and is now and then not a number (``Testing/torch/test_convolution.py`` shows it). There it is float32.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Convolution", "SliceConvolution", "use_fast_convolutions"]

_SMALL = 2048
"""Voxels of a batch, after the convolution, up to which the weights' gradient is a matrix product."""
_SMALLEST = 512
"""Voxels of a batch up to which the image's gradient is as well; of a strided one, it always is."""

Triple = tuple[int, int, int]


class Convolution(nn.Conv3d):
    """``nn.Conv3d`` with another way to the same gradients on CPUs, in bfloat16 and channels-last."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to (B, C', X', Y', Z')."""
        if not self._applies(input):
            return _in_float32(self, input) if _kernel_exceeds(self, input) else super().forward(input)
        weight = self.weight.to(torch.bfloat16, memory_format=torch.channels_last_3d)
        result: Tensor = _MatrixProduct.apply(  # type: ignore[no-untyped-call]
            input.to(torch.bfloat16), weight, self.stride, self.padding
        )
        return result if self.bias is None else result + self.bias.to(result.dtype).view(1, -1, 1, 1, 1)

    def _applies(self, x: Tensor) -> bool:
        """Whether it is a plain convolution, on the right kind of small volume, in bfloat16."""
        if x.device.type != "cpu" or min(self.weight.shape[:2]) < 64 or isinstance(self.padding, str):
            return False
        plain = self.padding_mode == "zeros" and self.dilation == (1, 1, 1) and self.groups == 1
        size = _size_after(x, self.weight, self.stride, self.padding)
        if not plain or min(size) < 1 or len(x) * size[0] * size[1] * size[2] > _SMALL:
            return False
        return _is_bfloat16(x) and x.is_contiguous(memory_format=torch.channels_last_3d)


class SliceConvolution(nn.Conv2d):
    """``nn.Conv2d`` whose gradients are finite where the kernel is larger than the slice, on CPUs in bfloat16."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, X, Y) to (B, C', X', Y')."""
        return _in_float32(self, input) if _kernel_exceeds(self, input) else super().forward(input)


class _MatrixProduct(torch.autograd.Function):
    """A convolution as the product of all voxels' neighbours with the weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
        """(B, C, X, Y, Z) to (B, C', X', Y', Z'), both channels-last, without a bias."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        size = _size_after(x, weight, stride, padding)
        y = torch.empty((len(x), len(weight), *size), dtype=x.dtype, memory_format=torch.channels_last_3d)
        torch.mm(_neighbours(x, weight, stride, padding), _matrix(weight).T, out=_rows(y))
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the image and of the weights, each only when it is asked for."""
        (x, weight), stride, padding = ctx.saved_tensors, ctx.stride, ctx.padding
        gradient = gradient.contiguous(memory_format=torch.channels_last_3d)
        rows, to_weight, to_x = _rows(gradient), None, None
        if ctx.needs_input_grad[1]:
            flat = rows.T @ _neighbours(x, weight, stride, padding)
            to_weight = flat.view(len(weight), *weight.shape[2:], -1).permute(0, 4, 1, 2, 3)
        if ctx.needs_input_grad[0]:
            if len(rows) <= _SMALLEST or max(stride) > 1:
                to_x = _scattered(rows @ _matrix(weight), x, weight, stride, padding)
            else:
                one, none = [1, 1, 1], [0, 0, 0]
                to_x, *_ = torch.ops.aten.convolution_backward(
                    gradient, x, weight, None, stride, padding, one, False, none, 1, [True, False, False]
                )
        return to_x, to_weight, None, None


def _is_bfloat16(x: Tensor) -> bool:
    """Whether a convolution of it would be computed in bfloat16 on the CPU."""
    reduced = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.device.type == "cpu" and (x.dtype == torch.bfloat16 or reduced)


def _kernel_exceeds(convolution: nn.Conv2d | nn.Conv3d, x: Tensor) -> bool:
    """Whether the weights' gradient is wanted, in bfloat16, and an axis is shorter than the kernel."""
    wanted = torch.is_grad_enabled() and convolution.weight.requires_grad
    return wanted and any(n < k for n, k in zip(x.shape[2:], convolution.kernel_size, strict=True)) and _is_bfloat16(x)


def _in_float32(convolution: nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    bias = convolution.bias
    with torch.autocast("cpu", enabled=False):
        y: Tensor = convolution._conv_forward(
            x.float(), convolution.weight.float(), None if bias is None else bias.float()
        )
    return y.to(torch.bfloat16)


def _size_after(x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> tuple[int, ...]:
    """X', Y', Z'."""
    axes = zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True)
    return tuple((n + 2 * pad - kernel) // step + 1 for n, kernel, step, pad in axes)


def _matrix(weight: Tensor) -> Tensor:
    """(C', C, *kernel) channels-last as (C', kernel C), without a copy."""
    return weight.permute(0, 2, 3, 4, 1).reshape(weight.shape[0], -1)


def _rows(x: Tensor) -> Tensor:
    """(B, C, X, Y, Z) channels-last as (B X Y Z, C), without a copy."""
    return x.permute(0, 2, 3, 4, 1).view(-1, x.shape[1])


def _neighbours(x: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
    """(B, C, X, Y, Z) to (B X' Y' Z', kernel C): the voxels under the kernel, zero outside. A row along Z is
    contiguous."""
    (p, q, r), (i, j, k) = padding, weight.shape[2:]
    padded = F.pad(x.permute(0, 2, 3, 4, 1), (0, 0, r, r, q, q, p, p))
    batch, *steps, channel = padded.stride()
    size = _size_after(x, weight, stride, padding)
    shape = (len(x), *size, i, j, k * x.shape[1])
    over = [n * step for n, step in zip(steps, stride, strict=True)]
    return padded.as_strided(shape, (batch, *over, steps[0], steps[1], channel)).reshape(-1, weight[0].numel())


def _scattered(rows: Tensor, like: Tensor, weight: Tensor, stride: Triple, padding: Triple) -> Tensor:
    """Transpose of :func:`_neighbours`: (B X' Y' Z', kernel C) added up to the shape of ``like``, sums in float32."""
    batch, channels, *full = like.shape
    kernel, size = weight.shape[2:], _size_after(like, weight, stride, padding)
    parts = rows.float().view(batch, *size, *kernel, channels)
    total = torch.zeros(batch, *(n + 2 * pad for n, pad in zip(full, padding, strict=True)), channels)
    for at in product(*map(range, kernel)):
        x, y, z = (slice(a, a + n * step, step) for a, n, step in zip(at, size, stride, strict=True))
        total[:, x, y, z] += parts[:, :, :, :, at[0], at[1], at[2]]
    for axis, (n, pad) in enumerate(zip(full, padding, strict=True), start=1):
        total = total.narrow(axis, pad, n)
    return total.to(like.dtype).permute(0, 4, 1, 2, 3)


def use_fast_convolutions(network: nn.Module) -> None:
    """Let every plain ``nn.Conv3d`` inside a network be a :class:`Convolution`, every plain ``nn.Conv2d`` a
    :class:`SliceConvolution`; parameters stay what they are."""
    for module in network.modules():
        if type(module) is nn.Conv3d:
            module.__class__ = Convolution
        elif type(module) is nn.Conv2d:
            module.__class__ = SliceConvolution
