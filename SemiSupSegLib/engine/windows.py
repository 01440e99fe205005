"""Windows: how a volume that is too large for one pass is cut, and how the pieces are blended.

Windows overlap by half and are weighted with a Gaussian, so that borders of a window, which see least of their
surroundings, count least (nnU-Net, Isensee et al., Nature Methods 2021). The windows form a product grid and the
Gaussian is separable, so the sum of the weights at a voxel is a product of three one-dimensional sums: weights are
normalised before they are used, and no volume of weights is kept. A volume in one piece is the special case of one
window of weight 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

__all__ = ["Window", "Windows", "plan_windows"]

OVERLAP = 0.5
"""Share of a window that its neighbour sees too."""
SIGMA = 0.125
"""Standard deviation of the Gaussian, as a share of the window."""


@dataclass(frozen=True)
class Window:
    """One piece of a volume."""

    start: tuple[int, int, int]
    size: tuple[int, int, int]
    weights: tuple[Tensor, Tensor, Tensor]
    """Normalised weights along X, Y and Z; their product over all windows sums to 1 at each voxel."""

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Where the window lies in an array (X, Y, Z)."""
        x, y, z = (slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))
        return x, y, z

    def weighted(self, values: Tensor) -> Tensor:
        """Values (K, *size) times the window's weights; multiplied in place."""
        x, y, z = (w.to(values.device) for w in self.weights)
        return values.mul_(x[:, None, None] * y[:, None] * z)


@dataclass(frozen=True)
class Windows:
    """All windows of a volume.

    Args:
        size: the volume in voxels (X, Y, Z).
        window: the window in voxels, no larger than the volume along any axis.
    """

    size: tuple[int, int, int]
    window: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(not 0 < w <= n for w, n in zip(self.window, self.size, strict=True)):
            msg = f"a window of {self.window} voxels does not fit into a volume of {self.size}"
            raise ValueError(msg)

    @cached_property
    def starts(self) -> tuple[list[int], list[int], list[int]]:
        """First voxel of the windows along each axis; evenly spread, the last one ends with the volume."""
        x, y, z = (_starts(n, w) for n, w in zip(self.size, self.window, strict=True))
        return x, y, z

    def __len__(self) -> int:
        return math.prod(len(s) for s in self.starts)

    def __iter__(self) -> Iterator[Window]:
        weights = [_weights(n, w, s) for n, w, s in zip(self.size, self.window, self.starts, strict=True)]
        for i, x in enumerate(self.starts[0]):
            for j, y in enumerate(self.starts[1]):
                for k, z in enumerate(self.starts[2]):
                    yield Window((x, y, z), self.window, (weights[0][i], weights[1][j], weights[2][k]))


def plan_windows(
    size: tuple[int, int, int],
    *,
    largest_voxels: float,
    multiple: tuple[int, int, int],
    at_least: tuple[int, int, int] = (1, 1, 1),
) -> Windows:
    """The whole volume where it fits, else the windows with the least work: thick slabs rather than many cubes.

    Overlap makes every cut expensive, and cuts along one axis cost far less than cuts along three.

    Args:
        size: the volume in voxels.
        largest_voxels: how many voxels a window may have.
        multiple: what each axis of a window should be a multiple of.
        at_least: a window is never smaller than this, whatever the memory: what the network was trained on.
    """
    floor = [min(n, math.ceil(a / m) * m) for n, a, m in zip(size, at_least, multiple, strict=True)]
    choices = [_lengths(n, m, f) for n, m, f in zip(size, multiple, floor, strict=True)]
    fitting = [w for w in product(*choices) if math.prod(w) <= largest_voxels] or [tuple(floor)]
    best = min(fitting, key=lambda w: (len(Windows(size, w)) * math.prod(w), -min(w)))  # type: ignore[arg-type]
    return Windows(size, best)  # type: ignore[arg-type]


def _lengths(size: int, multiple: int, floor: int) -> list[int]:
    """Lengths of a window that cover an axis in 1, 2, 3, ... windows, longest first, down to the smallest."""
    lengths = [size]
    count = 2
    while lengths[-1] > floor:
        length = math.ceil(size / (1 + (count - 1) * (1 - OVERLAP)) / multiple) * multiple
        lengths.append(max(min(length, size), floor))
        count += 1
    return list(dict.fromkeys(lengths))


def _starts(size: int, window: int) -> list[int]:
    if window == size:
        return [0]
    step = max(window * (1 - OVERLAP), 1)
    count = math.ceil((size - window) / step - 1e-9) + 1
    return [round(i * (size - window) / (count - 1)) for i in range(count)]


def _weights(size: int, window: int, starts: list[int]) -> list[Tensor]:
    """Per start, (window,) float32; over all starts they sum to 1 at each voxel of the axis."""
    position = torch.arange(window, dtype=torch.float64) - (window - 1) / 2
    gaussian = torch.exp(-0.5 * (position / (SIGMA * window)) ** 2)
    total = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        total[start : start + window] += gaussian
    return [(gaussian / total[start : start + window]).float() for start in starts]
