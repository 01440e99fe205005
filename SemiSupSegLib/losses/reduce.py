"""Sums over voxels and over processes, so that a loss does not depend on how cases fall on processes.

DistributedDataParallel averages gradients over W processes. A term normalized by a *local* count would weigh the cases
of a nearly empty process too much; one normalized by the global count must be multiplied by W to survive the average.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

__all__ = ["check_same_shape", "exact", "mean_over_processes", "pieces", "sum_over_processes"]

VOXELS = 4096
"""Of a piece, which with all its labels fits a CPU's cache."""


def check_same_shape(**tensors: Tensor) -> None:
    """Refuse tensors of different shapes.

    Raises:
        ValueError: the message names each tensor with its shape.
    """
    if len({t.shape for t in tensors.values()}) > 1:
        found = ", ".join(f"{name} {tuple(t.shape)}" for name, t in tensors.items())
        msg = f"shapes must agree: {found}"
        raise ValueError(msg)


def exact(values: Tensor) -> Tensor:
    """At least float32: a sum over a million bfloat16 voxels would keep two digits."""
    return values if values.dtype == torch.float64 else values.float()


def pieces(voxels: int, device: torch.device) -> Iterator[slice]:
    """Voxels that are taken at once, one after the other; a GPU, which has no use for small pieces, takes all."""
    size = VOXELS if device.type == "cpu" else max(voxels, 1)
    yield from (slice(start, start + size) for start in range(0, voxels, size))


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def mean_over_processes(count: Tensor) -> Tensor:
    """Mean of a count over processes (the count itself in one process). Without gradient.

    A local sum divided by this, averaged over processes as DDP does, is the global sum over the global count.
    """
    count = count.detach().to(torch.float32 if count.dtype != torch.float64 else torch.float64)
    if _distributed():
        count = count.clone()
        dist.all_reduce(count)
        count /= dist.get_world_size()
    return count


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004  torch's signature
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004  torch's signature
        # Every process computes the same function of the sum; DDP will divide by W, so W copies of the
        # gradient are right.
        return gradient * dist.get_world_size()


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum of a tensor over processes, with the gradient that DDP's averaging turns into the true one."""
    if not _distributed():
        return value
    result: Tensor = _SumOverProcesses.apply(value)  # type: ignore[no-untyped-call]
    return result
