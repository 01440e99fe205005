# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Surfaces of masks, and distances to them in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["distance_mm", "eroded"]


def eroded(mask: NDArray[np.bool_], *, outside: bool) -> NDArray[np.bool_]:
    """Voxels of a mask all of whose face neighbours are in it too, same shape.

    Args:
        mask: bool, any number of axes.
        outside: whether what lies beyond the array counts as in the mask.
    """
    padded = np.pad(mask, 1, constant_values=outside)
    inner = mask.copy()
    for axis in range(mask.ndim):
        for shift in (0, 2):
            index = [slice(1, -1)] * mask.ndim
            index[axis] = slice(shift, padded.shape[axis] - 2 + shift)
            inner &= padded[tuple(index)]
    return inner


def distance_mm(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float32]:
    """Distance in mm from each voxel centre, inside or outside, to the nearest outermost voxel of a mask; 0 there.

    Args:
        mask: (k, j, i) bool, not empty; the edge of the array is no border.
        spacing: mm along k, j, i.
    """
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(s) for s in reversed(spacing)])
    distance = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    found: NDArray[Any] = np.abs(sitk.GetArrayViewFromImage(distance))
    return found.astype(np.float32, copy=False)
