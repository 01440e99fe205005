"""Copy and paste between patches: the same box changes places in images and in all that is said about their voxels.

Bai, Chen, Li, Shen, Wang, "Bidirectional copy-paste for semi-supervised medical image segmentation" (BCP), CVPR 2023.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Mixture", "amounts", "pairs", "random_box", "swap_box"]


class Mixture(NamedTuple):
    """One way to mix the rows of a batch, the same for images, targets and weights."""

    partner: Tensor | None
    """(B,) int64 from :func:`pairs`: with whom each row swaps the box; itself where it stays as it is. None
    when all stay."""
    box: Tensor
    """(*S) bool: what is swapped."""
    kept: Tensor | None = None
    """(B',) int64: the rows of the mixtures that are used; None for all."""

    def __call__(self, values: Tensor) -> Tensor:
        """(B, C, *S) to (B', C, *S)."""
        mixed = values if self.partner is None else swap_box(values, self.partner, self.box)
        return mixed if self.kept is None else mixed[self.kept]

    def among(self, rows: Tensor) -> Mixture:
        """The same for some of the rows, (B,) bool, in which each has its partner."""
        if self.partner is None:
            return self
        return self._replace(partner=(rows.cumsum(dim=0) - 1)[self.partner[rows]])


def random_box(
    size: tuple[int, ...], side: float = 2 / 3, *, generator: torch.Generator | None = None, device: str = "cpu"
) -> Tensor:
    """A cuboid at a random place that lies wholly in the patch.

    Args:
        size: X, Y, Z of the patch.
        side: length of each edge as a share of the patch's, [0, 1]; rounded down (BCP: 2/3).
        generator: draws the place, on the CPU; the default generator when None.
        device: of the result.

    Returns:
        (X, Y, Z) bool, True inside; all False when an edge has no voxel.
    """
    box = torch.zeros(size, dtype=torch.bool, device=device)
    edges = [int(side * n + 1e-6) for n in size]
    starts = [int(torch.randint(n - e + 1, (), generator=generator)) for n, e in zip(size, edges, strict=True)]
    box[tuple(slice(start, start + edge) for start, edge in zip(starts, edges, strict=True))] = True
    return box


def amounts(known: Tensor) -> Tensor:
    """How much is known of each row of (B, ...) bool: (B,) int64. A sum of bools takes twenty times as long."""
    return torch.stack([row.count_nonzero() for row in known])


def pairs(known: Tensor) -> Tensor:
    """Whom each row changes the box with: the best known with the least known, and so on inwards.

    So annotated and unannotated patches meet whatever their order in the batch and their number.

    Args:
        known: (B,) how much is known of each row, any number; of equal rows the first comes first.

    Returns:
        (B,) int64 p with p[p[b]] = b; the middle one of an odd number has itself.
    """
    order = known.argsort(descending=True, stable=True)
    partner = torch.empty_like(order)
    partner[order] = order.flip(0)
    return partner


def swap_box(values: Tensor, partner: Tensor, box: Tensor) -> Tensor:
    """BCP's two mixtures at once, U M + L (1 - M) and L M + U (1 - M): each voxel of both patches stays in use.

    Args:
        values: (B, C, *S) of any kind: images, targets, weights.
        partner: (B,) int64 from :func:`pairs`; a row that is its own partner stays as it is.
        box: (*S) bool, where 1 - M is.

    Returns:
        (B, C, *S): the partner's values inside the box, the row's own outside.
    """
    return torch.where(box, values[partner], values)
