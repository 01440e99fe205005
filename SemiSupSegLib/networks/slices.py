"""Slicewise: a 2D network for volumes. Each slice is a sample, its neighbours along the slice axis are its channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Slicewise"]


class Slicewise(nn.Module):
    """(B, M, X, Y, Z) to (B, F, X, Y, Z), slice by slice.

    With a ``reach`` above 0 the first and last slices see their own neighbours once more where the volume ends
    (reflection, as NonAdjLoss pads its volumes). A patch or a window ends like a volume: its ``reach`` outer slices are
    computed from reflected ones. Prediction gives the outer slices of a window next to no weight beside those of the
    window that overlaps it (``engine/windows.py``), so it is only the volume's own ends that are seen so.

    Args:
        network: (N, (2 reach + 1) M, U, V) to (N, F, U, V).
        axis: 0, 1 or 2: the axis across the slices; U and V are the two others.
        reach: neighbours on each side that a slice sees.
    """

    def __init__(self, network: nn.Module, axis: int, reach: int = 0) -> None:
        super().__init__()
        self.network, self.axis, self.reach = network, axis, reach

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"axis={self.axis}, reach={self.reach}"

    def forward(self, image: Tensor) -> Tensor:
        """All slices of a batch in one pass of the 2D network."""
        slices = image.movedim(2 + self.axis, 1)  # (B, S, M, U, V)
        batch, count, *_ = slices.shape
        if self.reach:
            slices = slices[:, _neighbours(count, self.reach, image.device)].flatten(2, 3)
        features: Tensor = self.network(slices.flatten(0, 1))
        last = features.is_contiguous(memory_format=torch.channels_last) and not features.is_contiguous()
        volume = features.view(batch, count, *features.shape[1:]).movedim(1, 2 + self.axis)
        return volume.contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Weights of 2D layers are shown to ``to(memory_format=channels_last_3d)``, which refuses them, in 3D."""

        def in_3d(tensor: Tensor) -> Tensor:
            return fn(tensor.unsqueeze(2)).squeeze(2) if tensor.ndim == 4 else fn(tensor)

        return super()._apply(in_3d, recurse)  # type: ignore[no-untyped-call]


def _neighbours(count: int, reach: int, device: torch.device) -> Tensor:
    """(S, 2 reach + 1): which slices each one sees; beyond the ends they are reflected, the end itself not doubled."""
    at = torch.arange(count, device=device)[:, None] + torch.arange(-reach, reach + 1, device=device)
    period = max(2 * (count - 1), 1)
    at = at.remainder(period)
    return torch.minimum(at, (period - at).remainder(period))
