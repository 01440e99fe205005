"""Components: the connected parts of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .geometry import Grid, image_from_kji

__all__ = ["SPECK", "count_parts", "numbered_parts"]

SPECK = 0.02
"""Share of a mask's voxels below which a part is a slip of the brush."""


def numbered_parts(mask: NDArray[np.bool_]) -> NDArray[np.integer]:
    """Number of the part (26 neighbours) of each voxel of a mask (three axes, in any order), from 1; 0 outside."""
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    image = image_from_kji(mask, Grid(mask.shape[::-1], (1.0, 1.0, 1.0)))  # whatever the order: nothing is copied
    numbered = sitk.ConnectedComponent(image, True)  # type: ignore[no-untyped-call]
    return np.asarray(sitk.GetArrayFromImage(numbered))


def count_parts(mask: NDArray[np.bool_]) -> int:
    """How many parts a mask has, slips of the brush left out; 0 for an empty one."""
    sizes = np.bincount(numbered_parts(mask).ravel())[1:]
    return int((sizes >= SPECK * sizes.sum()).sum())
