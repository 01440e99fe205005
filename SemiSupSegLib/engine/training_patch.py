"""The patch that a step sees: as much of the typical volume as its cost allows, and how often the network halves it.

A patch that covers the volume teaches several times as fast as one that covers a corner of it, at the same cost a
voxel (``Testing/benchmarks/README.md``): every step sees all organs, where they lie, and what is none. In the first
half of a budget steps matter more than what they see, so patches grow (Fischer et al., Progressive Growing of Patch
Size, MICCAI 2024; there in many steps, here in one).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["DEEPEST", "covering_patch", "halvings"]

COARSER = 2.0
"""An axis this much coarser than the finest is not halved yet (as nnU-Net does for anisotropic data)."""
DEEPEST = 4
"""Most often that an axis is halved."""
NEARLY = 0.9
"""Of the most that a patch can cover of a volume: what is as good."""


def halvings(spacing: tuple[float, float, float], volume: np.ndarray[Any, Any]) -> tuple[tuple[int, int, int], ...]:
    """How each level halves each axis: coarse axes later, none below four voxels of a typical volume."""
    current, size, levels = np.array(spacing, float), np.array(volume, float), []
    for _ in range(DEEPEST):
        halve = (current <= COARSER * current[size >= 8].min(initial=np.inf)) & (size >= 8)
        if not halve.any():
            break
        factor = np.where(halve, 2, 1)
        levels.append((int(factor[0]), int(factor[1]), int(factor[2])))
        current, size = current * factor, size / factor
    return tuple(levels)


def covering_patch(
    volume: np.ndarray[Any, Any], spacing: tuple[float, float, float], multiple: tuple[int, int, int], voxels: float
) -> tuple[int, int, int]:
    """The patch (X, Y, Z) of at most so many voxels that covers most of the typical volume; of those that cover nearly
    as much, the one that is shortest along its longest axis in mm.

    Args:
        volume: (3,) voxels of a typical volume on the training grid, above 0.
        spacing: of that grid, in mm.
        multiple: what each axis of the patch is a multiple of.
        voxels: that it may have; one ``multiple`` is the least.
    """
    sizes = (np.arange(step, math.ceil(n / step) * step + 1, step) for n, step in zip(volume, multiple, strict=True))
    patches = np.stack(np.meshgrid(*sizes), axis=-1).reshape(-1, 3)
    patches = patches[patches.prod(axis=1) <= max(voxels, math.prod(multiple))]
    covered = np.minimum(patches, volume)
    share = covered.prod(axis=1)
    good = share >= NEARLY * share.max()
    longest = (covered * spacing).max(axis=1)
    x, y, z = patches[np.lexsort((-share, longest, ~good))[0]]
    return int(x), int(y), int(z)
